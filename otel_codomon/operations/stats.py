"""The host and the executions that run now on this machine, look after look."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon.journal.living import LivingExecutions
from otel_codomon.operations.host_stats import WHAT, HostLook, HostStats
from otel_codomon.operations.places import find_journal
from otel_codomon.operations.tree_stats import ProcessStats, TreeLook, TreeStats
from otel_codomon.values.distribution import Trend, find_trend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_codomon.values.execution import ExecutionRecord
    from otel_codomon.values.heartbeat import Heartbeat

# Looks that trends are found in.
REMEMBERED: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningExecution:
    """One execution that runs now. None is not known.

    Of one that has run for a second its own figures are known, by the heartbeat
    of the process that observes it. Of a younger one they are those of the tree
    of processes it is observed from, which executions inside one process
    share: *shared_by* says how many do.

    Attributes:
        execution_id: Identifies it.
        trace_id: Its trace, 32 hexadecimal digits.
        name: Its name.
        kind: What is executed.
        running_seconds: How long it has run, seconds.
        pid: The root of the tree: its own process where that is known,
            otherwise the one that observes it.
        shared_by: Executions that run in this tree.
        cores: Cores in use since the look before; None at the first look.
        memory_bytes: Resident memory, pages shared by n processes n times, bytes.
        process_count: Living processes.
        processes: Each of them, where that was asked for.
    """

    execution_id: str
    trace_id: str
    name: str
    kind: str
    running_seconds: float
    pid: int | None
    shared_by: int
    cores: float | None = None
    memory_bytes: int | None = None
    process_count: int | None = None
    processes: tuple[ProcessStats, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A line that a figure is not to cross.

    Attributes:
        figure: One of `FIGURES`.
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
    """

    figure: str
    limit: float
    seen: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """One look.

    Attributes:
        unix_ns: When, nanoseconds since the epoch.
        host: The host's figures.
        executions: The executions that run now, oldest first.
        trends: Where figures are going, since the command began.
        alerts: Thresholds that are crossed now.
    """

    unix_ns: int
    host: HostStats
    executions: tuple[RunningExecution, ...] = ()
    trends: Mapping[str, Trend] = field(default_factory=dict)
    alerts: tuple[Alert, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row of the table of figures that have a trend and may have a threshold.

    Attributes:
        read: The figure in a look; None where it is not known.
        limit: Where it cannot go beyond; None where there is no such place.
        is_share: Whether it is a share of 1, written as a percentage.
    """

    read: Callable[[Stats], float | None]
    limit: float | None = 1.0
    is_share: bool = True


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
    "executions": Figure(
        read=lambda stats: float(len(stats.executions)), limit=None, is_share=False
    ),
}


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
        self._host = HostLook(what)
        self._living = LivingExecutions(self.journal)
        self._with_processes = with_processes
        self._trees = TreeLook(with_processes=with_processes)
        self._name = name
        self._thresholds = thresholds
        self._history: dict[str, deque[tuple[float, float]]] = {
            figure: deque(maxlen=REMEMBERED) for figure in FIGURES
        }

    def look(self) -> Stats:
        """Look now."""
        now = time.time_ns()
        stats = Stats(unix_ns=now, host=self._host.look(), executions=tuple(self._executions(now)))
        self._remember(stats)
        return Stats(
            unix_ns=now,
            host=stats.host,
            executions=stats.executions,
            trends=self._trends(),
            alerts=tuple(_alerts(stats, self._thresholds)),
        )

    def close(self) -> None:
        """Close what is kept open."""
        self._trees.close()

    def _executions(self, now_unix_ns: int) -> Iterator[RunningExecution]:
        living = self._living.look()
        beats = self._living.heartbeats
        roots = {record.execution_id: _root(record) for record in living}
        without = [record for record in living if record.span_id not in beats]
        looked_at = {roots[record.execution_id] for record in without}
        if self._with_processes:
            looked_at = set(roots.values())
        trees = self._trees.look({pid for pid in looked_at if pid is not None})
        sharing = Counter(roots[record.execution_id] for record in without)
        for record in living:
            if self._name in (None, record.labels.name):
                root = roots[record.execution_id]
                tree = None if root is None else trees.get(root)
                found = _running(record, root, max(1, sharing[root]), tree, now_unix_ns)
                beat = beats.get(record.span_id)
                yield found if beat is None else _with_heartbeat(found, beat)

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


def _running(
    record: ExecutionRecord, root: int | None, sharing: int, tree: TreeStats | None, now: int
) -> RunningExecution:
    return RunningExecution(
        execution_id=record.execution_id,
        trace_id=record.trace_id,
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
        seen = FIGURES[threshold.figure].read(stats)
        if seen is not None and seen >= threshold.limit:
            yield Alert(figure=threshold.figure, limit=threshold.limit, seen=seen)
