"""What one running execution uses."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from otel_codomon.resources.attribution import Share, may_have_threads, of_children, of_threads
from otel_codomon.resources.heartbeat import MAX_PIDS, Heartbeat
from otel_codomon.resources.labels import Kind
from otel_codomon.resources.reaping import has_children, note_owner, totals_of
from otel_codomon.resources.sample import Reading, Sample
from otel_codomon.resources.sampler import sampler
from otel_codomon.resources.series import Series
from otel_codomon.resources.targets import Attached, SoFar
from otel_codomon.resources.thread_clock import NoClock, ThreadClock
from otel_codomon.resources.threshold_checker import ThresholdChecker
from otel_codomon.resources.totals import ChildTotals, usage_of_child
from otel_codomon.resources.usage import NOTHING_KNOWN, Usage, without_work

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.resources.attribution import Work
    from otel_codomon.resources.labels import Labels
    from otel_codomon.resources.limits import Limits
    from otel_codomon.resources.started_child import StartedChild
    from otel_codomon.resources.threshold_checker import Notify
    from otel_codomon.resources.thresholds import Thresholds


THREAD_FLOOR_NS: Final = 100_000
"""CPU time of a thread that can be told, nanoseconds.

The clock runs for about 5 µs of our own between start and end. Below twenty
times that the number would be more than 5 % ours, so it is absent.
"""

_FIRST_LOOK_SECONDS: Final = 0.1
"""Age at which an execution is first looked at by itself; most functions never get there."""

_IN_THIS_PROCESS: Final = frozenset({Kind.FUNCTION, Kind.CELL, Kind.TASK})
_CORES: Final = os.cpu_count() or 1


class ResourceTracker:
    """Looks at one execution from its start to its end. May be used from several threads.

    One look at a time: two at once would count the same stretch of time twice.
    After the end nothing is looked at any more, whoever asks.

    Attributes:
        labels: What the metrics of the execution are summed by.
        started: When it started, monotonic clock, seconds.
        due: When the next look is due, monotonic clock, seconds.
        limits: What it may use; None for no limit of ours.
        own: What it does in this process.
    """

    __slots__ = (
        "_attached",
        "_checker",
        "_child",
        "_finds_children",
        "_in_process",
        "_is_over",
        "_lock",
        "_series",
        "_started_ns",
        "due",
        "labels",
        "limits",
        "own",
        "started",
    )

    def __init__(
        self,
        labels: Labels,
        started_ns: int,
        *,
        limits: Limits | None = None,
        thread: bool = True,
        checker: ThresholdChecker | None = None,
        child: StartedChild | None = None,
        finds_children: bool = False,
    ) -> None:
        self.labels = labels
        self.limits = limits
        self.started = started_ns / 1e9
        self.due = self.started + _FIRST_LOOK_SECONDS
        self._started_ns = started_ns
        self._in_process = labels.kind in _IN_THIS_PROCESS
        self._finds_children = self._in_process or finds_children
        # Its holder may take it again: the handler of a signal that comes in
        # the middle of a look may look, attach, or end the execution.
        self._lock = threading.RLock()
        self._attached: Attached | None = None
        self._series: Series | None = None
        self._checker = checker
        self._is_over = False
        self._child = child
        self.own = ThreadClock(in_this_thread=thread) if child is None else NoClock()

    @classmethod
    def start(
        cls,
        *,
        labels: Labels,
        started_ns: int,
        limits: Limits | None = None,
        thread: bool = True,
        thresholds: Thresholds | None = None,
        notify: Notify | None = None,
        child: StartedChild | None = None,
        finds_children: bool = False,
    ) -> ResourceTracker:
        """Begin to watch.

        Args:
            labels: What the metrics of the execution are summed by.
            started_ns: Its start, monotonic clock, nanoseconds.
            limits: What it may use.
            thread: Whether it runs in the calling thread until it ends there.
                Else it runs between the `begin_step` and `end_step` of `own`.
            thresholds: Marks whose crossing is told to *notify*.
            notify: Called by whoever looks, once for each mark.
            child: The child process that the execution is, where it is one that
                the program starts and waits for.
            finds_children: Whether the processes that its thread starts are its
                own, also where it is no function.
        """
        checker = (
            None if thresholds is None or notify is None else ThresholdChecker(thresholds, notify)
        )
        tracker = cls(
            labels,
            started_ns,
            limits=limits,
            thread=thread,
            checker=checker,
            child=child,
            finds_children=finds_children,
        )
        sampler.add(tracker)
        return tracker

    # --- what is told ---------------------------------------------------------

    def attach(self, target: object) -> bool:
        """Watch *target* too; whether it is watched now.

        Args:
            target: A pid, a Popen, a psutil.Process, a cgroup or the path of one.
        """
        with self._lock:
            if self._is_over or not self._make_attached().attach(target):
                return False
            self.sample()  # it may be gone before the sampler's turn comes
        self.due = 0.0
        sampler.hurry()
        return True

    def reaped(
        self, rusage: object, *, pid: int | None = None, spawner_peak_bytes: int | None = None
    ) -> None:
        """Take the exact totals of a child that somebody waited for.

        Args:
            rusage: A `resource.struct_rusage`, as `os.wait4` returns it, or
                `ChildTotals`.
            pid: The child.
            spawner_peak_bytes: High water mark of the process that spawned it,
                without which the child's own cannot be told from it; None for
                this process.
        """
        totals = rusage if isinstance(rusage, ChildTotals) else totals_of(rusage, pid=pid)  # type: ignore[arg-type] # what it must be; else the caller is told once
        if spawner_peak_bytes is not None:
            totals = replace(totals, spawner_peak_bytes=spawner_peak_bytes)
        with self._lock:
            is_new = not self._is_over and self._make_attached().take(totals)
        if is_new and not isinstance(rusage, ChildTotals):  # a child that this process waited for
            self._note_reaped(totals)

    def _note_reaped(self, totals: ChildTotals) -> None:
        """Note that a child whose totals are known is in the account of this process."""
        note_owner(totals.cpu_ns)
        self.own.note_own_child(totals.cpu_ns)

    def _make_attached(self) -> Attached:
        if self._attached is None:
            self._attached = Attached(
                self._started_ns, sampler.files, on_reaped=self.own.note_own_child
            )
        return self._attached

    # --- looking --------------------------------------------------------------

    @property
    def latest(self) -> Sample | None:
        """The latest sample; None before the first."""
        return None if self._series is None else self._series.latest

    @property
    def age_seconds(self) -> float:
        """Time since the start, seconds."""
        return (time.monotonic_ns() - self._started_ns) / 1e9

    def sample(self) -> None:
        """Take a sample, and tell of marks that it is beyond; nothing once it is over."""
        with self._lock:
            if self._is_over:
                return
            self._sample(end=self.kill)
        if self._child is not None:
            self._child.check()  # without the lock: its end is taken at once

    def _sample(self, *, end: Callable[[], bool]) -> None:
        child = self._child
        if child is not None and child.pid is not None and not child.is_watched:
            child.is_watched = True
            if child.is_process():
                self._make_attached().attach(child.pid)
        if self._finds_children:
            for pid in self.own.children_since(self._started_ns):
                self._make_attached().add_tree(pid)
        seen = self._take_sample()
        if self._checker is not None:
            # Time passes also where nothing is seen.
            seen = seen or Sample(taken_ns=time.monotonic_ns())
            self._checker.compare(seen, elapsed_seconds=self.age_seconds, end=end)

    def _take_sample(self) -> Sample | None:
        reading = self._read()
        if reading is None:
            return None
        if self._series is None:
            self._series = Series(started_ns=self._started_ns, cores=_CORES)
        return self._series.add(reading)

    def _read(self) -> Reading | None:
        """The trees and cgroups, and the thread's own CPU time on top."""
        attached = None if self._attached is None else self._attached.read()
        own_ns = self.own.cpu_ns() if self._in_process else None
        if own_ns is None:
            return attached
        if attached is not None:
            cpu_ns = own_ns + (attached.cpu_ns or 0)
            return attached._replace(cpu_ns=cpu_ns, reaped_ns=None, own_threads=1)
        ended_ns = 0 if self._attached is None else self._attached.cpu_ns
        return Reading(taken_ns=time.monotonic_ns(), cpu_ns=own_ns + ended_ns)

    def heartbeat(self, span_id: str, *, with_curve: bool) -> Heartbeat:
        """The figures so far, by the samples that were taken; takes none and reads no file.

        Args:
            span_id: Its span, 16 hexadecimal digits.
            with_curve: Whether to add the curve so far.
        """
        with self._lock:
            attached, series, latest = self._attached, self._series, self.latest
            seen = SoFar() if attached is None else attached.so_far()
            read, written = seen.transfers or (None, None)
            totals = Usage(
                source=_source(attached, seen),
                cpu_seconds=None if latest is None else latest.cpu_seconds,
                peak_memory_bytes=seen.peak_memory_bytes,
                peak_cache_bytes=seen.peak_cache_bytes,
                disk_read_bytes=read,
                disk_write_bytes=written,
                processes=seen.processes,
                samples=0 if series is None else series.samples,
                is_final=False,
                curve=None if series is None or not with_curve else series.curve(),
            )
            if attached is not None and attached.client is not None:
                latest, totals = None, without_work(totals, attached.client)
        return Heartbeat(
            span_id=span_id,
            age_seconds=self.age_seconds,
            totals=totals,
            cores=None if latest is None else latest.cores,
            memory_bytes=None if latest is None else latest.memory_bytes,
            processes=None if latest is None else latest.processes,
            pids=seen.pids[:MAX_PIDS],
            cgroup=seen.cgroup,
        )

    # --- limits and the end ---------------------------------------------------

    @property
    def memory_limit_bytes(self) -> int | None:
        """The memory limit of this execution alone, bytes; None without one."""
        if self.limits is not None and self.limits.memory_bytes is not None:
            return self.limits.memory_bytes
        return None if self._attached is None else self._attached.memory_limit_bytes

    @property
    def cores_limit(self) -> float | None:
        """The cores this execution alone may use; None without such a limit."""
        return None if self._attached is None else self._attached.cores_limit

    @property
    def oom_kills(self) -> int:
        """Processes that the kernel killed for want of memory in an attached cgroup."""
        return 0 if self._attached is None else self._attached.oom_kills

    def kill(self) -> bool:
        """End all processes that were attached; whether one was there to end."""
        return self._attached is not None and self._attached.kill()

    def abandon(self) -> None:
        """In a forked child: the execution is the parent's; close the copies of its files."""
        self._lock = threading.RLock()  # who held it in the parent is not here to let go
        self._is_over = True
        if self._attached is not None:
            self._attached.close_after_fork()

    def finish(self) -> Usage:
        """Stop watching and return the totals."""
        with self._lock:
            try:
                return self._usage()
            finally:
                self._is_over = True
                self.own.close()
                if self._attached is not None:
                    self._attached.close()
                # Not before: after a fork in the middle of this the child must
                # find what it has to abandon.
                sampler.remove(self)

    def _usage(self) -> Usage:
        # First of all: what comes after is our time and not the execution's.
        work = self.own.end()
        if self._child is not None:
            return self._usage_of_child(self._child)
        if self._attached is not None or self._checker is not None or self._has_children():
            self._sample(end=lambda: False)  # what outlives the execution is not ours to end
        if self._attached is not None:
            return self._usage_of(self._attached, work)
        if not self._finds_children:
            return NOTHING_KNOWN
        if not self._in_process:
            return _usage_of_children(of_children(work))
        return _usage_of_thread(of_threads(work), of_children(work))

    def _usage_of_child(self, child: StartedChild) -> Usage:
        """What the kernel says at the end of *child*, with what samples of its tree add."""
        totals = child.totals
        if self._attached is None:
            if totals is None:
                return NOTHING_KNOWN
            usage = usage_of_child(totals)
        else:
            if totals is not None:
                self._attached.take(totals)
            self._sample(end=lambda: False)
            usage = self._with_samples(self._attached.usage())
            if totals is None:  # they are not known: the last sample stands
                usage = replace(usage, is_final=False)
        client = child.client or (None if self._attached is None else self._attached.client)
        return usage if client is None else without_work(usage, client)

    def _with_samples(self, usage: Usage) -> Usage:
        series = self._series
        return replace(
            usage,
            samples=0 if series is None else series.samples,
            curve=None if series is None else series.curve(),
        )

    def _has_children(self) -> bool:
        return self._finds_children and (bool(self.own.started) or has_children())

    def _usage_of(self, attached: Attached, work: Work) -> Usage:
        """What *attached* tells, with what else is known of the execution."""
        usage = self._with_samples(attached.usage())
        if attached.client is not None:
            return without_work(usage, attached.client)
        own = Share(0)
        if self._in_process:
            own = of_threads(work)
            if attached.has_targets and own.cpu_ns is None and not may_have_threads(work):
                own = Share(work.own_ns or 0)  # the targets are what counts most
        if usage.source == "cgroup" or attached.is_whole:
            if usage.cpu_seconds is None:
                return usage
            return replace(usage, cpu_seconds=usage.cpu_seconds + (own.cpu_ns or 0) / 1e9)
        return self._with_children(attached, work, usage, own)

    def _with_children(self, attached: Attached, work: Work, usage: Usage, own: Share) -> Usage:
        """*usage* with the CPU time of trees, of children that are gone, and of threads."""
        if not attached.has_targets and self._in_process:
            usage = replace(usage, source="thread")
        trees = attached.cpu_of_trees(self.own.started if self.own.is_by_steps else None)
        children = of_children(trees.complete(work))
        if children.cpu_ns is None and attached.has_targets:
            if trees.has_lost:  # of a target the last sample stands
                children = Share(trees.reported_ns + trees.seen_ns)
                usage = replace(usage, is_final=False)
            elif not self._in_process:  # the targets are what counts, and all have told
                children = Share(trees.reported_ns)
        if children.cpu_ns is None or own.cpu_ns is None:
            reason = children.reason or own.reason
            return replace(usage, cpu_seconds=None, absent_reason=reason)
        total_ns = own.cpu_ns + children.cpu_ns + trees.rest_ns
        is_known = usage.cpu_seconds is not None or bool(total_ns)
        return replace(usage, cpu_seconds=total_ns / 1e9 if is_known else None)


def _source(attached: Attached | None, seen: SoFar) -> str:
    """What figures so far come from, for `Usage.source`."""
    if seen.cgroup is not None:
        return "cgroup"
    return "process_tree" if attached is not None and attached.has_targets else "thread"


def _usage_of_children(children: Share) -> Usage:
    """The usage of a command of which no process was seen: what was waited for in its thread."""
    if children.cpu_ns is None:
        return Usage(source="process_tree", absent_reason=children.reason)
    return Usage(source="process_tree", cpu_seconds=children.cpu_ns / 1e9)


def _usage_of_thread(own: Share, children: Share) -> Usage:
    """The usage of an execution of which no process was seen."""
    if own.cpu_ns is None or children.cpu_ns is None:
        reason = children.reason or own.reason
        return NOTHING_KNOWN if reason is None else Usage(source="thread", absent_reason=reason)
    total_ns = own.cpu_ns + children.cpu_ns
    if total_ns < THREAD_FLOOR_NS:
        return NOTHING_KNOWN
    return Usage(source="thread", cpu_seconds=total_ns / 1e9)
