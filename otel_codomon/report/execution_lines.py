"""One execution as a line of a list or of a report shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon.report.cause import CAUSE_KEYS, cause_of
from otel_codomon.resources.usage import Curve

if TYPE_CHECKING:
    from otel_codomon.journal.execution_record import ExecutionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionLine:
    """One execution, as much of it as a line or a bar shows. None is not known.

    Attributes:
        execution_id: Identifies it.
        trace_id: Its trace, 32 hexadecimal digits.
        span_id: Its span, 16 hexadecimal digits.
        parent_span_id: The span it is a child of; None for a root.
        name: Its name.
        kind: What is executed.
        outcome: How it ended; None while it runs.
        started_unix_ns: Start, nanoseconds since the epoch.
        duration_seconds: From start to end, seconds; None while it runs.
        cpu_seconds: CPU time, seconds.
        peak_memory_bytes: Most memory in use at one instant, bytes.
        cause: Why it ended as it did, in one sentence; None on plain success.
        curve: What it used over time.
    """

    execution_id: str
    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str
    outcome: str | None
    started_unix_ns: int
    duration_seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    cause: str | None = None
    curve: Curve | None = None

    @classmethod
    def of(cls, record: ExecutionRecord) -> ExecutionLine:
        """The line of *record*."""
        return cls(
            execution_id=record.execution_id,
            trace_id=record.trace_id,
            span_id=record.span_id,
            parent_span_id=record.parent_span_id,
            name=record.labels.name,
            kind=record.labels.kind.value,
            outcome=None if record.outcome is None else record.outcome.value,
            started_unix_ns=record.started_unix_ns,
            duration_seconds=record.duration_seconds,
            cpu_seconds=record.usage.cpu_seconds,
            peak_memory_bytes=record.usage.peak_memory_bytes,
            cause=cause_of(record),
            curve=record.usage.curve,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleLine:
    """An execution that shows a problem.

    Attributes:
        line: The execution, with its curve.
        memory_limit_bytes: Its memory limit, bytes; None where it has none.
    """

    line: ExecutionLine
    memory_limit_bytes: float | None

    @classmethod
    def of(cls, record: ExecutionRecord) -> ExampleLine:
        """What is shown of *record*."""
        limit = record.attributes.get(names.LIMIT_MEMORY)
        return cls(
            line=ExecutionLine.of(record),
            memory_limit_bytes=limit if isinstance(limit, (int, float)) else None,
        )


LINE_KEYS: Final = CAUSE_KEYS | {names.USAGE_CPU_TIME, names.USAGE_MEMORY_PEAK}
"""The attributes that an `ExecutionLine` without a curve is made of."""
