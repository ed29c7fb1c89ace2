"""What an execution is called and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from otel_codomon.resources.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_codomon.resources.labels import Labels


class Outcome(str, Enum):
    """How an execution ended.

    Everything is an error on its span but ``SUCCESS`` and ``UNKNOWN``: it ended
    and nothing shows how.
    """

    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"
    KILLED = "killed"
    OOM_KILLED = "oom_killed"
    LIMIT_EXCEEDED = "limit_exceeded"
    CANCELLED = "cancelled"
    SETUP_ERROR = "setup_error"
    UNKNOWN = "unknown"
    HOST_DIED = "host_died"

    @property
    def is_failure(self) -> bool:
        """Whether it is known not to have ended well."""
        return self not in _NO_FAILURES


_NO_FAILURES: Final = frozenset({Outcome.SUCCESS, Outcome.UNKNOWN})


# What the status of a span says of each outcome: our own words, never the child's.
STATUS_WORDS: Final[Mapping[Outcome, str]] = {
    Outcome.ERROR: "ended with an error",
    Outcome.TIMEOUT: "ran out of time",
    Outcome.KILLED: "ended by a signal",
    Outcome.OOM_KILLED: "ran out of memory",
    Outcome.LIMIT_EXCEEDED: "ran into a limit",
    Outcome.CANCELLED: "cancelled",
    Outcome.SETUP_ERROR: "could not be started",
    Outcome.HOST_DIED: "the process that observed it died",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRecord:
    """One execution, running or finished, as this machine remembers it.

    Attributes:
        execution_id: Identifies it.
        labels: What its metrics are summed by.
        trace_id: Its trace, 32 hexadecimal digits.
        span_id: Its span, 16 hexadecimal digits.
        parent_span_id: The span it is a child of; None for a root.
        started_unix_ns: Start, nanoseconds since the epoch.
        ended_unix_ns: End, nanoseconds since the epoch; None while it runs.
        outcome: How it ended; None while it runs.
        host_pid: Process that observed it.
        usage: What it used; its fields are None where nothing is known (yet).
        attributes: All attributes of its span.
    """

    execution_id: str
    labels: Labels
    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    started_unix_ns: int
    ended_unix_ns: int | None = None
    outcome: Outcome | None = None
    host_pid: int | None = None
    usage: Usage = field(default_factory=Usage)
    attributes: Mapping[str, object] = field(default_factory=dict)

    @property
    def duration_seconds(self) -> float | None:
        """From start to end, seconds; None while it runs."""
        if self.ended_unix_ns is None:
            return None
        return max(0, self.ended_unix_ns - self.started_unix_ns) / 1e9
