"""A thread of this process: its CPU time and the processes it started."""

from __future__ import annotations

import time

from otel_codomon.sources.processes import TICK_NS, read_stat


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
