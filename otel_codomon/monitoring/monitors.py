"""Ask about executions by id: `ExecutionMonitor`, `MetricsCollector`, `ResourceMonitor`.

A thin face over the executions of this process and, through the journal, the
finished ones of any process on this machine. Making one of the three keeps
executions of this process watched from then on, also where no provider is
configured. A summary is of this process or of the machine, as asked.
"""

from __future__ import annotations

import time
from itertools import chain
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.refused_values import shown
from otel_codomon.errors import (
    InvalidArgumentError,
    JournalUnavailableError,
    UnknownExecutionError,
)
from otel_codomon.executions import providers
from otel_codomon.executions.block import execution
from otel_codomon.executions.finished import (
    check_details,
    check_id,
    make_finished,
    report_finished,
)
from otel_codomon.executions.running import registry
from otel_codomon.journal.folder import journal_folder
from otel_codomon.journal.reader import JournalReader
from otel_codomon.journal.running_executions import RunningExecutions
from otel_codomon.monitoring.values import (
    ExecutionMetrics,
    ExecutionStatus,
    Metrics,
    MetricsSummary,
    ResourceStats,
    ResourceUsage,
)
from otel_codomon.resources.labels import Kind
from otel_codomon.words import SCOPES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from otel_codomon.executions.running import Execution
    from otel_codomon.journal.execution_record import ExecutionRecord, Outcome
    from otel_codomon.resources.sample import Sample
    from otel_codomon.resources.usage import Usage
    from otel_codomon.words import KindWord, Scope

__all__ = [
    "ExecutionMetrics",
    "ExecutionMonitor",
    "ExecutionStatus",
    "Metrics",
    "MetricsCollector",
    "MetricsSummary",
    "ResourceMonitor",
    "ResourceStats",
    "ResourceUsage",
]
SUMMARY_LIMIT: Final = 100_000
"""Finished executions a summary looks at, the newest first."""


class _Monitor:
    """What the three classes share: where they look.

    Args:
        journal: Folder of the journal; None for the environment's.
    """

    def __init__(self, *, journal: str | None = None) -> None:
        registry.keep_finished()
        self._journal = _folder() if journal is None else journal

    def _find(self, execution_id: str) -> ExecutionRecord:
        running = registry.find(execution_id)
        if running is not None:
            return running.snapshot()
        for record in reversed(registry.finished()):
            if record.execution_id == execution_id:
                return record
        if self._journal is not None and execution_id:
            found = JournalReader(self._journal).of_id(execution_id)
            if found is not None:
                return found
        raise UnknownExecutionError(execution_id, self._looked_in)

    @property
    def _looked_in(self) -> str:
        if self._journal is None:
            return "this process (the journal is off)"
        return f"this process or the journal in {self._journal}"

    def _finished(self, scope: Scope) -> Iterable[ExecutionRecord]:
        """Finished executions, each once: of this process, or of the journal too."""
        kept = registry.finished()
        if _checked(scope) == "process" or self._journal is None:
            return kept
        # The caller may use an id again, but not at the same nanosecond.
        known = {(record.execution_id, record.started_unix_ns) for record in kept}
        others = JournalReader(self._journal).executions(limit=SUMMARY_LIMIT)
        return chain(
            kept,
            (
                record
                for record in others
                if record.outcome is not None
                and (record.execution_id, record.started_unix_ns) not in known
            ),
        )

    def _running_elsewhere(self, scope: Scope) -> int:
        """How many run in other processes of this machine, where *scope* includes those."""
        if _checked(scope) == "process" or self._journal is None:
            return 0
        here = {running.execution_id for running in registry.running()}
        living = RunningExecutions(self._journal).read()
        return sum(record.execution_id not in here for record in living)


def _checked(scope: object) -> object:
    if scope in SCOPES:
        return scope
    raise InvalidArgumentError(
        "scope", f"invalid scope {shown(scope)}: use one of {', '.join(SCOPES)}"
    )


class ExecutionMonitor(_Monitor):
    """Where executions stand, and runs that no block can hold."""

    def start_execution(
        self, name: str, *, execution_id: str | None = None, **said: object
    ) -> Execution:
        """Start an execution that `end_execution` ends, from any thread.

        Args:
            name: What metrics and spans call it.
            execution_id: The caller's own id; None for a new one.
            **said: The same as `otel_codomon.execution` takes.

        Returns:
            The running execution; its ``execution_id`` is what to end it by.

        Raises:
            InvalidArgumentError: An argument cannot mean anything, or an
                execution of this id is running in this process.
        """
        block = execution(name, **said)  # type: ignore[call-overload] # checked by itself
        chosen = check_id(execution_id)
        if registry.find(chosen) is not None:
            raise InvalidArgumentError(
                "execution_id",
                f"execution {chosen!r} is already running in this process: end it first, or "
                "use another id",
            )
        return providers.start_detached(block.spec, execution_id=chosen)

    def end_execution(
        self,
        execution_id: str,
        *,
        outcome: Outcome | str | None = None,
        exit_code: int | None = None,
        error: BaseException | None = None,
        result: object = None,
        reason: str | None = None,
    ) -> ExecutionMetrics:
        """End an execution of this process.

        Args:
            execution_id: Which one.
            outcome: How it ended, as an `Outcome` or a usual word for a status in any
                case; by default read from the others.
            exit_code: Its exit code.
            error: What it raised.
            result: What it returned, of any shape that `otel_codomon.execution` reads.
            reason: Why it ended so, in words of the caller's own.

        Raises:
            InvalidArgumentError: The outcome or the exit code is none.
            UnknownExecutionError: No execution of this id runs in this process.
        """
        said = check_details(outcome=outcome, exit_code=exit_code, reason=reason)
        running = registry.find(execution_id)
        if running is None:
            raise UnknownExecutionError(execution_id, "this process, running")
        running.record(outcome=said.outcome, exit_code=exit_code, reason=reason)
        if error is None:
            running.succeed(result)
        else:
            running.fail(error)
        return self.monitor_execution(execution_id)

    def record_finished(
        self,
        name: str,
        started: datetime | float,
        ended: datetime | float,
        outcome: Outcome | str | None = None,
        *,
        execution_id: str | None = None,
        exit_code: int | None = None,
        result: object = None,
        reason: str | None = None,
        usage: Usage | None = None,
        kind: Kind | KindWord = Kind.TASK,
        **said: object,
    ) -> ExecutionMetrics:
        """Record an execution that has already ended: a row of a queue, a remote result.

        It becomes a span with these times, counts in the histograms once, and
        is in the journal like any other. Nothing of it is measured here.

        Args:
            name: What metrics and spans call it.
            started: Seconds since the epoch, or an aware datetime.
            ended: The same.
            outcome: How it ended; by default read from exit code and result.
            execution_id: The caller's own id; None for a new one.
            exit_code: Its exit code.
            result: What it returned, of any shape that `otel_codomon.execution` reads.
            reason: Why it ended so, in words of the caller's own.
            usage: What it used, as far as the caller knows.
            kind: What was executed.
            **said: The same as `otel_codomon.execution` takes.

        Raises:
            InvalidArgumentError: An argument cannot mean anything, or how it
                ended is not said.
        """
        finished = make_finished(
            execution(name, kind=kind, **said).spec,  # type: ignore[call-overload] # checked by itself
            times=(started, ended),
            details=check_details(
                outcome=outcome, exit_code=exit_code, result=result, reason=reason
            ),
            execution_id=execution_id,
            usage=usage,
        )
        record = report_finished(providers.any_telemetry(), finished)
        return ExecutionMetrics.of(record, now_unix_ns=finished.ended_unix_ns)

    def monitor_execution(self, execution_id: str) -> ExecutionMetrics:
        """What is known of one execution, running or finished.

        Raises:
            UnknownExecutionError: There is none of this id.
        """
        return ExecutionMetrics.of(self._find(execution_id), now_unix_ns=time.time_ns())

    def get_execution_status(self, execution_id: str) -> ExecutionStatus:
        """Where one execution stands.

        Raises:
            UnknownExecutionError: There is none of this id.
        """
        return ExecutionStatus.of(self._find(execution_id))


class MetricsCollector(_Monitor):
    """The numbers of executions, one by one and together."""

    def collect_metrics(self, execution_id: str) -> Metrics:
        """The numbers of one execution, running or finished.

        Raises:
            UnknownExecutionError: There is none of this id.
        """
        return Metrics.of(self._find(execution_id), now_unix_ns=time.time_ns())

    def get_metrics_summary(self, *, scope: Scope = "machine") -> MetricsSummary:
        """All executions together: counts, success rates, durations.

        Args:
            scope: ``machine``: those of every process, as far as the journal
                has them. ``process``: those of this process, of the finished
                the last 1,000 since the first monitor was made.

        Raises:
            InvalidArgumentError: The scope is none of the two.
        """
        running = len(registry.running()) + self._running_elsewhere(scope)
        return MetricsSummary.of(self._finished(scope), running=running)


class ResourceMonitor(_Monitor):
    """What executions use, one by one and together."""

    def track_resources(self, execution_id: str) -> ResourceUsage:
        """What one execution uses, running or finished.

        A running one is looked at now, so that the answer is never older than the question.

        Raises:
            UnknownExecutionError: There is none of this id.
        """
        running = registry.find(execution_id)
        sample = None if running is None else _look(running)
        return ResourceUsage.of(self._find(execution_id), sample)

    def get_resource_stats(self, *, scope: Scope = "machine") -> ResourceStats:
        """What the running executions use together, and what the finished ones used.

        What is used now is of the executions of this process, whatever the
        scope: those that run elsewhere are counted apart.

        Args:
            scope: As for `MetricsCollector.get_metrics_summary`.

        Raises:
            InvalidArgumentError: The scope is none of the two.
        """
        return ResourceStats.of(
            self._finished(scope),
            map(_look, registry.running()),
            running_elsewhere=self._running_elsewhere(scope),
        )


def _look(running: Execution) -> Sample | None:
    """The sample of this moment; None where nothing can be seen."""
    running.tracker.sample()
    return running.tracker.latest


def _folder() -> str | None:
    try:
        return journal_folder()
    except JournalUnavailableError:  # no home: then there is no journal to look in
        return None
