"""The host and the executions that run now on this machine, look after look."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon.host.operation import WHAT, HostSampler, HostStats
from otel_codomon.journal.location import find_journal
from otel_codomon.journal.running_executions import RunningExecutions
from otel_codomon.live.cgroup_stats import CgroupSampler
from otel_codomon.live.recent import Recent
from otel_codomon.live.tree_stats import ProcessStats, TreeSampler, TreeStats
from otel_codomon.report.cause import cause_of
from otel_codomon.report.distribution import Trend, find_trend
from otel_codomon.report.name_patterns import fits
from otel_codomon.resources.labels import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_codomon.journal.execution_record import ExecutionRecord
    from otel_codomon.resources.heartbeat import Heartbeat

# Looks that trends are found in.
REMEMBERED: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningExecution:
    """One execution that runs now. None is not known.

    Of one that has run for a second its own figures are known, by the heartbeat
    of the process that observes it. Of a younger one they are those of the
    cgroup that was made for it. Without one they are those of the tree of
    processes it is observed from, which executions inside one process share:
    *shared_by* says how many do.

    Attributes:
        execution_id: Identifies it.
        trace_id: Its trace, 32 hexadecimal digits.
        span_id: Its span, 16 hexadecimal digits.
        name: Its name.
        kind: What is executed.
        running_seconds: How long it has run, seconds.
        pid: The root of the tree: its own process where that is known,
            otherwise the one that observes it.
        shared_by: Executions that run in this tree.
        cores: Cores in use since the look before; None at the first look.
        memory_bytes: Memory of its cgroup without page cache; without a cgroup,
            resident memory, pages shared by n processes n times, bytes.
        process_count: Living processes.
        memory_limit_bytes: What its memory is limited to; None without a limit of its own.
        memory_trend: Where its memory is going; None before there are 30 seconds of it.
        processes: Each of them, where that was asked for.
    """

    execution_id: str
    trace_id: str
    span_id: str
    name: str
    kind: str
    running_seconds: float
    pid: int | None
    shared_by: int
    cores: float | None = None
    memory_bytes: int | None = None
    process_count: int | None = None
    memory_limit_bytes: int | None = None
    memory_trend: Trend | None = None
    processes: tuple[ProcessStats, ...] = ()

    @property
    def memory_share(self) -> float | None:
        """Use of the memory limit; None without a limit, or where memory is not known."""
        if self.memory_bytes is None or not self.memory_limit_bytes:
            return None
        return self.memory_bytes / self.memory_limit_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedExecution:
    """One execution that ended within the last minute.

    Attributes:
        execution_id: Identifies it.
        name: Its name.
        outcome: How it ended.
        cause: Why, in one sentence; None for a success.
        ended_unix_ns: When, nanoseconds since the epoch.
        duration_seconds: How long it ran, seconds.
    """

    execution_id: str
    name: str
    outcome: str | None
    cause: str | None
    ended_unix_ns: int
    duration_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A line that a figure is not to cross.

    Attributes:
        figure: One of `UNITS`.
        limit: The line, in the figure's unit.
    """

    figure: str
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A threshold that is crossed.

    Attributes:
        figure: What crossed it.
        limit: Where it is.
        seen: What was seen.
        execution_id: Of which execution; None for a figure of the host.
        name: Its name; None as above.
    """

    figure: str
    limit: float
    seen: float
    execution_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """One look.

    Attributes:
        unix_ns: When, nanoseconds since the epoch.
        host: The host's figures.
        executions: The executions that run now, oldest first.
        ended: Those that ended within the last minute, the latest first.
        trends: Where figures are going, since the command began.
        alerts: Thresholds that are crossed now.
    """

    unix_ns: int
    host: HostStats
    executions: tuple[RunningExecution, ...] = ()
    ended: tuple[EndedExecution, ...] = ()
    trends: Mapping[str, Trend] = field(default_factory=dict)
    alerts: tuple[Alert, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row of the table of figures that have a trend and may have a threshold.

    Attributes:
        read: The figure in a look; None where it is not known.
        limit: Where it cannot go beyond; None where there is no such place.
        unit: ``share``, of 1 and written as a percentage, ``count`` or ``bytes``.
    """

    read: Callable[[Stats], float | None]
    limit: float | None = 1.0
    unit: str = "share"


def _cpu(stats: Stats) -> float | None:
    return None if stats.host.cpu is None else stats.host.cpu.used_share


def _memory(stats: Stats) -> float | None:
    return None if stats.host.memory is None else stats.host.memory.used_share


def _swap(stats: Stats) -> float | None:
    return None if stats.host.memory is None else stats.host.memory.swap_used_share


def _disk(stats: Stats) -> float | None:
    return None if stats.host.disk is None else stats.host.disk.space_used_share


FIGURES: Final[Mapping[str, Figure]] = {
    "cpu": Figure(read=_cpu),
    "memory": Figure(read=_memory),
    "swap": Figure(read=_swap),
    "disk": Figure(read=_disk),
    "executions": Figure(read=lambda stats: float(len(stats.executions)), limit=None, unit="count"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFigure:
    """One row of the table of figures of each execution that may have a threshold.

    Attributes:
        read: The figure of an execution; None where it is not known.
        unit: ``count`` or ``bytes``.
    """

    read: Callable[[RunningExecution], float | None]
    unit: str


EXECUTION_FIGURES: Final[Mapping[str, ExecutionFigure]] = {
    "execution.memory": ExecutionFigure(read=lambda one: one.memory_bytes, unit="bytes"),
    "execution.cores": ExecutionFigure(read=lambda one: one.cores, unit="count"),
    "execution.processes": ExecutionFigure(read=lambda one: one.process_count, unit="count"),
}

UNITS: Final[Mapping[str, str]] = {
    **{name: figure.unit for name, figure in FIGURES.items()},
    **{name: figure.unit for name, figure in EXECUTION_FIGURES.items()},
}
"""The unit of each figure that may have a threshold."""


class Monitor:
    """Looks at the host and at the running executions, again and again.

    Args:
        journal: Folder of the journal; None for what the environment says.
        what: Which of the host's figures.
        name: Only executions of this name; None for all.
        thresholds: Lines that are not to be crossed.
        with_processes: Whether to list each process of each execution.
    """

    def __init__(
        self,
        *,
        journal: str | None = None,
        what: tuple[str, ...] = WHAT,
        name: str | None = None,
        thresholds: tuple[Threshold, ...] = (),
        with_processes: bool = False,
    ) -> None:
        self.journal = find_journal(journal)
        self._host = HostSampler(what)
        self._living = RunningExecutions(self.journal)
        self._with_processes = with_processes
        self._trees = TreeSampler(with_processes=with_processes)
        self._cgroups = CgroupSampler()
        self._name = name
        self._thresholds = thresholds
        self._history: dict[str, deque[tuple[float, float]]] = {
            figure: deque(maxlen=REMEMBERED) for figure in FIGURES
        }
        self._recent: dict[str, Recent] = {}

    def look(self) -> Stats:
        """Look now."""
        now = time.time_ns()
        found = tuple(self._executions(now))
        stats = Stats(
            unix_ns=now,
            host=self._host.sample(),
            executions=self._with_trends(found, now / 1e9),
            ended=tuple(self._ended()),
        )
        self._remember(stats)
        return replace(stats, trends=self._trends(), alerts=tuple(_alerts(stats, self._thresholds)))

    def memory_curve(self, execution_id: str, columns: int, *, unix_ns: int) -> list[float | None]:
        """The memory of a running execution in the minute before *unix_ns*, bytes."""
        recent = self._recent.get(execution_id)
        return [] if recent is None else recent.curve(columns, until=unix_ns / 1e9)

    def close(self) -> None:
        """Close what is kept open."""
        self._trees.close()
        self._cgroups.close()

    def _executions(self, now_unix_ns: int) -> Iterator[RunningExecution]:
        living = self._living.read()
        beats = self._living.heartbeats
        roots = {record.execution_id: _root(record) for record in living}
        without = [record for record in living if record.span_id not in beats]
        own = self._cgroups.sample(
            {
                r.execution_id: r.host_pid
                for r in without
                if _has_cgroup(r) and r.host_pid is not None
            }
        )
        without = [record for record in without if record.execution_id not in own]
        looked_at = {roots[record.execution_id] for record in without}
        if self._with_processes:
            looked_at = set(roots.values())
        trees = self._trees.sample({pid for pid in looked_at if pid is not None})
        sharing = Counter(roots[record.execution_id] for record in without)
        for record in living:
            if self._name is None or fits(record.labels.name, self._name):
                root = roots[record.execution_id]
                tree = None if root is None else trees.get(root)
                found = _running(record, root, max(1, sharing[root]), tree, now_unix_ns)
                if record.execution_id in own:
                    found = _with_cgroup(found, own[record.execution_id])
                beat = beats.get(record.span_id)
                yield found if beat is None else _with_heartbeat(found, beat)

    def _with_trends(
        self, found: tuple[RunningExecution, ...], now: float
    ) -> tuple[RunningExecution, ...]:
        """The same with trends; what was seen of those that have ended is forgotten."""
        known = {one.execution_id: self._recent.get(one.execution_id) for one in found}
        self._recent = {key: recent or Recent() for key, recent in known.items()}
        for one in found:
            recent = self._recent[one.execution_id]
            if known[one.execution_id] is None:
                recent.extend(self._before(one, now))
            if one.memory_bytes is not None:
                recent.add(now, one.memory_bytes)
        return tuple(
            replace(one, memory_trend=self._recent[one.execution_id].trend(limit=limit))
            for one in found
            for limit in (one.memory_limit_bytes,)
        )

    def _before(self, one: RunningExecution, now: float) -> Iterator[tuple[float, float]]:
        """Memory before the first look, as far as its heartbeat tells: instants and bytes."""
        beat = self._living.heartbeats.get(one.span_id)
        curve = None if beat is None else beat.totals.curve
        if curve is None or one.shared_by > 1:
            return
        started = now - one.running_seconds
        for seconds, memory in zip(curve.seconds, curve.memory_bytes, strict=True):
            if started + seconds < now:
                yield started + seconds, memory

    def _ended(self) -> Iterator[EndedExecution]:
        for record in self._living.ended:
            if self._name is None or fits(record.labels.name, self._name):
                yield EndedExecution(
                    execution_id=record.execution_id,
                    name=record.labels.name,
                    outcome=None if record.outcome is None else record.outcome.value,
                    cause=cause_of(record),
                    ended_unix_ns=record.ended_unix_ns or 0,
                    duration_seconds=record.duration_seconds,
                )

    def _remember(self, stats: Stats) -> None:
        for name, figure in FIGURES.items():
            value = figure.read(stats)
            if value is not None:
                self._history[name].append((stats.unix_ns / 1e9, value))

    def _trends(self) -> dict[str, Trend]:
        found = {
            name: find_trend(
                [seconds for seconds, _ in points],
                [value for _, value in points],
                limit=FIGURES[name].limit,
            )
            for name, points in self._history.items()
        }
        return {name: trend for name, trend in found.items() if trend is not None}


def _root(record: ExecutionRecord) -> int | None:
    """The process whose tree is looked at for an execution."""
    own = record.attributes.get(names.PROCESS_PID)
    return own if isinstance(own, int) else record.host_pid


def _limit_of(record: ExecutionRecord) -> int | None:
    limit = record.attributes.get(names.LIMIT_MEMORY)
    return limit if isinstance(limit, int) and limit > 0 else None


def _running(
    record: ExecutionRecord, root: int | None, sharing: int, tree: TreeStats | None, now: int
) -> RunningExecution:
    return RunningExecution(
        execution_id=record.execution_id,
        trace_id=record.trace_id,
        span_id=record.span_id,
        memory_limit_bytes=_limit_of(record),
        name=record.labels.name,
        kind=record.labels.kind.value,
        running_seconds=max(0, now - record.started_unix_ns) / 1e9,
        pid=root,
        shared_by=sharing,
        cores=None if tree is None else tree.cores,
        memory_bytes=None if tree is None else tree.memory_bytes,
        process_count=None if tree is None else tree.process_count,
        processes=() if tree is None else tree.processes,
    )


def _has_cgroup(record: ExecutionRecord) -> bool:
    """Whether a cgroup may have been made for it: it runs in processes of its own."""
    return record.labels.kind in (Kind.COMMAND, Kind.SNIPPET)


def _with_cgroup(running: RunningExecution, seen: TreeStats) -> RunningExecution:
    """*running* with the figures of the cgroup that was made for it."""
    return replace(
        running,
        shared_by=1,
        cores=seen.cores,
        memory_bytes=seen.memory_bytes,
        process_count=seen.process_count,
    )


def _with_heartbeat(running: RunningExecution, beat: Heartbeat) -> RunningExecution:
    """*running* with its own figures, as the process that observes it has sampled them."""
    return replace(
        running,
        shared_by=1,
        cores=beat.cores,
        memory_bytes=beat.memory_bytes,
        process_count=beat.processes,
    )


def _alerts(stats: Stats, thresholds: tuple[Threshold, ...]) -> Iterator[Alert]:
    for threshold in thresholds:
        figure, limit = threshold.figure, threshold.limit
        if figure in FIGURES:
            seen = FIGURES[figure].read(stats)
            if seen is not None and seen >= limit:
                yield Alert(figure=figure, limit=limit, seen=seen)
            continue
        for one in stats.executions:
            seen = EXECUTION_FIGURES[figure].read(one)
            if seen is not None and seen >= limit:
                yield Alert(
                    figure=figure,
                    limit=limit,
                    seen=seen,
                    execution_id=one.execution_id,
                    name=one.name,
                )
