"""Why an execution ended as it did, in one sentence. Pure: the same words in every command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon._platform.quantities import in_bytes, in_number, in_percent, in_seconds
from otel_codomon.journal.execution_record import ExecutionRecord, Outcome
from otel_codomon.report.short_ids import short_id
from otel_codomon.resources.labels import Kind, Labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_codomon.resources.limits import Limits
    from otel_codomon.resources.usage import Curve
    from otel_codomon.sandbox.result import ExecutionResult

CAUSE_KEYS: Final = frozenset(
    {
        names.ERROR_REASON,
        names.ERROR_TYPE,
        names.EXECUTION_SIGNAL,
        names.EXECUTION_TIMEOUT,
        names.LIMIT_CPU,
        names.LIMIT_DISK,
        names.LIMIT_FILE_SIZE,
        names.LIMIT_MEMORY,
        names.LIMIT_PROCESSES,
        names.LIMIT_TYPE,
        names.PROCESS_EXIT_CODE,
        names.USAGE_CPU_TIME,
        names.USAGE_MEMORY_PEAK,
    }
)
"""The attributes that a cause is made of, besides the curve."""

# What the kernel sends a program for an error of its own.
_CRASHES: Final = frozenset(
    {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGSYS", "SIGTRAP"}
)
# Cores in use on average, below and above which it is plain what took the time.
_WAITING_CORES: Final = 0.1
_COMPUTING_CORES: Final = 0.9
# Memory that still rose at the end: over the second half, and by enough to matter.
_GROWTH_SHARE: Final = 0.2
_GROWTH_BYTES_PER_SECOND: Final = 1024 * 1024
_FEWEST_POINTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Other executions of the same name that ended in the same way.

    Attributes:
        executions: How many there are, at least.
        since_unix_ns: Start of the first of them, nanoseconds since the epoch.
        examples: Ids of the newest.
    """

    executions: int
    since_unix_ns: int
    examples: tuple[str, ...]


def cause_of(record: ExecutionRecord) -> str | None:
    """Why *record* ended as it did, without a full stop.

    >>> cause_of(ExecutionRecord(
    ...     execution_id="1", labels=Labels("job", Kind.COMMAND), trace_id="2", span_id="3",
    ...     started_unix_ns=0, ended_unix_ns=10**9, outcome=Outcome.KILLED,
    ...     attributes={names.EXECUTION_SIGNAL: "SIGSEGV"},
    ... ))
    'crashed: SIGSEGV'

    Returns:
        None while it runs, and where it succeeded with nothing to say about it.
    """
    return None if record.outcome is None else _CAUSES[record.outcome](record)


def cause_of_result(
    result: ExecutionResult, *, limits: Limits | None = None, timeout_seconds: float | None = None
) -> str | None:
    """Why the command that *result* is of ended as it did: as `cause_of` says of its record.

    Args:
        result: How it went.
        limits: What was held around it; None for nothing.
        timeout_seconds: Its time limit, seconds; None without one.
    """
    asked = {} if limits is None else limits.attributes()
    seen = {
        names.EXECUTION_TIMEOUT: timeout_seconds,
        names.EXECUTION_SIGNAL: result.signal,
        names.ERROR_REASON: result.reason,
        names.PROCESS_EXIT_CODE: None if result.pid is None else result.exit_code,
    }
    return cause_of(
        ExecutionRecord(
            execution_id=result.execution_id,
            labels=Labels(result.execution_id, Kind.COMMAND),
            trace_id=result.trace_id or "",
            span_id=result.span_id or "",
            started_unix_ns=0,
            ended_unix_ns=round(result.duration_seconds * 1e9),
            outcome=result.outcome,
            usage=result.usage,
            attributes={**asked, **seen, **result.attributes},
        )
    )


def alike_words(alike: Alike, write_time: Callable[[int], str]) -> str:
    """That others ended in the same way: ``2 more like it since 03:10 (a4f95d2b, 8f83f4aa)``.

    Args:
        alike: The others.
        write_time: Writes an instant, nanoseconds since the epoch.
    """
    ids = ", ".join(map(short_id, alike.examples))
    return f"{alike.executions:,} more like it since {write_time(alike.since_unix_ns)} ({ids})"


def growth_bytes_per_second(curve: Curve | None) -> float | None:
    """How fast memory still grew at the end, bytes per second; None where it did not, or little."""
    if curve is None or len(curve.seconds) < _FEWEST_POINTS:
        return None
    end_seconds, end_bytes = curve.seconds[-1], curve.memory_bytes[-1]
    half = next(n for n, at in enumerate(curve.seconds) if at >= end_seconds / 2)
    elapsed_seconds = end_seconds - curve.seconds[half]
    grown_bytes = end_bytes - curve.memory_bytes[half]
    if elapsed_seconds <= 0 or grown_bytes < _GROWTH_SHARE * end_bytes:
        return None
    rate = grown_bytes / elapsed_seconds
    return rate if rate >= _GROWTH_BYTES_PER_SECOND else None


def _text(record: ExecutionRecord, key: str) -> str | None:
    value = record.attributes.get(key)
    return value if isinstance(value, str) and value else None


def _number(record: ExecutionRecord, key: str) -> float | None:
    value = record.attributes.get(key)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number else None  # type: ignore[return-value] # looked at just above


def _after(record: ExecutionRecord) -> str:
    return f"after {in_seconds(record.duration_seconds)}"


def _success(record: ExecutionRecord) -> str | None:
    return _text(record, names.ERROR_REASON)


def _out_of_memory(record: ExecutionRecord) -> str:
    limit, peak = _number(record, names.LIMIT_MEMORY), record.usage.peak_memory_bytes
    if limit is not None:
        found = f"reached its {in_bytes(limit)} limit {_after(record)}"
    else:
        at = "" if peak is None else f", at {in_bytes(peak)}"
        found = f"killed by the kernel {_after(record)}{at}"
    rate = growth_bytes_per_second(record.usage.curve)
    return f"out of memory: {found}" + ("" if rate is None else f", growing {in_bytes(rate)}/s")


def _timeout(record: ExecutionRecord) -> str:
    timeout, seconds = _number(record, names.EXECUTION_TIMEOUT), record.duration_seconds
    is_reached = timeout is not None and seconds is not None and seconds >= timeout
    return f"timed out after {in_seconds(timeout if is_reached else seconds)}{_doing(record)}"


def _doing(record: ExecutionRecord) -> str:
    """What took the time, by the CPU it used: `` while waiting (2 % CPU)``."""
    seconds, cpu_seconds = record.duration_seconds, record.usage.cpu_seconds
    if not seconds or cpu_seconds is None:
        return ""
    cores = cpu_seconds / seconds
    doing = ""
    if cores <= _WAITING_CORES:
        doing = " while waiting"
    elif cores >= _COMPUTING_CORES:
        doing = " while computing"
    return f"{doing} ({in_percent(round(cores, 2))} CPU)"


def _killed(record: ExecutionRecord) -> str:
    signal = _text(record, names.EXECUTION_SIGNAL)
    if signal is None:
        return f"killed: {_text(record, names.ERROR_REASON) or 'by an unknown signal'}"
    return f"crashed: {signal}" if signal in _CRASHES else f"killed by {signal} {_after(record)}"


# By the type of limit: what it is called, its attribute, and how it is written.
_LIMITS: Final[Mapping[str, tuple[str, str, Callable[[float | None], str]]]] = {
    "cpu": ("CPU time", names.LIMIT_CPU, in_seconds),
    "memory": ("memory", names.LIMIT_MEMORY, in_bytes),
    "processes": ("process", names.LIMIT_PROCESSES, in_number),
    "file_size": ("file size", names.LIMIT_FILE_SIZE, in_bytes),
    "disk": ("disk", names.LIMIT_DISK, in_bytes),
}


def _limit_exceeded(record: ExecutionRecord) -> str:
    row = _LIMITS.get(_text(record, names.LIMIT_TYPE) or "")
    limit = None if row is None else _number(record, row[1])
    if row is None or limit is None:
        return _text(record, names.ERROR_REASON) or f"exceeded a limit {_after(record)}"
    return f"exceeded its {row[0]} limit of {row[2](limit)} {_after(record)}"


def _error(record: ExecutionRecord) -> str:
    code, kind = _number(record, names.PROCESS_EXIT_CODE), _text(record, names.ERROR_TYPE)
    if code is not None:
        return f"failed with exit code {code:.0f}"
    return f"failed: {_text(record, names.ERROR_REASON) or kind or 'it reported an error'}"


def _setup_error(record: ExecutionRecord) -> str:
    return f"could not start: {_text(record, names.ERROR_REASON) or 'the reason is not known'}"


def _cancelled(record: ExecutionRecord) -> str:
    return f"cancelled {_after(record)}"


def _unknown(record: ExecutionRecord) -> str:
    return f"ended {_after(record)}; its exit status is unknown"


def _host_died(record: ExecutionRecord) -> str:
    curve = record.usage.curve
    size = record.usage.peak_memory_bytes if curve is None else curve.memory_bytes[-1]
    return "observer died" + ("" if size is None else f"; last seen at {in_bytes(size)}")


_CAUSES: Final[Mapping[Outcome, Callable[[ExecutionRecord], str | None]]] = {
    Outcome.SUCCESS: _success,
    Outcome.ERROR: _error,
    Outcome.TIMEOUT: _timeout,
    Outcome.KILLED: _killed,
    Outcome.OOM_KILLED: _out_of_memory,
    Outcome.LIMIT_EXCEEDED: _limit_exceeded,
    Outcome.CANCELLED: _cancelled,
    Outcome.SETUP_ERROR: _setup_error,
    Outcome.UNKNOWN: _unknown,
    Outcome.HOST_DIED: _host_died,
}
