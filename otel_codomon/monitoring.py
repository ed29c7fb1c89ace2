"""Ask about executions by id: `ExecutionMonitor`, `MetricsCollector`, `ResourceMonitor`.

A thin face over the executions of this process and, through the journal, the
finished ones of any process on this machine. Making one of the three keeps
executions of this process watched from then on, also where no provider is
configured.
"""

from __future__ import annotations

import time
from itertools import chain
from typing import TYPE_CHECKING, Final

from otel_codomon.errors import JournalUnavailableError, UnknownExecutionError
from otel_codomon.executions import engine, registry
from otel_codomon.executions.block import execution
from otel_codomon.journal.folder import journal_folder
from otel_codomon.journal.reader import JournalReader
from otel_codomon.values.monitored import (
    ExecutionMetrics,
    ExecutionStatus,
    Metrics,
    MetricsSummary,
    ResourceStats,
    ResourceUsage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_codomon.executions.running import Execution
    from otel_codomon.values.execution import ExecutionRecord, Outcome
    from otel_codomon.values.sample import Sample

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
        for record in registry.finished():
            if record.execution_id == execution_id:
                return record
        if self._journal is not None and execution_id:
            found = JournalReader(self._journal).find(execution_id)
            if found is not None and found.execution_id == execution_id:
                return found
        raise UnknownExecutionError(execution_id, self._looked_in)

    @property
    def _looked_in(self) -> str:
        if self._journal is None:
            return "a journal, which is switched off"
        return f"the journal {self._journal}"

    def _finished(self) -> Iterable[ExecutionRecord]:
        """Finished executions, each once: of this process and of the journal."""
        kept = {record.execution_id: record for record in registry.finished()}
        journal = JournalReader(self._journal) if self._journal is not None else None
        others = [] if journal is None else journal.executions(limit=SUMMARY_LIMIT)
        return chain(
            kept.values(),
            (
                record
                for record in others
                if record.outcome is not None and record.execution_id not in kept
            ),
        )


class ExecutionMonitor(_Monitor):
    """Where executions stand, and runs that no block can hold."""

    def start_execution(self, name: str, **said: object) -> Execution:
        """Start an execution that `end_execution` ends, from any thread.

        Args:
            name: What metrics and spans call it.
            **said: The same as `otel_codomon.execution` takes.

        Returns:
            The running execution; its ``execution_id`` is what to end it by.

        Raises:
            InvalidArgumentError: An argument cannot mean anything.
        """
        block = execution(name, **said)  # type: ignore[call-overload] # checked by itself
        return engine.start_detached(block.plan)

    def end_execution(
        self,
        execution_id: str,
        *,
        outcome: Outcome | str | None = None,
        exit_code: int | None = None,
        error: BaseException | None = None,
    ) -> ExecutionMetrics:
        """End an execution of this process.

        Args:
            execution_id: Which one.
            outcome: How it ended; by default read from the other two.
            exit_code: Its exit code.
            error: What it raised.

        Raises:
            UnknownExecutionError: No execution of this id runs in this process.
        """
        running = registry.find(execution_id)
        if running is None:
            raise UnknownExecutionError(execution_id, "the running ones, which alone can be ended")
        running.record(outcome=outcome, exit_code=exit_code)
        if error is None:
            running.succeed()
        else:
            running.fail(error)
        return self.monitor_execution(execution_id)

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

    def get_metrics_summary(self) -> MetricsSummary:
        """All executions together: counts, success rates, durations."""
        return MetricsSummary.of(self._finished(), running=len(registry.running()))


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

    def get_resource_stats(self) -> ResourceStats:
        """What the running and the finished executions use together."""
        return ResourceStats.of(self._finished(), map(_look, registry.running()))


def _look(running: Execution) -> Sample | None:
    """The sample of this moment; None where nothing can be seen."""
    running.watch.look()
    return running.watch.latest


def _folder() -> str | None:
    try:
        return journal_folder()
    except JournalUnavailableError:  # no home: then there is no journal to look in
        return None
