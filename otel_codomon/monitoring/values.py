"""What the three monitors answer: one value for each question."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final, TypeVar

from otel_codomon import names
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.report.distribution import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_codomon.journal.execution_record import ExecutionRecord
    from otel_codomon.resources.sample import Sample
    from otel_codomon.resources.usage import Usage

N = TypeVar("N", int, float)


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

    @classmethod
    def of(cls, record: ExecutionRecord) -> ExecutionStatus:
        """Where *record* stands."""
        return cls(
            execution_id=record.execution_id,
            name=record.labels.name,
            is_running=record.outcome is None,
            outcome=record.outcome,
            started_unix_ns=record.started_unix_ns,
            ended_unix_ns=record.ended_unix_ns,
            host_pid=record.host_pid,
        )


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

    @classmethod
    def of(cls, record: ExecutionRecord, *, now_unix_ns: int) -> ExecutionMetrics:
        """What *record* tells, at the time *now_unix_ns*."""
        exit_code = record.attributes.get(names.PROCESS_EXIT_CODE)
        return cls(
            status=ExecutionStatus.of(record),
            kind=record.labels.kind.value,
            language=record.labels.language,
            trace_id=record.trace_id,
            duration_seconds=_duration_seconds(record, now_unix_ns),
            exit_code=exit_code if isinstance(exit_code, int) else None,
            usage=record.usage,
        )


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

    @classmethod
    def of(cls, record: ExecutionRecord, *, now_unix_ns: int) -> Metrics:
        """The numbers of *record*, at the time *now_unix_ns*."""
        usage = record.usage
        return cls(
            execution_id=record.execution_id,
            outcome=record.outcome,
            duration_seconds=_duration_seconds(record, now_unix_ns),
            cpu_seconds=usage.cpu_seconds,
            peak_memory_bytes=usage.peak_memory_bytes,
            disk_read_bytes=usage.disk_read_bytes,
            disk_write_bytes=usage.disk_write_bytes,
            processes=usage.processes,
            source=usage.source,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSummary:
    """Finished executions that have something in common.

    Attributes:
        executions: How many there are.
        successes: How many of them succeeded.
        failures: How many of them failed; of the others it is not known.
        duration_seconds: Their durations, seconds; None when there are none.
    """

    executions: int
    successes: int
    failures: int
    duration_seconds: Distribution | None

    @property
    def success_rate(self) -> float | None:
        """Share that succeeded, 0 to 1, of those whose outcome is known; None without any."""
        known = self.successes + self.failures
        return self.successes / known if known else None


class _Tally:
    """Adds up finished executions one by one, so that no more than numbers is kept."""

    def __init__(self) -> None:
        self._durations: list[float] = []
        self._successes = self._failures = 0

    def add(self, record: ExecutionRecord) -> None:
        self._durations.append(record.duration_seconds or 0.0)
        self._successes += record.outcome is Outcome.SUCCESS
        self._failures += record.outcome is not None and record.outcome.is_failure

    def summary(self) -> GroupSummary:
        return GroupSummary(
            executions=len(self._durations),
            successes=self._successes,
            failures=self._failures,
            duration_seconds=Distribution.of(self._durations),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSummary:
    """All executions together.

    Attributes:
        running: How many run now, in this process or on this machine as asked.
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

    @classmethod
    def of(cls, finished: Iterable[ExecutionRecord], *, running: int) -> MetricsSummary:
        """The summary of *finished* executions, beside so many that run."""
        total, outcomes = _Tally(), Counter[Outcome]()
        languages: dict[str, _Tally] = defaultdict(_Tally)
        by_name: dict[str, _Tally] = defaultdict(_Tally)
        for record in finished:
            if record.outcome is not None:
                outcomes[record.outcome] += 1
            labels = record.labels
            for tally in (total, languages[labels.language or "unknown"], by_name[labels.name]):
                tally.add(record)
        return cls(
            running=running,
            finished=total.summary(),
            by_outcome=outcomes,
            by_language={name: languages[name].summary() for name in sorted(languages)},
            by_name={name: by_name[name].summary() for name in sorted(by_name)},
        )


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

    @classmethod
    def of(cls, record: ExecutionRecord, sample: Sample | None) -> ResourceUsage:
        """What *record* tells, and what *sample* of it says of now; None where nothing does."""
        is_running = record.outcome is None
        if sample is None or not is_running:
            return cls(execution_id=record.execution_id, is_running=is_running, total=record.usage)
        return cls(
            execution_id=record.execution_id,
            is_running=True,
            total=replace(record.usage, cpu_seconds=sample.cpu_seconds),
            **{field: getattr(sample, field) for field in _NOW},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceStats:
    """What executions use together. None means that of none of them it is known.

    Attributes:
        running: Executions that run in this process now.
        cores: Cores that these keep busy now.
        memory_bytes: Memory that these hold now, bytes.
        processes: Living processes of these now.
        running_elsewhere: Executions that run in other processes of this machine,
            of which the figures above tell nothing; 0 where only this process
            was asked for.
        finished: Finished executions the rest is about.
        cpu_seconds: CPU time of each, seconds.
        peak_memory_bytes: Memory peak of each, bytes.
    """

    running: int
    cores: float | None
    memory_bytes: int | None
    processes: int | None
    running_elsewhere: int
    finished: int
    cpu_seconds: Distribution | None
    peak_memory_bytes: Distribution | None

    @classmethod
    def of(
        cls,
        finished: Iterable[ExecutionRecord],
        samples: Iterable[Sample | None],
        *,
        running_elsewhere: int = 0,
    ) -> ResourceStats:
        """What *finished* executions used, beside one of *samples* for each that runs."""
        running = tuple(samples)
        seen = [sample for sample in running if sample is not None]
        cpu_seconds: list[float] = []
        peaks: list[float] = []
        count = 0
        for record in finished:
            count += 1
            if record.usage.cpu_seconds is not None:
                cpu_seconds.append(record.usage.cpu_seconds)
            if record.usage.peak_memory_bytes is not None:
                peaks.append(record.usage.peak_memory_bytes)
        return cls(
            running=len(running),
            cores=_sum(sample.cores for sample in seen),
            memory_bytes=_sum(sample.memory_bytes for sample in seen),
            processes=_sum(sample.processes for sample in seen),
            running_elsewhere=running_elsewhere,
            finished=count,
            cpu_seconds=Distribution.of(cpu_seconds),
            peak_memory_bytes=Distribution.of(peaks),
        )


_NOW: Final = tuple(
    field.name
    for field in fields(ResourceUsage)
    if field.name not in {"execution_id", "is_running", "total"}
)


def _sum(values: Iterable[N | None]) -> N | None:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


def _duration_seconds(record: ExecutionRecord, now_unix_ns: int) -> float:
    if record.duration_seconds is not None:
        return record.duration_seconds
    return max(0, now_unix_ns - record.started_unix_ns) / 1e9
