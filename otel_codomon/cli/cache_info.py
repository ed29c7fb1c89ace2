"""``otel-codomon cache-info``: the caches of the processes that run on this machine."""

from __future__ import annotations

import sys
from argparse import BooleanOptionalAction
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from otel_codomon._platform.json_values import as_json
from otel_codomon._platform.quantities import in_bytes, in_number, in_percent, in_words
from otel_codomon.caches.report import (
    CLEAR_TIMEOUT_SECONDS,
    WHAT,
    CacheLine,
    empty_caches,
    report_caches,
)
from otel_codomon.cli import options, output
from otel_codomon.cli.answering import add_answer_options
from otel_codomon.cli.standard_streams import write_error
from otel_codomon.cli.wrapping import print_wrapped
from otel_codomon.errors import InvalidArgumentError

if TYPE_CHECKING:
    import argparse

    from otel_codomon.caches.report import CacheReport, ClearLine

HELP: str = "show the caches of the running processes, or empty them"
EXAMPLES: str = """\
otel-codomon cache-info
otel-codomon cache-info function --pid 4711 --format json
otel-codomon cache-info --clear-cache parse --yes
"""

_ALL = ""


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """Which caches, and what to do with them."""
    parser.add_argument(
        "what",
        nargs="?",
        choices=WHAT,
        default="all",
        help="function caches, cache objects in modules, or all (default: %(default)s)",
    )
    parser.add_argument(
        "--show-stats",
        action=BooleanOptionalAction,
        default=True,
        help="show hits, misses, sizes and findings (the default), or only names",
    )
    parser.add_argument(
        "--clear-cache",
        nargs="?",
        const=_ALL,
        metavar="NAME",
        help="empty the caches whose names contain NAME, or all; asks first on a terminal",
    )
    parser.add_argument("--yes", action="store_true", help="empty them without asking")
    parser.add_argument("--pid", type=options.process_id, help="only caches of this process")
    parser.add_argument(
        "--timeout",
        type=options.positive_seconds,
        default=CLEAR_TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="how long to wait for processes to empty their caches (default: %(default)s)",
    )
    options.add_journal(parser)
    options.add_format(parser)
    options.add_verbose(parser)
    add_answer_options(parser)


def run(args: argparse.Namespace, /) -> int:
    """Show them, or empty them; 1 when one could not be emptied."""
    if args.clear_cache is not None:
        return _clear(args)
    report = report_caches(journal=args.journal, what=args.what, pid=args.pid)
    if args.format == "text":
        _print_text(report, with_stats=args.show_stats, verbose=args.verbose)
    else:
        _PRINTERS[args.format](report, with_stats=args.show_stats)
    return 0


# --- showing ---


def _print_text(report: CacheReport, *, with_stats: bool, verbose: bool) -> None:
    if not report.caches:
        print_wrapped(
            "no running process reports a cache; `observe_all()` in a program that has called "
            "`configure()` reports all of them"
        )
        return
    columns = _COLUMNS if with_stats else _COLUMNS[:3]
    rows = [_cells(line)[: len(columns)] for line in report.caches]
    if verbose:
        columns = (*columns, "service")
        rows = [(*row, line.service or "-") for row, line in zip(rows, report.caches, strict=True)]
    output.print_table(columns, rows)
    for line in report.caches if with_stats else ():
        for found in line.findings:
            output.print_line(f"cache {line.name} {found.message}; {found.advice}")


_COLUMNS = (
    *("name", "kind", "pid", "hits", "misses", "ratio"),
    *("entries", "capacity", "size", "evictions"),
)


def _cells(line: CacheLine) -> tuple[str, ...]:
    return (
        line.name,
        line.kind,
        "-" if line.pid is None else str(line.pid),
        *map(in_number, (line.hits, line.misses)),
        in_percent(line.hit_share),
        *map(in_number, (line.entries, line.capacity)),
        in_bytes(line.size_bytes),
        in_number(line.evictions),
    )


_NAMES = ("name", "kind", "pid", "service")


def _print_json(report: CacheReport, *, with_stats: bool) -> None:
    told = as_json(report)
    if not with_stats:
        told["caches"] = [_names_of(line) for line in told["caches"]]
    output.write_json(told)


def _names_of(line: dict[str, Any]) -> dict[str, Any]:
    return {key: line[key] for key in _NAMES if key in line}


def _print_lines(report: CacheReport, *, with_stats: bool) -> None:
    for line in report.caches:
        told = as_json(line)
        output.write_json_line(told if with_stats else _names_of(told))


def _print_csv(report: CacheReport, *, with_stats: bool) -> None:
    columns = [field.name for field in fields(CacheLine)] if with_stats else _NAMES
    output.write_csv(report.caches, columns)


_PRINTERS = {
    "json": _print_json,
    "jsonl": _print_lines,
    "csv": _print_csv,
}


# --- emptying ---


def _clear(args: argparse.Namespace) -> int:
    name = args.clear_cache or None
    chosen = report_caches(journal=args.journal, what=args.what, name=name, pid=args.pid).caches
    if not chosen:
        write_error("no running process reports such a cache; nothing was emptied\n")
        return 1
    if not args.yes and not _agrees(chosen):
        return 1
    cleared = empty_caches(
        journal=args.journal,
        what=args.what,
        name=name,
        pid=args.pid,
        timeout_seconds=args.timeout,
    )
    if args.format == "text":
        for line in cleared.caches:
            done = line.failure or f"emptied by process {line.pid}{_freed(line)}"
            output.print_line(f"{line.name}: {done}")
    else:
        output.write_json(cleared)
    return int(any(line.failure for line in cleared.caches))


def _freed(line: ClearLine) -> str:
    """What is known of what it held: entries, bytes, both or nothing."""
    entries, size_bytes = line.freed_entries, line.freed_bytes
    known = (
        *([] if entries is None else [in_words(entries, "entry", "entries")]),
        *([] if size_bytes is None else [in_bytes(size_bytes)]),
    )
    return f"; it held {', '.join(known)} at its last collection" if known else ""


def _agrees(chosen: tuple[CacheLine, ...]) -> bool:
    """Ask on the terminal.

    Raises:
        InvalidArgumentError: There is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidArgumentError(
            "--clear-cache",
            f"cannot ask whether to empty {in_words(len(chosen), 'cache', 'caches')}: "
            "standard input and error are not a terminal; use --yes",
        )
    for line in chosen:
        output.complain(f"  {line.name} of process {line.pid}")
    write_error(f"empty {in_words(len(chosen), 'cache', 'caches')}? [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
