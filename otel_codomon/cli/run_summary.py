"""What `otel-codomon run` says when the command has ended."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from otel_codomon._platform.json_values import plain
from otel_codomon._platform.printable import printable
from otel_codomon.cli.standard_streams import tell
from otel_codomon.journal.execution_record import Outcome

if TYPE_CHECKING:
    from otel_codomon.resources.usage import Usage
    from otel_codomon.sandbox.result import ExecutionResult

_STDERR = 2
_BYTES_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def write_summary(result: ExecutionResult, *, form: str, where: str | None) -> None:
    """Write the summary in one piece.

    Args:
        result: How the command went.
        form: ``text`` or ``json``.
        where: A file, the number of a descriptor, or None for stderr.
    """
    text = as_json(result) if form == "json" else as_text(result)
    try:
        _write(text + "\n", where)
    except OSError as error:
        # The exit code stays the command's: this is our trouble, not its.
        place = "standard error" if where is None else printable(where)
        reason = os.strerror(error.errno or 0)
        tell(f"otel-codomon: cannot write the summary to {place}: {reason}\n")


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


def as_text(result: ExecutionResult) -> str:
    """One line for people; what is not known is left out."""
    ended = result.outcome.value.replace("_", " ")
    if result.outcome is not Outcome.SUCCESS:
        ended += f" (exit code {result.exit_code})"
    if result.reason and (result.pid is None or result.outcome is Outcome.SETUP_ERROR):
        ended += f": {printable(result.reason)}"  # nothing else of it has been seen
    parts = [ended, f"{result.duration_seconds:.2f} s", *_used(result.usage)]
    return f"otel-codomon: {', '.join(parts)}; otel-codomon show {result.execution_id[:12]}"


def _used(usage: Usage) -> list[str]:
    found = []
    if usage.cpu_seconds is not None:
        found.append(f"CPU {usage.cpu_seconds:.2f} s")
    if usage.peak_memory_bytes is not None:
        found.append(f"memory {format_bytes(usage.peak_memory_bytes)}")
    return found


def format_bytes(count: float) -> str:
    """*count* in the largest unit in which it is at least 1."""
    for unit in _BYTES_UNITS[:-1]:
        if count < 1024:  # noqa: PLR2004 - from one unit to the next
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_BYTES_UNITS[-1]}"
