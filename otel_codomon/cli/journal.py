"""``otel-codomon journal``: show what is undelivered, deliver it, or delete it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from otel_codomon._platform.quantities import in_bytes, in_seconds, in_words
from otel_codomon.cli import options, output
from otel_codomon.cli.answering import add_answer_options
from otel_codomon.cli.progress import Progress
from otel_codomon.cli.wrapping import print_wrapped
from otel_codomon.journal.operation import (
    SEND_SECONDS,
    describe_sender,
    describe_waiting,
    journal_status,
    purge_journal,
    send_journal,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from otel_codomon.journal.operation import JournalStatus, Purged, Sent

T = TypeVar("T")

HELP: str = "show what is in the journal, deliver it now, or delete it"
EXAMPLES: str = """\
otel-codomon journal status
otel-codomon journal send
otel-codomon journal purge --yes
"""


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """What to do, with which journal, for how long."""
    parser.add_argument("action", choices=tuple(_ACTIONS), help="what to do")
    options.add_journal(parser)
    parser.add_argument(
        "--timeout",
        type=options.positive_seconds,
        default=SEND_SECONDS,
        metavar="SECONDS",
        help="how long send keeps trying (default: %(default)s)",
    )
    parser.add_argument("--yes", action="store_true", help="purge: also delete undelivered records")
    options.add_format(parser, formats=("text", "json"))
    options.add_verbose(parser)
    add_answer_options(parser)


def run(args: argparse.Namespace, /) -> int:
    """Do it; 0, or 1 where something still waits or was not done."""
    return _ACTIONS[args.action](args)


def _status(args: argparse.Namespace) -> int:
    lines = partial(_status_lines, verbose=args.verbose)
    _print(args.format, journal_status(journal=args.journal), lines)
    return 0


def _send(args: argparse.Namespace) -> int:
    with Progress("records delivered") as progress:
        sent = send_journal(
            journal=args.journal, timeout_seconds=args.timeout, on_progress=progress
        )
    _print(args.format, sent, _sent_lines)
    if sent.is_complete:
        return 0
    for signal, reason in sent.trouble.items():
        output.complain(f"{signal} not delivered: {reason}")
    return 1


def _purge(args: argparse.Namespace) -> int:
    status = journal_status(journal=args.journal)
    waiting = sum(one.records for one in status.waiting.values())
    if waiting and not args.yes:
        output.complain(
            f"cannot purge {status.journal}: {in_words(waiting, 'record', 'records')} not "
            "delivered; send them with `otel-codomon journal send`, or add --yes to delete them"
        )
        return 1
    _print(args.format, purge_journal(journal=args.journal), _purged_lines)
    return 0


_INDENT = 10
_ACTIONS = {"status": _status, "send": _send, "purge": _purge}


def _print(form: str, result: T, lines: Callable[[T], Iterator[str]]) -> None:
    if form == "json":
        output.write_json(result)
        return
    for line in lines(result):
        print_wrapped(line, indent=" " * _INDENT)


def _status_lines(status: JournalStatus, *, verbose: bool) -> Iterator[str]:
    yield f"journal   {status.journal}"
    if not status.exists:
        yield "          does not exist yet; `otel-codomon run -- true` creates it"
    segments = in_words(status.segments, "segment", "segments")
    yield f"holds     {in_bytes(status.bytes)} in {segments}"
    if status.oldest_unix_ns is not None:
        age_seconds = max(0.0, time.time() - status.oldest_unix_ns / 1e9)
        yield f"oldest    {in_seconds(age_seconds)} ago"
    for signal, waiting in status.waiting.items():
        where = "not exported: no OTLP endpoint is set"
        if waiting.endpoint is not None:
            where = f"waiting for {waiting.endpoint}"
        yield f"{signal:<9} {describe_waiting(waiting)}, {where}"
    if status.set_aside or verbose:
        letters = in_words(status.set_aside, "dead letter", "dead letters")
        yield f"rejected  {letters}: records that the receiver rejected, kept in x-*.seg"
    if status.damaged or verbose:
        parts = in_words(status.damaged, "damaged part", "damaged parts")
        yield f"damage    {parts} of segments, skipped"
    yield f"sender    {describe_sender(status.sender_pid)}"


def _sent_lines(sent: Sent) -> Iterator[str]:
    if sent.sender_pid is not None:
        yield f"{describe_sender(sent.sender_pid)} delivers this journal".capitalize()
    yield f"{in_words(sent.delivered, 'record', 'records')} delivered, {sent.rejected:,} rejected"
    if sent.died:
        yield f"among them {in_words(sent.died, 'execution', 'executions')} whose process died"
    waiting = sum(sent.waiting_bytes.values())
    if waiting:
        yield f"{in_bytes(waiting)} not delivered yet"


def _purged_lines(purged: Purged) -> Iterator[str]:
    yield (
        f"{in_words(purged.segments, 'segment', 'segments')} deleted, with "
        f"{in_words(purged.undelivered, 'undelivered record', 'undelivered records')}"
    )
    if purged.kept:
        yield f"{in_words(purged.kept, 'segment', 'segments')} kept: in use by running processes"
