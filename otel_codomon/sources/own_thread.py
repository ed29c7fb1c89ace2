"""A thread of this process: its CPU time and the processes it started."""

from __future__ import annotations

import threading
import time
from threading import get_ident, get_native_id
from time import thread_time_ns
from typing import Final

from otel_codomon.sources.processes import TICK_NS, read_stat
from otel_codomon.sources.reaping import reaped_children_ns

# Threads of telemetry, which start and await no children.
_HARMLESS_THREADS: Final = ("otel_codomon", "Otel")


class OwnWork:
    """CPU time of one execution in this process: a thread's, or that of its steps.

    Args:
        in_this_thread: Whether it runs in the calling thread, without a pause,
            until it ends there. Else its steps are told by `stepped`.
    """

    __slots__ = ("_awaited_before_ns", "_ident", "_native_id", "_started_ns", "_steps_ns")

    def __init__(self, *, in_this_thread: bool) -> None:
        self._ident = get_ident()
        self._steps_ns: int | None = None
        self._native_id: int | None = None
        if in_this_thread:
            self._native_id = get_native_id()
            self._awaited_before_ns = reaped_children_ns()
            self._started_ns = thread_time_ns()  # last: what comes before is our time

    def stepped(self, cpu_ns: int) -> None:
        """Add the CPU time of one step of a coroutine or generator, nanoseconds.

        Between its steps the thread works for others: from start to end its
        clock would tell their time too.
        """
        self._steps_ns = (self._steps_ns or 0) + max(0, cpu_ns)

    def cpu_ns(self) -> int | None:
        """CPU time so far, nanoseconds, asked from any thread; None where it is not known."""
        if self._native_id is None:
            return self._steps_ns
        if self._ident == get_ident():
            return thread_time_ns() - self._started_ns
        now_ns = cpu_ns_of(self._native_id)
        return None if now_ns is None else max(0, now_ns - self._started_ns)

    def awaited_ns(self) -> int:
        """CPU time of children that were waited for meanwhile, if only this thread can have.

        The kernel keeps one account for the whole process.
        """
        if self._native_id is None or self._ident != get_ident():
            return 0
        grown_ns = reaped_children_ns() - self._awaited_before_ns
        return grown_ns if grown_ns > 0 and _is_alone() else 0

    def children_since(self, started_ns: int) -> list[int]:
        """Processes that the thread has started since, and that were not waited for.

        Args:
            started_ns: Since when, monotonic clock, nanoseconds.
        """
        children = [] if self._native_id is None else children_of(self._native_id)
        if not children:
            return []
        since_ticks = boot_ticks_ago(time.monotonic_ns() - started_ns)
        return [pid for pid in children if started_after(pid, since_ticks)]


def _is_alone() -> bool:
    """Whether no other thread, telemetry's aside, can have started and awaited children."""
    return all(
        thread.ident == get_ident() or thread.name.startswith(_HARMLESS_THREADS)
        for thread in threading.enumerate()
    )


def cpu_ns_of(native_id: int) -> int | None:
    """CPU time of a thread of this process so far, nanoseconds; None when it is gone.

    From ``/proc/self/task/<tid>/schedstat``. The clock of another thread
    (``pthread_getcpuclockid``) would crash the process if that thread has ended.
    """
    try:
        with open(f"/proc/self/task/{native_id}/schedstat", "rb") as file:  # noqa: PTH123 - speed
            return int(file.read().split()[0])
    except (OSError, IndexError, ValueError):  # gone, or a kernel or system without it
        return None


def children_of(native_id: int) -> list[int]:
    """Processes that the thread started and that have not been waited for."""
    try:
        with open(f"/proc/self/task/{native_id}/children", "rb") as file:  # noqa: PTH123 - as above
            return [int(pid) for pid in file.read().split()]
    except OSError:  # as above
        return []


def boot_ticks_ago(nanoseconds: int) -> int:
    """That time ago, in clock ticks since boot, as processes tell their start; 0 elsewhere."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None:
        return 0
    return (time.clock_gettime_ns(clock) - nanoseconds) // TICK_NS


def started_after(pid: int, ticks: int) -> bool:
    """Whether *pid* is there and started at *ticks* since boot, or later."""
    stat = read_stat(pid)
    return stat is not None and stat.start_ticks >= ticks
