"""What `run` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otel_codomon.journal.execution_record import Outcome
from otel_codomon.resources.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Output:
    """What a command wrote to one of its streams.

    Attributes:
        kept: The beginning of it, up to the limit on output.
        total_bytes: Everything it wrote, bytes.
    """

    kept: bytes = b""
    total_bytes: int = 0

    @property
    def is_truncated(self) -> bool:
        """Whether more was written than was kept."""
        return self.total_bytes > len(self.kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult:
    """How one command or source text went.

    Attributes:
        execution_id: Identifies it.
        outcome: How it ended.
        exit_code: Exit code as a shell tells it, 128+n for signal n; None when
            it was never started.
        signal: Name of the signal that ended it, as ``SIGKILL``; None when none did.
        reason: Why it ended so, in words of this package; None on success.
        duration_seconds: From the start until nothing of its tree was left, seconds.
        output: What it wrote to standard output.
        errors: What it wrote to standard error.
        usage: What its whole tree used.
        pid: Process id of the command; None when it was never started.
        trace_id: Its trace; None while nothing is configured.
        span_id: Its span; None while nothing is configured.
        attributes: What more is known of it, as on its span.
    """

    execution_id: str
    outcome: Outcome
    exit_code: int | None = None
    signal: str | None = None
    reason: str | None = None
    duration_seconds: float
    output: Output = field(default_factory=Output)
    errors: Output = field(default_factory=Output)
    usage: Usage = field(default_factory=Usage)
    pid: int | None = None
    trace_id: str | None = None
    span_id: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether it ended as it should."""
        return self.outcome is Outcome.SUCCESS

    @property
    def stdout(self) -> str:
        """What was kept of standard output, as text; what is not UTF-8 is replaced."""
        return self.output.kept.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """What was kept of standard error, as `stdout`."""
        return self.errors.kept.decode("utf-8", "replace")

    @property
    def truncated(self) -> bool:
        """Whether more was written, to either stream, than was kept."""
        return self.output.is_truncated or self.errors.is_truncated
