"""Run a command or a source text as one execution, and report on it in plain data."""

from __future__ import annotations

from dataclasses import dataclass

from otel_codomon.errors import InvalidArgumentError
from otel_codomon.sandbox.runner import run
from otel_codomon.values.limits import Limits

# Of each output stream, so that an answer can be read.
SHOWN_BYTES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandReport:
    """How a command went. None is not known.

    Attributes:
        execution_id: Identifies it.
        outcome: How it ended.
        exit_code: Exit code as a shell tells it; None when it was never started.
        signal: Name of the signal that ended it; None when none did.
        reason: Why it ended so; None on success.
        duration_seconds: How long it took, seconds.
        cpu_seconds: CPU time of its whole tree, seconds.
        peak_memory_bytes: Most memory of its whole tree, bytes.
        output: The beginning of what it wrote to standard output.
        errors: The beginning of what it wrote to standard error.
        is_truncated: Whether it wrote more than that.
        trace_id: Its trace; None while nothing is configured.
    """

    execution_id: str
    outcome: str
    exit_code: int | None
    signal: str | None
    reason: str | None
    duration_seconds: float
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    output: str
    errors: str
    is_truncated: bool
    trace_id: str | None


def run_command(
    *,
    command: list[str] | None = None,
    source: str | None = None,
    language: str | None = None,
    timeout_seconds: float = 60.0,
    memory_bytes: int | None = None,
) -> CommandReport:
    """Run a command, or a source text in a language.

    Args:
        command: Program and arguments.
        source: Source text, instead of a command.
        language: Its language.
        timeout_seconds: Longest time, seconds.
        memory_bytes: Most memory, bytes; None for no limit.

    Raises:
        InvalidArgumentError: An argument cannot mean anything.
    """
    if (command is None) == (source is None):
        raise InvalidArgumentError(
            "command", "cannot run that: give either a command or a source text"
        )
    result = run(
        source if command is None else command,  # type: ignore[arg-type] # one of them is there
        language=language,
        timeout=timeout_seconds,
        limits=Limits(memory_bytes=memory_bytes, output_bytes=SHOWN_BYTES),
    )
    return CommandReport(
        execution_id=result.execution_id,
        outcome=result.outcome.value,
        exit_code=result.exit_code,
        signal=result.signal,
        reason=result.reason,
        duration_seconds=result.duration_seconds,
        cpu_seconds=result.usage.cpu_seconds,
        peak_memory_bytes=result.usage.peak_memory_bytes,
        output=result.output.kept.decode("utf-8", "replace"),
        errors=result.errors.kept.decode("utf-8", "replace"),
        is_truncated=result.output.is_truncated or result.errors.is_truncated,
        trace_id=result.trace_id,
    )
