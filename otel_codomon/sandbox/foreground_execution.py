"""A command in our place as an execution: from what the kernel tells to the journal.

Imported while the command runs: nothing of it is needed to start one.
"""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_codomon import names
from otel_codomon.sandbox.ending import Ending, LimitSeen, judge, since, usage_of
from otel_codomon.sandbox.light_execution import LightExecution
from otel_codomon.values.cleaning import clean_name, clean_text
from otel_codomon.values.execution import Kind, Labels, Outcome, SandboxType
from otel_codomon.values.limits import Limits
from otel_codomon.values.result import ExecutionResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_codomon.sandbox.foreground import Foreground
    from otel_codomon.sandbox.light_execution import Identity
    from otel_codomon.values.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the user said of the command.

    Attributes:
        executable: Name of its program.
        name: What the execution is called; None for the program's name.
        language: Language of its source text; None for a command.
        session_id: The session that asked for it.
        timeout: Longest time, seconds.
        limits: What it may use; None for no limits.
    """

    executable: str
    name: str | None = None
    language: str | None = None
    session_id: str | None = None
    timeout: float | None = None
    limits: Limits | None = None

    def labels(self) -> Labels:
        """What its metrics are summed by."""
        return Labels(
            clean_name(self.name or self.executable, default="command"),
            Kind.COMMAND if self.language is None else Kind.SNIPPET,
            self.language,
            SandboxType.PROCESS,
        )

    def attributes(self, pid: int | None) -> dict[str, object]:
        """What its span starts with, besides the labels."""
        told = {
            names.PROCESS_EXECUTABLE_NAME: clean_text(self.executable),
            names.PROCESS_PID: pid,
            names.EXECUTION_SESSION_ID: self.session_id and clean_text(self.session_id),
            names.EXECUTION_TIMEOUT: self.timeout,
            **(self.limits or Limits()).attributes(),
        }
        return {key: value for key, value in told.items() if value is not None}


class ForegroundExecution:
    """The execution of one command that runs in our place."""

    def __init__(self, identity: Identity, said: Said, pid: int | None) -> None:
        self._said = said
        self._pid = pid
        self._told = LightExecution(identity, said.labels(), said.attributes(pid))

    @property
    def problem(self) -> str | None:
        """Why it is not in the journal; None when it is."""
        return self._told.problem

    def end(self, foreground: Foreground, usage: Usage | None = None) -> ExecutionResult:
        """Tell how the command ended.

        Args:
            foreground: The command, which has ended.
            usage: What was seen of it while it ran; None when nobody looked.
        """
        limit = None if foreground.limit is None else LimitSeen(*foreground.limit)
        ending = Ending(
            pid=foreground.tree.pid,
            status=foreground.tree.status,
            rusage=since(foreground.before, tuple(resource.getrusage(resource.RUSAGE_CHILDREN))),
            timed_out=foreground.timed_out,
            limit=limit,
        )
        return self._finish(ending, usage)

    def fail(self, error: OSError) -> ExecutionResult:
        """Tell that the command could not be started."""
        return self._finish(Ending(failure=error.errno), None)

    def _finish(self, ending: Ending, usage: Usage | None) -> ExecutionResult:
        verdict, limit = judge(ending, self._said.limits or Limits())
        usage = usage or usage_of(ending.rusage)
        identity = self._told.identity
        events = [] if limit is None else [self._limit_event(limit)]
        seconds = self._told.end(verdict, usage.attributes(), events)
        return ExecutionResult(
            execution_id=identity.execution_id,
            outcome=verdict.outcome or Outcome.ERROR,
            exit_code=verdict.exit_code,
            signal=verdict.signal,
            reason=verdict.reason,
            duration_seconds=seconds,
            usage=usage,
            pid=self._pid,
            trace_id=identity.trace_id,
            span_id=identity.span_id,
        )

    def _limit_event(self, limit: LimitSeen) -> Mapping[str, object]:
        told = {
            names.LIMIT_TYPE: limit.limit,
            names.LIMIT_VALUE: getattr(self._said.limits, limit.field),
            names.LIMIT_SEEN: limit.seen,
        }
        known = {key: value for key, value in told.items() if value is not None}
        return {
            "name": names.EVENT_LIMIT_REACHED,
            "unix_ns": time.time_ns(),
            "attributes": known,
        }
