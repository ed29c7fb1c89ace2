"""What `otel-codomon report -v` adds: hints, statistics, and what limits would have done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_codomon._platform.quantities import (
    in_bytes,
    in_percent,
    in_seconds,
    in_words,
    write_quantity,
)
from otel_codomon._platform.relative_times import in_age
from otel_codomon.cli import output
from otel_codomon.cli.fitting import Column
from otel_codomon.cli.wrapping import print_wrapped
from otel_codomon.report.findings import Severity
from otel_codomon.report.short_ids import short_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_codomon.report.distribution import Distribution
    from otel_codomon.report.execution_lines import ExecutionLine
    from otel_codomon.report.values import Group, Report
    from otel_codomon.report.what_if import WhatIf

_RAN: Final = (
    Column(title="name", least=12, is_kept=True),
    Column(title="executions", is_number=True, is_kept=True),
    Column(title="succeeded", is_number=True),
    *(
        Column(title=title, is_number=True)
        for title in ("median", "p90", "p99", "CPU p50", "memory p99")
    ),
)
_WHAT_IF: Final = (
    Column(title="name", least=9, is_kept=True),
    Column(title="limit", is_kept=True),
    Column(title="would fail", is_number=True, is_kept=True),
)
_LINES: Final = (
    Column(title="name", least=12, is_kept=True),
    Column(title="id", is_kept=True),
    Column(title="outcome"),
    Column(title="duration", is_number=True),
    Column(title="CPU", is_number=True),
    Column(title="memory", is_number=True),
)


def print_all(report: Report) -> None:
    """Print hints, statistics, and what limits would have done."""
    hints = [one for one in report.findings if one.severity is Severity.LOW]
    if hints:
        output.print_line("")
        output.print_line("hints")
    for hint in hints:
        print_wrapped(f"{hint.name}: {hint.message}; {hint.advice}", first="  ", indent="    ")
    _print_memory_kills(report)
    _print_table("what ran", _RAN, [_group_row(group) for group in report.groups])
    _print_table(
        "what if, tried on the last 100 of each",
        _WHAT_IF,
        [_limit_row(row) for row in report.what_if],
    )
    for title, lines in (
        ("longest", report.slowest),
        ("most CPU time", report.greediest_cpu),
        ("most memory", report.greediest_memory),
    ):
        _print_table(title, _LINES, [_line_row(line) for line in lines])


def _limit_row(row: WhatIf) -> tuple[str, ...]:
    limit = f"{row.limit.rsplit('_', 1)[0]} {write_quantity(row.limit, row.value)}"
    return (row.name, limit, f"{row.failed} of {row.executions}")


def _line_row(line: ExecutionLine) -> tuple[str, ...]:
    return (
        line.name,
        short_id(line.execution_id),
        (line.outcome or "running").replace("_", " "),
        in_seconds(line.duration_seconds),
        in_seconds(line.cpu_seconds),
        in_bytes(line.peak_memory_bytes),
    )


def _print_table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    if rows:
        output.print_line("")
        output.print_line(title)
        output.print_fitted(columns, rows, styled=0, styles=["cyan"] * len(rows))


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


def _print_memory_kills(report: Report) -> None:
    """What the kernel's out-of-memory killer did on this machine, to ours and to others."""
    kills = report.memory_kills
    if kills is None or not kills.processes:
        return
    processes = in_words(kills.processes, "process", "processes")
    executions = in_words(kills.executions, "execution", "executions")
    age = in_age(max(0, report.until_unix_ns - kills.since_unix_ns) / 1e9)
    output.print_line("")
    output.print_line("out of memory")
    print_wrapped(
        f"the kernel has killed {processes} since this machine started {age}; "
        f"{executions} in this period ended like that",
        first="  ",
        indent="  ",
    )
