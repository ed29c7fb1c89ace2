"""What `otel-codomon run` says when the command has ended."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.json_values import plain
from otel_codomon._platform.printable import printable
from otel_codomon._platform.quantities import in_bytes, in_seconds
from otel_codomon.cli.standard_streams import write_error
from otel_codomon.report.cause import cause_of_result
from otel_codomon.report.short_ids import short_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_codomon.resources.limits import Limits
    from otel_codomon.resources.usage import Usage
    from otel_codomon.sandbox.result import ExecutionResult

_STDERR: Final = 2


def write_summary(text: str, where: str | None) -> None:
    """Write the summary in one piece.

    Args:
        text: The summary, one line.
        where: A file, the number of a descriptor, or None for stderr.
    """
    try:
        _write(text + "\n", where)
    except OSError as error:
        # The exit code stays the command's: this is our trouble, not its.
        place = "standard error" if where is None else printable(where)
        reason = os.strerror(error.errno or 0)
        write_error(f"otel-codomon: cannot write the summary to {place}: {reason}\n")


def write_problem(problem: str) -> None:
    """Write to stderr why the execution is not in the journal."""
    try:
        _write(f"otel-codomon: {printable(problem)}\n", None)
    except OSError:  # stderr is closed or full: nothing else to write it to
        return


def _write(text: str, where: str | None) -> None:
    data = text.encode("utf-8", "backslashreplace")
    if where is None or where.isdigit():
        os.write(_STDERR if where is None else int(where), data)
        return
    with open(where, "wb") as file:  # noqa: PTH123 - nothing else here needs pathlib
        file.write(data)


def as_json(result: ExecutionResult) -> str:
    """One object on one line; what is not known is left out."""
    usage = result.usage
    told = {
        "execution_id": result.execution_id,
        "outcome": result.outcome.value,
        "exit_code": result.exit_code,
        "signal": result.signal,
        "reason": result.reason,
        "duration_seconds": result.duration_seconds,
        "cpu_seconds": usage.cpu_seconds,
        "cpu_user_seconds": usage.cpu_user_seconds,
        "cpu_system_seconds": usage.cpu_system_seconds,
        "peak_memory_bytes": usage.peak_memory_bytes,
        "disk_read_bytes": usage.disk_read_bytes,
        "disk_write_bytes": usage.disk_write_bytes,
        "processes": usage.processes,
        "usage_source": usage.source,
        "pid": result.pid,
        "trace_id": result.trace_id,
        "span_id": result.span_id,
    }
    return json.dumps(plain({k: v for k, v in told.items() if v is not None}))


def as_text(
    result: ExecutionResult,
    *,
    limits: Limits | None = None,
    timeout_seconds: float | None = None,
    verbose: bool = False,
) -> str:
    """One line for people: how it went, what it used, and the command that shows more.

    Args:
        result: How the command went; what is not known is left out.
        limits: What was held around it; None for nothing.
        timeout_seconds: Its time limit, seconds; None without one.
        verbose: Whether all figures are written.
    """
    cause = cause_of_result(result, limits=limits, timeout_seconds=timeout_seconds)
    how = result.outcome.value if cause is None else cause
    if result.pid is None and result.reason is not None and result.reason not in how:
        how += f" ({result.reason})"  # nothing else of it has been seen
    seconds = in_seconds(result.duration_seconds)
    parts = [
        printable(how),
        *([] if seconds in how else [seconds]),
        *_used(result.usage, verbose=verbose),
    ]
    return f"otel-codomon: {', '.join(parts)}; otel-codomon show {short_id(result.execution_id)}"


# The words before each figure, and how it is written; the first two always.
_FIGURES: Final[Mapping[str, tuple[str, Callable[[float | None], str]]]] = {
    "cpu_seconds": ("CPU", in_seconds),
    "peak_memory_bytes": ("memory", in_bytes),
    "cpu_user_seconds": ("user", in_seconds),
    "cpu_system_seconds": ("system", in_seconds),
    "disk_read_bytes": ("disk read", in_bytes),
    "disk_write_bytes": ("disk write", in_bytes),
}
_ALWAYS: Final = ("cpu_seconds", "peak_memory_bytes")


def _used(usage: Usage, *, verbose: bool) -> Iterator[str]:
    for name, (words, write) in _FIGURES.items():
        value = getattr(usage, name)
        if value is not None and (verbose or name in _ALWAYS):
            yield f"{words} {write(value)}"
