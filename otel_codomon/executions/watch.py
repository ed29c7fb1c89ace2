"""What one running execution uses."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from threading import get_ident
from typing import TYPE_CHECKING, Final

from otel_codomon.executions.sampler import sampler
from otel_codomon.sources.attached import Attached
from otel_codomon.sources.own_thread import boot_ticks_ago, children_of, cpu_ns_of, started_after
from otel_codomon.sources.reaping import reaped_children_ns, totals_of
from otel_codomon.values.curve import CurveBuilder, Point
from otel_codomon.values.execution import Kind
from otel_codomon.values.sample import Reading, Sample, StorageRate, sample_between
from otel_codomon.values.totals import ChildTotals
from otel_codomon.values.usage import NOTHING_KNOWN, Usage

if TYPE_CHECKING:
    from typing import Protocol

    from otel_codomon.values.execution import Labels
    from otel_codomon.values.limits import Limits
    from otel_codomon.values.thresholds import Crossing, Thresholds

    class Notify(Protocol):
        """Is told of each mark that is crossed, and whether the execution was ended for it."""

        def __call__(self, crossing: Crossing, *, is_end: bool) -> None:
            """Take note of it."""


THREAD_FLOOR_NS: Final = 100_000
"""CPU time of a thread that can be told, nanoseconds.

The clock runs for about 5 µs of our own between start and end. Below twenty
times that the number would be more than 5 % ours, so it is absent.
"""

_FIRST_LOOK_SECONDS: Final = 0.1
"""Age at which an execution is first looked at by itself; most functions never get there."""

_IN_THIS_PROCESS: Final = frozenset({Kind.FUNCTION, Kind.CELL, Kind.TASK})
_CORES: Final = os.cpu_count() or 1
_making: Final = [threading.Lock()]  # in a list, so that a fork can put another in


class Watch:
    """Looks at one execution from its start to its end.

    Attributes:
        labels: What the metrics of the execution are summed by.
        latest: The latest sample; None before the first.
        started: When it started, monotonic clock, seconds.
        due: When the next look is due, monotonic clock, seconds.
        limits: What it may use; None for no limit of ours.
    """

    __slots__ = (
        "_attached",
        "_children_before",
        "_crossed",
        "_curve",
        "_in_process",
        "_is_over",
        "_last",
        "_native_id",
        "_notify",
        "_samples",
        "_started_ns",
        "_steps_cpu_ns",
        "_storage",
        "_thread_id",
        "_thread_started_ns",
        "_thresholds",
        "due",
        "labels",
        "latest",
        "limits",
        "started",
    )

    def __init__(
        self,
        labels: Labels,
        started_ns: int,
        *,
        limits: Limits | None = None,
        thread: bool = True,
        thresholds: Thresholds | None = None,
        notify: Notify | None = None,
    ) -> None:
        self.labels = labels
        self.limits = limits
        self.latest: Sample | None = None
        self.started = started_ns / 1e9
        self.due = self.started + _FIRST_LOOK_SECONDS
        self._started_ns = started_ns
        self._in_process = labels.kind in _IN_THIS_PROCESS
        self._thread_id = get_ident()
        self._native_id = threading.get_native_id() if thread else None
        self._steps_cpu_ns: int | None = None
        self._attached: Attached | None = None
        self._curve: CurveBuilder | None = None
        self._last: Reading | None = None
        self._storage: StorageRate | None = None
        self._samples = 0
        self._thresholds = thresholds
        self._notify = notify
        self._crossed: frozenset[str] = frozenset()
        self._is_over = False
        self._children_before = reaped_children_ns() if thread else None
        self._thread_started_ns = time.thread_time_ns() if thread else None

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
    ) -> Watch:
        """Begin to watch.

        Args:
            labels: What the metrics of the execution are summed by.
            started_ns: Its start, monotonic clock, nanoseconds.
            limits: What it may use.
            thread: Whether it runs in the calling thread, without a pause, until
                it ends there. Else its steps are told by `stepped`.
            thresholds: Marks whose crossing is told to *notify*.
            notify: Called in the sampler's thread, once for each mark.
        """
        watch = cls(
            labels,
            started_ns,
            limits=limits,
            thread=thread,
            thresholds=thresholds,
            notify=notify,
        )
        sampler.add(watch)
        return watch

    # --- what is told ---------------------------------------------------------

    def attach(self, target: object) -> bool:
        """Watch *target* too; whether it is watched now.

        Args:
            target: A pid, a Popen, a psutil.Process, a cgroup or the path of one.
        """
        attached = self._make_attached()
        if not attached.attach(target):
            return False
        self.look()  # it may be gone before the sampler's turn comes
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
        self._make_attached().reaped(totals)

    def stepped(self, cpu_ns: int) -> None:
        """Add the CPU time of one step of a coroutine or generator, nanoseconds.

        Between its steps the thread works for others: from start to end its
        clock would tell their time too.
        """
        self._steps_cpu_ns = (self._steps_cpu_ns or 0) + max(0, cpu_ns)

    def _make_attached(self) -> Attached:
        if self._attached is None:
            with _making[0]:
                if self._attached is None:
                    self._attached = Attached(self._started_ns, sampler.files)
        return self._attached

    # --- looking --------------------------------------------------------------

    @property
    def age_seconds(self) -> float:
        """Time since the start, seconds."""
        return (time.monotonic_ns() - self._started_ns) / 1e9

    def look(self) -> None:
        """Take a sample, and tell of marks that it is beyond."""
        self._find_children()
        reading = self._read()
        if reading is None:
            if self._thresholds is not None:  # time passes also where nothing is seen
                self._tell_crossings(Sample(taken_ns=time.monotonic_ns()), self._thresholds)
            return
        before = self._storage
        self._storage = StorageRate(reading) if before is None else before.after(reading)
        sample = sample_between(self._last, reading, cores=_CORES, storage=self._storage)
        self._note_point(sample, self._last)
        self.latest, self._last = sample, reading
        self._samples += 1
        if self._thresholds is not None:
            self._tell_crossings(sample, self._thresholds)

    def _find_children(self) -> None:
        """Watch the trees of what the thread started since."""
        if self._native_id is None or not self._in_process:
            return
        children = children_of(self._native_id)
        if children:
            since_ticks = boot_ticks_ago(time.monotonic_ns() - self._started_ns)
            for pid in children:
                if started_after(pid, since_ticks):
                    self._make_attached().add_tree(pid)

    def _read(self) -> Reading | None:
        """The trees and cgroups, and the thread's own CPU time on top."""
        attached = None if self._attached is None else self._attached.look()
        if not self._in_process:
            return attached
        own_ns = self._own_cpu_ns()
        if own_ns is None:
            return attached
        if attached is not None:
            return attached._replace(cpu_ns=own_ns + (attached.cpu_ns or 0))
        ended_ns = 0 if self._attached is None else self._attached.cpu_ns
        return Reading(taken_ns=time.monotonic_ns(), cpu_ns=own_ns + ended_ns)

    def _own_cpu_ns(self) -> int | None:
        """CPU time of this execution in this process so far, seen from any thread."""
        if self._thread_started_ns is None or self._native_id is None:
            return self._steps_cpu_ns
        if self._thread_id == get_ident():
            return time.thread_time_ns() - self._thread_started_ns
        now_ns = cpu_ns_of(self._native_id)
        return None if now_ns is None else max(0, now_ns - self._thread_started_ns)

    def _note_point(self, sample: Sample, before: Reading | None) -> None:
        if sample.cores is None or sample.memory_bytes is None or before is None:
            return  # an unknown is no zero, and the columns are of equal length
        if self._curve is None:
            self._curve = CurveBuilder()
        since_start = (sample.taken_ns - self._started_ns) / 1e9
        lasted = (sample.taken_ns - before.taken_ns) / 1e9
        self._curve.add(Point(since_start, lasted, sample.cores, sample.memory_bytes))

    def _tell_crossings(self, sample: Sample, thresholds: Thresholds) -> None:
        crossings = thresholds.crossed(sample, elapsed_seconds=self.age_seconds)
        is_end = bool(crossings) and thresholds.end and not self._is_over and self.kill()
        for crossing in crossings:
            if crossing.kind not in self._crossed and self._notify is not None:
                self._crossed |= {crossing.kind}
                self._notify(crossing, is_end=is_end)

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

    def kill(self) -> bool:
        """End all processes that were attached; whether one was there to end."""
        return self._attached is not None and self._attached.kill()

    def abandon(self) -> None:
        """In a forked child: close the copies of the files; the execution is the parent's."""
        if self._attached is not None:
            self._attached.close_after_fork()

    def finish(self) -> Usage:
        """Stop watching and return the totals."""
        sampler.remove(self)
        self._is_over = True
        if self._thresholds is not None:
            self.look()
        own_ns = self._own_cpu_ns() or 0
        children_ns = self._children_ns()
        if self._attached is None:
            total_ns = own_ns + children_ns
            if total_ns < THREAD_FLOOR_NS or not self._in_process:
                return NOTHING_KNOWN
            return Usage(source="thread", cpu_seconds=total_ns / 1e9)
        return self._usage_of(self._attached, own_ns, children_ns)

    def _usage_of(self, attached: Attached, own_ns: int, children_ns: int) -> Usage:
        self.look()
        usage = attached.usage()
        attached.close()
        cpu_seconds = usage.cpu_seconds or 0.0
        if usage.source != "cgroup" and children_ns / 1e9 > cpu_seconds:
            cpu_seconds = children_ns / 1e9  # all that was waited for, seen or not
        if self._in_process:
            cpu_seconds += own_ns / 1e9
        if not attached.has_targets:
            usage = replace(usage, source="thread")
        return replace(
            usage,
            cpu_seconds=None if usage.cpu_seconds is None and not cpu_seconds else cpu_seconds,
            samples=self._samples,
            curve=None if self._curve is None else self._curve.curve(),
        )

    def _children_ns(self) -> int:
        """CPU time of children that were waited for meanwhile, if only this thread can have.

        The kernel keeps one account for the whole process.
        """
        if self._children_before is None or self._thread_id != get_ident():
            return 0
        grown_ns = reaped_children_ns() - self._children_before
        return grown_ns if grown_ns > 0 and _is_alone() else 0


def _is_alone() -> bool:
    """Whether no other thread, telemetry's aside, can have started and awaited children."""
    return all(
        thread.ident == get_ident() or thread.name.startswith(_HARMLESS_THREADS)
        for thread in threading.enumerate()
    )


_HARMLESS_THREADS: Final = ("otel_codomon", "Otel")


def _after_fork() -> None:
    _making[0] = threading.Lock()  # the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
