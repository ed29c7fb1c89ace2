"""``otel-codomon report``: what is wrong with the executions, and what to do about it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from otel_codomon.cli import options, output
from otel_codomon.cli.answering import add_answer_options
from otel_codomon.cli.list_executions import why_nothing
from otel_codomon.cli.progress import Progress
from otel_codomon.cli.report_text import notes, print_markdown, print_text
from otel_codomon.errors import CodomonError
from otel_codomon.journal.location import existing_journal
from otel_codomon.journal.reader import JournalReader
from otel_codomon.report.operation import DAY_SECONDS, make_report

if TYPE_CHECKING:
    import argparse

    from otel_codomon.report.values import Report

HELP: str = "report what is wrong with the executions of this machine, and what to do"
EXAMPLES: str = """\
otel-codomon report
otel-codomon report --since 1h --name nightly
otel-codomon report --html report.html
otel-codomon report --format markdown >> TODO.md
otel-codomon report --format json | jq '.findings[].message'
"""

_FOR_PEOPLE = ("text", "markdown")


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """Which period, which executions, and in which form."""
    options.add_since(
        parser,
        help_line="length of the period, such as 90s, 15m, 1h or 2d; regressions are found against "
        "the period of equal length before it (default: 1d)",
    )
    parser.add_argument("--name", help="only executions with this name; * matches anything")
    options.add_journal(parser)
    options.add_format(parser, formats=("text", "markdown", "json", "html"))
    parser.add_argument(
        "--html", metavar="FILE", help="also write the report to FILE, as an HTML page"
    )
    options.add_verbose(parser)
    add_answer_options(parser)


def run(args: argparse.Namespace, /) -> int:
    """Print the report; 0 whatever it finds."""
    folder = existing_journal(args.journal)
    seconds = args.since or DAY_SECONDS
    with Progress("executions read") as progress:
        report = make_report(
            journal=folder,
            since_seconds=seconds,
            name=args.name,
            with_marks=bool(args.html) or args.format == "html",
            on_progress=progress,
        )
    if args.html:
        _write_page(report, Path(args.html))
        report = replace(report, marks=())  # for the page alone
    if args.format in _FOR_PEOPLE and not (report.executions or report.running or report.caches):
        output.print_line(
            why_nothing(JournalReader(folder), args.name, remedy="use a longer --since, such as 7d")
        )
        for line in notes(report):
            output.print_line(line)
        return 0
    _PRINTERS[args.format](report, verbose=args.verbose, journal=folder if args.journal else None)
    return 0


def _write_page(report: Report, path: Path) -> None:
    """Write the page beside *path* first, so that there is never half of one."""
    from otel_codomon.cli.page import render  # noqa: PLC0415 - only for a page

    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(render(report), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CodomonError(
            f"cannot write the page to {path}: {error.strerror}; name a file that can be written"
        ) from error
    output.complain(f"Wrote {os.fspath(path)}")


def _print_json(report: Report, *, verbose: bool, journal: str | None) -> None:
    del verbose, journal
    output.write_json(report)


def _print_html(report: Report, *, verbose: bool, journal: str | None) -> None:
    from otel_codomon.cli.page import render  # noqa: PLC0415 - as above

    del verbose, journal
    sys.stdout.write(render(report))


_PRINTERS = {
    "text": print_text,
    "markdown": print_markdown,
    "json": _print_json,
    "html": _print_html,
}
