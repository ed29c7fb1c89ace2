"""Limits that no kernel holds on a tree: held by taking samples of it.

CPU time and the number of processes are read each time. Memory and disk are
measured in threads of their own: what they read is in the command's hands,
which can make it long, or make it block.
"""

from __future__ import annotations

import os
import resource
import time
from _thread import start_new_thread

from otel_codomon.sandbox.counting import UnreadError
from otel_codomon.sandbox.cpu_ledger import CpuLedger
from otel_codomon.sandbox.tree import read_file, stats_below

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otel_codomon._platform.proc_stat import ProcessStat

    Passed = tuple[str, float | None]

# A sample of a tree takes tens of microseconds, so that 20 a second cost 0.1 %
# of a core, and a limit is passed by at most 50 ms of what the tree can do.
SAMPLE_SECONDS = 0.05
# Without limits, samples show whether the totals leave out children.
IDLE_SECONDS = 0.25
# A measurement of memory or disk takes a tenth of the time of a core at most.
_REST_FACTOR = 9
_SHORTEST_REST_SECONDS = 0.025
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_MOST_CHARACTERS = 200  # of why something could not be read


class TreeLimits:
    """What a whole tree may use.

    Attributes:
        cpu_seconds: CPU time, seconds; 0 for no limit.
        memory_bytes: Memory; 0 for no limit.
        processes: Living processes; 0 for no limit.
        disk_bytes: Growth of *places*; 0 for no limit.
        places: The directories in which disk counts.
        cpu_counter: File of a cgroup in which the kernel counts the CPU time of
            the tree; empty for none.
        spare_processes: Processes that are not the command's own.
    """

    def __init__(
        self,
        *,
        cpu_seconds: float = 0,
        memory_bytes: int = 0,
        processes: int = 0,
        disk_bytes: int = 0,
        places: Sequence[str] = (),
        cpu_counter: str = "",
        spare_processes: int = 0,
    ) -> None:
        self.cpu_seconds = cpu_seconds
        self.memory_bytes = memory_bytes
        self.processes = processes
        self.disk_bytes = disk_bytes
        self.places = places
        self.cpu_counter = cpu_counter
        self.spare_processes = spare_processes

    def __bool__(self) -> bool:
        """Whether there is anything to hold."""
        return bool(self.cpu_seconds or self.memory_bytes or self.processes or self.disk_bytes)


class TreeMeter:
    """Takes samples of everything below this process, and compares them with its limits.

    Attributes:
        pause_seconds: Time from one sample to the next.
        alarm: Descriptor that is ready when a sample is due earlier.
    """

    def __init__(self, limits: TreeLimits) -> None:
        """Prepare; to be called before the command starts.

        Raises:
            TooManyFilesError: Disk cannot be measured in so large a directory.
        """
        self._limits = limits
        self.pause_seconds = SAMPLE_SECONDS if limits else IDLE_SECONDS
        self._ledger = None if limits.cpu_counter else CpuLedger()
        self._earlier = time.monotonic()
        self._failure: str | None = None
        self._told: set[str] = set()
        self.alarm, ring = os.pipe()
        self._gauges: list[_Gauge] = []
        if limits.memory_bytes:
            from otel_codomon.sandbox.memory_meter import MemoryMeter  # noqa: PLC0415 - if limited

            memory = MemoryMeter(limits.memory_bytes)
            self._gauges.append(_Gauge("memory", limits.memory_bytes, memory.seen, ring))
        if limits.disk_bytes:
            from otel_codomon.sandbox.disk_meter import DiskMeter  # noqa: PLC0415 - if limited

            disk = DiskMeter(limits.places, limits.disk_bytes)
            self._gauges.append(_Gauge("disk", limits.disk_bytes, disk.seen, ring))

    @property
    def counts_processes(self) -> bool:
        """Whether there is a limit on processes."""
        return bool(self._limits.processes)

    @property
    def has_unwaited(self) -> bool:
        """Whether processes vanish without being waited for: the kernel's totals leave them out.

        So it may be where a sample could not be taken.
        """
        return self._ledger is not None and (self._ledger.has_unwaited or self._failure is not None)

    def start(self) -> None:
        """Begin to measure memory and disk; to be called when the command has started."""
        for gauge in self._gauges:
            start_new_thread(gauge.run, ())

    def passed(self) -> Passed | None:
        """Take a sample; where that fails, there is none, and `unmeasured` says so.

        Returns:
            The limit that the tree is over, and what was seen of it where that
            is no estimate; None when it is over none.
        """
        try:
            found = self._sample()
        except Exception as error:  # noqa: BLE001 - whatever it is, the tree goes on and so do we
            self._failure = self._failure or _described(error)
            found = None
        return found or next((gauge.passed for gauge in self._gauges if gauge.passed), None)

    def unmeasured(self) -> Iterator[tuple[str, str]]:
        """Yield each limit of which a measurement has failed, and why; each once."""
        failures = {gauge.limit: gauge.failure for gauge in self._gauges}
        failures["processes"] = self._failure if self._limits.processes else None
        failures["cpu"] = self._failure if self._limits.cpu_seconds else None
        for limit, failure in failures.items():
            if failure is not None and limit not in self._told:
                self._told.add(limit)
                yield limit, failure

    def _sample(self) -> Passed | None:
        """The limit on processes or CPU time that the tree is over, if it is."""
        limits = self._limits
        reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
        stats, processes = self._members()
        if 0 < limits.processes < processes:
            return "processes", processes
        ticks = sum(stat.own_ticks + stat.reaped_ticks for stat in stats)
        told = reaped.ru_utime + reaped.ru_stime + ticks / _TICKS_A_SECOND
        cpu_seconds = self._cpu_seconds(told, stats)
        if 0 < limits.cpu_seconds < cpu_seconds:
            return "cpu", None if self.has_unwaited else cpu_seconds
        return None

    def _members(self) -> tuple[list[ProcessStat], int]:
        """The processes, and how many of them live and are the command's own.

        Not many more than are allowed: while a fork bomb is counted, it grows.
        """
        stats = []
        processes = -self._limits.spare_processes
        enough = self._limits.processes * 2 or float("inf")
        for stat in stats_below(os.getpid()):
            stats.append(stat)
            processes += stat.is_living
            if processes > enough:
                break
        return stats, processes

    def _cpu_seconds(self, told: float, stats: Sequence[ProcessStat]) -> float:
        now = time.monotonic()
        since, self._earlier = now - self._earlier, now
        if self._ledger is None:
            return max(told, _counted_seconds(self._limits.cpu_counter))
        return told + self._ledger.add(stats, since)


class _Gauge:
    """One limit whose measurement may take long.

    Attributes:
        limit: Which.
        passed: The limit and what was seen, once that was more.
        failure: Why a measurement failed, the first time; None where none has.
    """

    def __init__(self, limit: str, value: float, seen: Callable[[], float], ring: int) -> None:
        self.limit = limit
        self.passed: Passed | None = None
        self.failure: str | None = None
        self._ring = ring
        self._value = value
        self._seen = seen

    def run(self) -> None:
        """Measure until the limit is passed; in a thread that ends with the process."""
        while self.passed is None:
            started = time.monotonic()
            seen = self._measure()
            if seen is not None and seen > self._value:
                self.passed = self.limit, seen
                os.write(self._ring, b"!")
            rest = (time.monotonic() - started) * _REST_FACTOR
            time.sleep(max(rest, _SHORTEST_REST_SECONDS))

    def _measure(self) -> float | None:
        """What is in use now, at least; None where that is not known, which is not 0.

        The next measurement may succeed, whatever the command did to this one.
        """
        try:
            return self._seen()
        except UnreadError as error:
            self.failure = self.failure or str(error)
            return error.at_least
        except Exception as error:  # noqa: BLE001 - as above
            self.failure = self.failure or _described(error)
            return None


def _described(error: Exception) -> str:
    """What went wrong, on one line that a supervisor can report."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:_MOST_CHARACTERS]
    return text.encode("ascii", "backslashreplace").decode("ascii")


def _counted_seconds(path: str) -> float:
    """CPU time of a cgroup: ``cpuacct.usage`` in nanoseconds, or ``cpu.stat`` of version 2."""
    words = read_file(path).split()
    if not words:
        return 0.0
    return int(words[0]) / 1e9 if len(words) == 1 else int(words[1]) / 1e6
