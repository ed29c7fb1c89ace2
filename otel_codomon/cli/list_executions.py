"""``otel-codomon list``: the executions of this machine, running and finished."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import fields, replace
from datetime import datetime
from difflib import get_close_matches
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.json_values import as_json, json_name
from otel_codomon._platform.quantities import in_bytes, in_seconds, in_words
from otel_codomon._platform.relative_times import in_age
from otel_codomon.cli import options, output
from otel_codomon.cli.answering import add_answer_options
from otel_codomon.cli.fitting import Column
from otel_codomon.cli.progress import Progress
from otel_codomon.cli.standard_streams import write_error
from otel_codomon.cli.wrapping import print_wrapped
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.location import existing_journal
from otel_codomon.journal.reader import JournalReader
from otel_codomon.report.execution_lines import ExecutionLine
from otel_codomon.report.executions import (
    SORTS,
    ExecutionFilter,
    ExecutionList,
    iterate_executions,
    names_in,
)
from otel_codomon.report.name_patterns import fits

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

HELP: str = "list the executions of this machine, running and finished"
EXAMPLES: str = """\
otel-codomon list
otel-codomon list --since yesterday --outcome timeout
otel-codomon list --name 'thumb*' --sort memory
otel-codomon list --all --format jsonl | jq .duration_seconds
"""

_ENCODE: Final = json.JSONEncoder(ensure_ascii=False).encode
_SHOWN: Final = 20
_ID_DIGITS: Final = 8
_FIELDS: Final = tuple(
    json_name(field.name) for field in fields(ExecutionLine) if field.name != "curve"
)
_COLUMNS: Final = (
    Column(title="name", least=12, is_kept=True),
    Column(title="id", is_kept=True),
    Column(title="outcome", is_kept=True),
    Column(title="started", is_number=True),
    Column(title="duration", is_number=True),
    Column(title="CPU", is_number=True),
    Column(title="memory", is_number=True),
    Column(title="cause", least=12),
)
_OUTCOME_COLUMN: Final = 2
# Colours say again what the word says: nothing is lost without them.
_STYLES: Final = {"success": "green", "running": "cyan", "unknown": "yellow"}


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """Which executions, how many, in which order and in which form."""
    options.add_since(
        parser, help_line="only those that started after TIME, such as 15m, 14:30 or yesterday"
    )
    parser.add_argument(
        "--until",
        type=options.time_ago,
        metavar="TIME",
        help="only those that started before TIME, as for --since",
    )
    parser.add_argument("--name", help="only executions with this name; * matches anything")
    parser.add_argument(
        "--outcome",
        choices=("running", *(outcome.value for outcome in Outcome)),
        help="only those with this outcome",
    )
    parser.add_argument(
        "--sort",
        choices=tuple(SORTS),
        default="started",
        help="sort by this, largest or newest first (default: %(default)s)",
    )
    parser.add_argument("--tree", action="store_true", help="show each execution below its parent")
    parser.add_argument(
        "-n",
        "--limit",
        type=_count,
        default=_SHOWN,
        metavar="COUNT",
        help="show at most this many (default: %(default)s)",
    )
    parser.add_argument("--all", action="store_true", help="show all of them")
    options.add_journal(parser)
    options.add_format(parser)
    options.add_verbose(parser)
    add_answer_options(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise options.refusal(f"invalid count {text!r:.40}: use a whole number of 1 or more")
    return int(text)


def run(args: argparse.Namespace, /) -> int:
    """Print them; 0 also when there are none."""
    reader = JournalReader(existing_journal(args.journal))
    wanted = ExecutionFilter(
        since_seconds=args.since,
        until_seconds=args.until,
        name=args.name,
        outcome=args.outcome,
        limit=None if args.all else args.limit,
        sort=args.sort,
    )
    with Progress("executions read") as progress:
        lines = _lines(reader, wanted, progress)
        if args.format == "json":
            found = tuple(replace(line, curve=None) for line in lines)
            output.write_json(
                ExecutionList(journal=reader.folder, executions=found, unreadable=reader.unreadable)
            )
        elif args.format != "text":
            _PRINTERS[args.format](lines)
        elif not _print_text(list(lines), is_tree=args.tree, verbose=args.verbose):
            print_wrapped(why_nothing(reader, wanted.name))
    if reader.unreadable:
        count = in_words(reader.unreadable, "record", "records")
        write_error(f"{count} of the journal could not be read: see `otel-codomon doctor`\n")
    return 0


def _lines(
    reader: JournalReader, wanted: ExecutionFilter, progress: Progress
) -> Iterator[ExecutionLine]:
    for count, record in enumerate(iterate_executions(reader, wanted), 1):
        progress(count)
        yield ExecutionLine.of(record)


# --- for people ---


def _print_text(lines: list[ExecutionLine], *, is_tree: bool, verbose: bool) -> bool:
    """Print a table that fits the screen; whether there was anything to print."""
    digits = None if verbose else id_digits(line.execution_id for line in lines)
    placed = _as_tree(lines) if is_tree else [(0, line) for line in lines]
    rows = [_row(line, digits=digits, depth=depth) for depth, line in placed]
    styles = [_STYLES.get(row[_OUTCOME_COLUMN], "red") for row in rows]
    if rows:
        output.print_fitted(_COLUMNS, rows, styled=_OUTCOME_COLUMN, styles=styles)
    return bool(rows)


def id_digits(ids: Iterable[str]) -> int:
    """How many digits tell these ids apart, and never fewer than eight."""
    shared = (_shared(*pair) for pair in pairwise(sorted(set(ids))))
    return max([_ID_DIGITS, *(count + 1 for count in shared)])


def _shared(one: str, other: str) -> int:
    """How many digits two ids have in common from the start."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))


def _row(line: ExecutionLine, *, digits: int | None, depth: int) -> tuple[str, ...]:
    """The cells of a line; without *digits*, its whole id and the time at which it started."""
    age_seconds = max(0.0, time.time() - line.started_unix_ns / 1e9)
    seconds = age_seconds if line.outcome is None else line.duration_seconds
    return (
        "  " * depth + line.name,
        line.execution_id[:digits],
        outcome_words(line.outcome),
        local_time(line.started_unix_ns) if digits is None else in_age(age_seconds),
        in_seconds(seconds),
        in_seconds(line.cpu_seconds),
        in_bytes(line.peak_memory_bytes),
        line.cause or "",
    )


def outcome_words(outcome: str | None) -> str:
    """An outcome for people: ``running``, ``observer died``."""
    return _WORDS.get(outcome, (outcome or "").replace("_", " "))


_WORDS: Final = {None: "running", Outcome.HOST_DIED.value: "observer died"}


def _as_tree(lines: list[ExecutionLine]) -> list[tuple[int, ExecutionLine]]:
    """Depth and line, each below the one whose child it is, if that is in the list."""
    spans = {line.span_id for line in lines}
    children: dict[str | None, list[ExecutionLine]] = {}
    for line in lines:
        parent = line.parent_span_id if line.parent_span_id in spans else None
        children.setdefault(parent, []).append(line)
    placed: list[tuple[int, ExecutionLine]] = []
    waiting = [(0, line) for line in reversed(children.get(None, ()))]
    while waiting:
        depth, line = waiting.pop()
        placed.append((depth, line))
        # Of a child the start is later: within a piece of work the first goes first.
        waiting += [(depth + 1, child) for child in children.pop(line.span_id, ())]
    return placed


def why_nothing(
    reader: JournalReader,
    wanted: str | None,
    *,
    remedy: str = "leave out --since, --until or --outcome",
) -> str:
    """Why nothing is shown, and what there is instead.

    Args:
        reader: Of the journal.
        wanted: The name or pattern that was asked for; None for all.
        remedy: What to do where the name is not the reason.
    """
    names = names_in(reader)
    recorded = sum(names.values())
    if not recorded:
        return "no executions recorded yet: `otel-codomon run -- true` records one"
    if wanted is not None and not any(fits(name, wanted) for name in names):
        near = get_close_matches(wanted, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"no execution is named {wanted!r} ({recorded:,} recorded{hint})"
    return f"no execution matches ({recorded:,} recorded): {remedy}"


def local_time(unix_ns: int) -> str:
    """A time of the epoch on this machine's clock; a dash for one that no calendar has."""
    try:
        return datetime.fromtimestamp(unix_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "-"


# --- for programs ---


def _print_jsonl(lines: Iterator[ExecutionLine]) -> None:
    for line in lines:
        # Not `write_json_line`: a hundred thousand lines are not flushed one by one.
        sys.stdout.write(_ENCODE(as_json(replace(line, curve=None))) + "\n")


def _print_csv(lines: Iterator[ExecutionLine]) -> None:
    output.write_csv(lines, _FIELDS)


_PRINTERS: Final = {"jsonl": _print_jsonl, "csv": _print_csv}
