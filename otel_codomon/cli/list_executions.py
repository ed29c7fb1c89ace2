"""``otel-codomon list``: the executions of this machine, running and finished."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.printable import printable
from otel_codomon.cli import options, output
from otel_codomon.cli.progress import Progress
from otel_codomon.cli.standard_streams import tell
from otel_codomon.journal.reader import JournalReader
from otel_codomon.operations.executions import Wanted, iterate_executions
from otel_codomon.operations.places import find_journal
from otel_codomon.operations.report import ExecutionLine
from otel_codomon.values.execution import Outcome
from otel_codomon.values.quantities import in_bytes, in_seconds

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

HELP: str = "list the executions of this machine, running and finished"
EXAMPLES: str = """\
otel-codomon list
otel-codomon list --since 1h --outcome timeout
otel-codomon list --all --format jsonl | jq .duration_seconds
"""

_ENCODE: Final = json.JSONEncoder(ensure_ascii=False).encode
_SHOWN: Final = 20
_COLUMNS: Final = ("id", "name", "outcome", "started", "took", "CPU", "memory")
_FIELDS: Final = tuple(field.name for field in fields(ExecutionLine) if field.name != "curve")


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """Which executions, how many, and in which form."""
    options.add_since(parser, help_line="only those that began so long ago at most, as 15m or 2d")
    parser.add_argument("--name", help="only executions of this name")
    parser.add_argument(
        "--outcome",
        choices=("running", *(outcome.value for outcome in Outcome)),
        help="only those that ended like this",
    )
    parser.add_argument(
        "-n",
        "--limit",
        type=_count,
        default=_SHOWN,
        metavar="COUNT",
        help="how many of the newest (default: %(default)s)",
    )
    parser.add_argument("--all", action="store_true", help="as many as there are")
    options.add_journal(parser)
    options.add_format(parser)
    options.add_verbose(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise options.refusal(f"cannot list {text!r:.40} executions: it is no number above 0")
    return int(text)


def run(args: argparse.Namespace, /) -> int:
    """Print them; 0 also when there are none."""
    reader = JournalReader(find_journal(args.journal))
    wanted = Wanted(
        since_seconds=args.since,
        name=args.name,
        outcome=args.outcome,
        limit=None if args.all else args.limit,
    )
    with Progress("executions read") as progress:
        _PRINTERS[args.format](_lines(reader, wanted, progress), reader)
    if reader.unreadable:
        tell(f"{reader.unreadable:,} records of the journal could not be read and are left out\n")
    return 0


def _lines(reader: JournalReader, wanted: Wanted, progress: Progress) -> Iterator[ExecutionLine]:
    for count, record in enumerate(iterate_executions(reader, wanted), 1):
        progress(count)
        yield ExecutionLine.of(record)


def _print_text(lines: Iterator[ExecutionLine], reader: JournalReader) -> None:
    rows = [_row(line) for line in lines]
    if not rows:
        output.say(
            f"no executions recorded in {reader.folder} yet; `otel-codomon run -- true` records one"
        )
        return
    output.print_table(_COLUMNS, rows)


def _row(line: ExecutionLine) -> tuple[str, ...]:
    is_running = line.outcome is None
    seconds = line.duration_seconds
    if is_running:
        seconds = max(0.0, time.time() - line.started_unix_ns / 1e9)
    return (
        line.execution_id[:12],
        line.name,
        line.outcome or "running",
        local_time(line.started_unix_ns),
        in_seconds(seconds),
        in_seconds(line.cpu_seconds),
        in_bytes(line.peak_memory_bytes),
    )


def local_time(unix_ns: int) -> str:
    """A time of the epoch on this machine's clock; a dash for one that no calendar has."""
    try:
        return datetime.fromtimestamp(unix_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "-"


def _print_json(lines: Iterator[ExecutionLine], reader: JournalReader) -> None:
    del reader
    output.write_json([_plain(line) for line in lines])


def _print_jsonl(lines: Iterator[ExecutionLine], reader: JournalReader) -> None:
    del reader
    for line in lines:
        # Not `write_json_line`: a hundred thousand lines are not flushed one by one.
        sys.stdout.write(_ENCODE(_plain(line)) + "\n")


def _plain(line: ExecutionLine) -> dict[str, object]:
    values = ((name, getattr(line, name)) for name in _FIELDS)
    return {name: printable(x) if isinstance(x, str) else x for name, x in values}


def _print_csv(lines: Iterator[ExecutionLine], reader: JournalReader) -> None:
    del reader
    output.write_csv(lines, _FIELDS)


_PRINTERS: Final = {
    "text": _print_text,
    "json": _print_json,
    "jsonl": _print_jsonl,
    "csv": _print_csv,
}
