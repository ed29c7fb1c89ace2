"""Ask about executions by id: `ExecutionMonitor`, `MetricsCollector`, `ResourceMonitor`.

A thin face over the executions of this process and, through the journal, the
finished ones of any process on this machine. Making one of the three keeps
executions of this process watched from then on, also where no provider is
configured.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeVar

from otel_codomon import names
from otel_codomon.errors import JournalUnavailableError, UnknownExecutionError
from otel_codomon.executions import engine, registry
from otel_codomon.executions.block import execution
from otel_codomon.journal.folder import journal_folder
from otel_codomon.journal.reader import JournalReader
from otel_codomon.values.distribution import Distribution
from otel_codomon.values.execution import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_codomon.executions.running import Execution
    from otel_codomon.values.execution import ExecutionRecord
    from otel_codomon.values.sample import Sample
    from otel_codomon.values.usage import Usage

N = TypeVar("N", int, float)
SUMMARY_LIMIT: Final = 100_000
"""Finished executions a summary looks at, the newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionStatus:
    """Where an execution stands.

    Attributes:
        execution_id: Identifies it.
        name: What the developer calls it.
        is_running: Whether it runs now.
        outcome: How it ended; None while it runs.
        started_unix_ns: Start, nanoseconds since the epoch.
        ended_unix_ns: End, nanoseconds since the epoch; None while it runs.
        host_pid: The process that observes it; None where that is not known.
    """

    execution_id: str
    name: str
    is_running: bool
    outcome: Outcome | None
    started_unix_ns: int
    ended_unix_ns: int | None
    host_pid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionMetrics:
    """An execution as a whole: what it is, how it went, what it used.

    Attributes:
        status: Where it stands.
        kind: What is executed.
        language: Its language; None when nobody said.
        trace_id: Its trace, 32 hexadecimal digits; empty without a tracer.
        duration_seconds: From start to end, or until now while it runs, seconds.
        exit_code: Exit code; None where it has none.
        usage: What it used so far; its fields are None where nothing is known.
    """

    status: ExecutionStatus
    kind: str
    language: str | None
    trace_id: str
    duration_seconds: float
    exit_code: int | None
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The numbers of one execution. None means not known.

    Attributes:
        execution_id: Identifies it.
        outcome: How it ended; None while it runs.
        duration_seconds: From start to end, or until now, seconds.
        cpu_seconds: CPU time, seconds.
        peak_memory_bytes: Most memory in use at one instant, bytes.
        disk_read_bytes: Bytes fetched from storage.
        disk_write_bytes: Bytes sent to storage.
        processes: Processes that were seen.
        source: How the totals were measured.
    """

    execution_id: str
    outcome: Outcome | None
    duration_seconds: float
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    disk_read_bytes: int | None
    disk_write_bytes: int | None
    processes: int | None
    source: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSummary:
    """Finished executions that have something in common.

    Attributes:
        executions: How many there are.
        successes: How many of them succeeded.
        duration_seconds: Their durations, seconds; None when there are none.
    """

    executions: int
    successes: int
    duration_seconds: Distribution | None

    @property
    def success_rate(self) -> float | None:
        """Share that succeeded, 0 to 1; None when there are none."""
        return self.successes / self.executions if self.executions else None


class _Tally:
    """Adds up finished executions one by one, so that no more than numbers is kept."""

    def __init__(self) -> None:
        self._durations: list[float] = []
        self._successes = 0

    def add(self, record: ExecutionRecord) -> None:
        self._durations.append(_duration_seconds(record))
        self._successes += record.outcome is Outcome.SUCCESS

    def summary(self) -> GroupSummary:
        return GroupSummary(
            executions=len(self._durations),
            successes=self._successes,
            duration_seconds=Distribution.of(self._durations),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSummary:
    """All executions together.

    Attributes:
        running: How many run in this process now.
        finished: The finished ones together.
        by_outcome: How many ended in each way.
        by_language: The finished ones by language; ``unknown`` when nobody said.
        by_name: The finished ones by name.
    """

    running: int
    finished: GroupSummary
    by_outcome: Mapping[Outcome, int]
    by_language: Mapping[str, GroupSummary]
    by_name: Mapping[str, GroupSummary]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceUsage:
    """What one execution uses: now, while it runs, and in total.

    Attributes:
        execution_id: Identifies it.
        is_running: Whether it runs now; else what is true now is None.
        cores: Cores in use now.
        memory_bytes: Memory in use now, bytes.
        processes: Living processes now.
        threads: Their threads now.
        file_descriptors: Their open file descriptors now.
        disk_read_bytes_per_second: Read from storage now.
        disk_write_bytes_per_second: Written to storage now.
        total: What it used so far, or altogether.
    """

    execution_id: str
    is_running: bool
    cores: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    threads: int | None = None
    file_descriptors: int | None = None
    disk_read_bytes_per_second: float | None = None
    disk_write_bytes_per_second: float | None = None
    total: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceStats:
    """What executions use together. None means that of none of them it is known.

    Attributes:
        running: Executions that run in this process now.
        cores: Cores that these keep busy now.
        memory_bytes: Memory that these hold now, bytes.
        processes: Living processes of these now.
        finished: Finished executions the rest is about.
        cpu_seconds: CPU time of each, seconds.
        peak_memory_bytes: Memory peak of each, bytes.
    """

    running: int
    cores: float | None
    memory_bytes: int | None
    processes: int | None
    finished: int
    cpu_seconds: Distribution | None
    peak_memory_bytes: Distribution | None


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
        record = self._find(execution_id)
        exit_code = record.attributes.get(names.PROCESS_EXIT_CODE)
        return ExecutionMetrics(
            status=_status(record),
            kind=record.labels.kind.value,
            language=record.labels.language,
            trace_id=record.trace_id,
            duration_seconds=_duration_seconds(record),
            exit_code=exit_code if isinstance(exit_code, int) else None,
            usage=record.usage,
        )

    def get_execution_status(self, execution_id: str) -> ExecutionStatus:
        """Where one execution stands.

        Raises:
            UnknownExecutionError: There is none of this id.
        """
        return _status(self._find(execution_id))


class MetricsCollector(_Monitor):
    """The numbers of executions, one by one and together."""

    def collect_metrics(self, execution_id: str) -> Metrics:
        """The numbers of one execution, running or finished.

        Raises:
            UnknownExecutionError: There is none of this id.
        """
        record = self._find(execution_id)
        usage = record.usage
        return Metrics(
            execution_id=record.execution_id,
            outcome=record.outcome,
            duration_seconds=_duration_seconds(record),
            cpu_seconds=usage.cpu_seconds,
            peak_memory_bytes=usage.peak_memory_bytes,
            disk_read_bytes=usage.disk_read_bytes,
            disk_write_bytes=usage.disk_write_bytes,
            processes=usage.processes,
            source=usage.source,
        )

    def get_metrics_summary(self) -> MetricsSummary:
        """All executions together: counts, success rates, durations."""
        total, outcomes = _Tally(), Counter[Outcome]()
        languages: dict[str, _Tally] = defaultdict(_Tally)
        by_name: dict[str, _Tally] = defaultdict(_Tally)
        for record in self._finished():
            if record.outcome is not None:
                outcomes[record.outcome] += 1
            labels = record.labels
            for tally in (total, languages[labels.language or "unknown"], by_name[labels.name]):
                tally.add(record)
        return MetricsSummary(
            running=len(registry.running()),
            finished=total.summary(),
            by_outcome=outcomes,
            by_language={name: languages[name].summary() for name in sorted(languages)},
            by_name={name: by_name[name].summary() for name in sorted(by_name)},
        )


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
        record = self._find(execution_id)
        total = record.usage
        if sample is None:
            return ResourceUsage(
                execution_id=execution_id, is_running=record.outcome is None, total=total
            )
        return ResourceUsage(
            execution_id=execution_id,
            is_running=True,
            total=replace(total, cpu_seconds=sample.cpu_seconds),
            **{field: getattr(sample, field) for field in _NOW},
        )

    def get_resource_stats(self) -> ResourceStats:
        """What the running and the finished executions use together."""
        running = registry.running()
        samples = [sample for sample in map(_look, running) if sample is not None]
        cpu_seconds: list[float] = []
        peaks: list[float] = []
        finished = 0
        for record in self._finished():
            finished += 1
            if record.usage.cpu_seconds is not None:
                cpu_seconds.append(record.usage.cpu_seconds)
            if record.usage.peak_memory_bytes is not None:
                peaks.append(record.usage.peak_memory_bytes)
        return ResourceStats(
            running=len(running),
            cores=_sum(sample.cores for sample in samples),
            memory_bytes=_sum(sample.memory_bytes for sample in samples),
            processes=_sum(sample.processes for sample in samples),
            finished=finished,
            cpu_seconds=Distribution.of(cpu_seconds),
            peak_memory_bytes=Distribution.of(peaks),
        )


_NOW: Final = tuple(
    field.name
    for field in fields(ResourceUsage)
    if field.name not in {"execution_id", "is_running", "total"}
)


def _look(running: Execution) -> Sample | None:
    """The sample of this moment; None where nothing can be seen."""
    running.watch.look()
    return running.watch.latest


def _sum(values: Iterable[N | None]) -> N | None:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


def _folder() -> str | None:
    try:
        return journal_folder()
    except JournalUnavailableError:  # no home: then there is no journal to look in
        return None


def _status(record: ExecutionRecord) -> ExecutionStatus:
    return ExecutionStatus(
        execution_id=record.execution_id,
        name=record.labels.name,
        is_running=record.outcome is None,
        outcome=record.outcome,
        started_unix_ns=record.started_unix_ns,
        ended_unix_ns=record.ended_unix_ns,
        host_pid=record.host_pid,
    )


def _duration_seconds(record: ExecutionRecord) -> float:
    if record.duration_seconds is not None:
        return record.duration_seconds
    return max(0, time.time_ns() - record.started_unix_ns) / 1e9
