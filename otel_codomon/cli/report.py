"""``otel-codomon report``: what ran, how it ended, and what is wrong with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from otel_codomon.cli import options, output
from otel_codomon.cli.progress import Progress
from otel_codomon.errors import CodomonError
from otel_codomon.operations.places import find_journal
from otel_codomon.operations.report import DAY_SECONDS, make_report
from otel_codomon.values.quantities import in_bytes, in_percent, in_seconds, write_quantity

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from otel_codomon.operations.report import ExecutionLine, Group, Report
    from otel_codomon.values.distribution import Distribution
    from otel_codomon.values.findings import Finding

HELP: str = "say what ran, how it ended, and what is wrong with it"
EXAMPLES: str = """\
otel-codomon report
otel-codomon report --since 1h --name nightly
otel-codomon report --html report.html
otel-codomon report --format json | jq '.findings[].message'
"""

_SHOWN_GROUPS = 20


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """Which period, which executions, and in which form."""
    options.add_since(
        parser,
        help_line="length of the period, as 90s, 15m, 1h or 2d; regressions are found against the "
        "period of equal length before it (default: 1d)",
    )
    parser.add_argument("--name", help="only executions of this name")
    options.add_journal(parser)
    options.add_format(parser, formats=("text", "json", "html"))
    parser.add_argument(
        "--html", metavar="FILE", help="write the page with pictures into FILE; the text is printed"
    )
    options.add_verbose(parser)


def run(args: argparse.Namespace, /) -> int:
    """Print the report; 0 whatever it finds."""
    folder = find_journal(args.journal)
    seconds = args.since or DAY_SECONDS
    if args.format == "text":  # at once: reading a long journal takes seconds
        output.say(f"{folder}: the last {in_seconds(seconds)}")
        sys.stdout.flush()
    with Progress("executions read") as progress:
        report = make_report(
            journal=folder, since_seconds=seconds, name=args.name, on_progress=progress
        )
    if args.html:
        _write_page(report, Path(args.html))
    _PRINTERS[args.format](report, verbose=args.verbose)
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
    output.complain(f"the page is in {os.fspath(path)}")


def _print_json(report: Report, *, verbose: bool) -> None:
    del verbose
    output.write_json(report)


def _print_html(report: Report, *, verbose: bool) -> None:
    from otel_codomon.cli.page import render  # noqa: PLC0415 - as above

    del verbose
    sys.stdout.write(render(report))


def _print_text(report: Report, *, verbose: bool) -> None:
    for line in _summary(report):
        output.say(line)
    if not report.groups and not report.caches:
        return
    shown = report.groups if verbose else report.groups[:_SHOWN_GROUPS]
    output.print_table(_COLUMNS, [_group_row(group) for group in shown], title="\nwhat ran")
    if len(shown) < len(report.groups):
        sys.stdout.write(f"and {len(report.groups) - len(shown)} more names: see them with -v\n")
    sys.stdout.write("\nfindings\n")
    for line in _findings(report, verbose=verbose):
        output.say(line)
    if verbose:
        _print_largest(report)


def _summary(report: Report) -> Iterator[str]:
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in report.outcomes.items())
    if not report.executions and not report.running:
        yield "nothing ran; `otel-codomon run -- true` is a way to begin"
    else:
        yield f"{report.executions:,} executions finished ({outcomes or 'none'})"
    if report.running:
        yield f"{report.running:,} still run"
    if report.unreadable:
        yield f"{report.unreadable:,} records of the journal could not be read and are left out"


_COLUMNS = ("name", "executions", "succeeded", "median", "p90", "p99", "CPU p50", "memory p99")


def _group_row(group: Group) -> tuple[str, ...]:
    duration, cpu, memory = group.duration_seconds, group.cpu_seconds, group.peak_memory_bytes
    return (
        group.name,
        f"{group.executions:,}",
        in_percent(_succeeded(group)),
        *(in_seconds(_part(duration, part)) for part in ("p50", "p90", "p99")),
        in_seconds(_part(cpu, "p50")),
        in_bytes(_part(memory, "p99")),
    )


def _succeeded(group: Group) -> float | None:
    """Share that succeeded of those whose outcome is known."""
    known = group.executions - group.outcomes.get("unknown", 0)
    return group.outcomes.get("success", 0) / known if known else None


def _part(distribution: Distribution | None, part: str) -> float | None:
    return None if distribution is None else getattr(distribution, part)


def _findings(report: Report, *, verbose: bool) -> Iterator[str]:
    if not report.findings and not report.caches:
        yield "  nothing that is worth a change"
    for finding in report.findings:
        yield f"  {finding.severity.value}: {finding.name}, {_rule(finding)}"
        yield f"    {finding.message}"
        yield f"    to do: {finding.advice}{_recommended(finding)}"
        if verbose and finding.executions:
            yield f"    see: {' '.join(finding.executions)}"
    for cache in report.caches:
        yield f"  cache {cache.name} of process {cache.pid} {cache.message}"
        yield f"    to do: {cache.advice}"


def _rule(finding: Finding) -> str:
    return finding.rule.replace("_", " ")


def _recommended(finding: Finding) -> str:
    limits = [
        f"{name}={write_quantity(name, value)}" for name, value in finding.recommended.items()
    ]
    return f"; a limit that would fit: {', '.join(limits)}" if limits else ""


def _print_largest(report: Report) -> None:
    for title, lines in (
        ("longest", report.slowest),
        ("most CPU time", report.greediest_cpu),
        ("most memory", report.greediest_memory),
    ):
        output.print_table(
            ("id", "name", "outcome", "duration", "CPU", "memory"),
            [_line_row(line) for line in lines],
            title=f"\n{title}",
        )


def _line_row(line: ExecutionLine) -> tuple[str, ...]:
    return (
        line.execution_id,
        line.name,
        line.outcome or "running",
        in_seconds(line.duration_seconds),
        in_seconds(line.cpu_seconds),
        in_bytes(line.peak_memory_bytes),
    )


_PRINTERS = {"text": _print_text, "json": _print_json, "html": _print_html}
