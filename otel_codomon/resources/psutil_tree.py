"""The tree of processes where the kernel does not list children: macOS, Windows, hidden /proc.

Slower, and less is told: no high water marks on macOS, for one.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

import psutil

from otel_codomon.resources.sample import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator


class PsutilTree:
    """The same calls as `otel_codomon.resources.process_tree.ProcessTree`, through psutil.

    Attributes:
        seen: As there.
        peak_sum_bytes: As there.
    """

    name = "process_tree"

    client: str | None = None  # not looked for

    def __init__(self) -> None:
        self._roots: dict[int, psutil.Process] = {}
        self._cpu_ns: dict[tuple[int, float], int] = {}
        self._peaks: dict[tuple[int, float], int] = {}
        self.peak_sum_bytes: int | None = None

    @property
    def seen(self) -> int:
        """How many processes were ever members."""
        return len(self._cpu_ns)

    def add(self, pid: int, *, since_ticks: int = 0) -> bool:
        """As in `ProcessTree`; the age of *pid* is not looked at."""
        del since_ticks
        try:
            process = psutil.Process(pid)
            above = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        except (psutil.Error, OSError):  # gone, or hidden
            return False
        if pid not in above:
            self._roots[pid] = process
        return pid not in above

    def read(self) -> Reading | None:
        """Read all members once; None when none is left."""
        memory = processes = threads = 0
        for process in self._members():
            try:
                with process.oneshot():
                    is_dead = process.status() == psutil.STATUS_ZOMBIE
                    cpu = process.cpu_times()
                    sizes = process.memory_info()
                    count = process.num_threads()
            except (psutil.Error, OSError):  # gone, or not for us to see
                continue
            identity = (process.pid, process.create_time())
            self._cpu_ns[identity] = int((cpu.user + cpu.system) * 1e9)
            self._peaks[identity] = max(
                sizes.rss, getattr(sizes, "peak_wset", 0), self._peaks.get(identity, 0)
            )
            if not is_dead:
                memory, processes, threads = memory + sizes.rss, processes + 1, threads + count
        if not processes:
            return None
        self.peak_sum_bytes = max(memory, self.peak_sum_bytes or 0)
        return Reading(
            taken_ns=time.monotonic_ns(),
            cpu_ns=self.cpu_ns,
            memory_bytes=memory,
            processes=processes,
            threads=threads,
        )

    def _members(self) -> Iterator[psutil.Process]:
        for root in self._roots.values():
            with contextlib.suppress(psutil.Error, OSError):
                yield root
                yield from root.children(recursive=True)

    @property
    def cpu_ns(self) -> int:
        """CPU time seen so far, nanoseconds."""
        return sum(self._cpu_ns.values())

    def outside_cpu_ns(self, told: frozenset[int]) -> int:
        """CPU time of those whose account nobody told of: of all, unless a root's was told."""
        return 0 if told >= self._roots.keys() else self.cpu_ns

    def reaped_cpu_ns(self, told: frozenset[int]) -> int:
        """Not told apart: none."""
        del told
        return 0

    @property
    def pids(self) -> set[int]:
        """The roots: whether they live is not looked at."""
        return set(self._roots)

    def members(self) -> list[tuple[int, int]]:
        """Not told: starts in clock ticks are Linux's."""
        return []

    @property
    def largest_peak_bytes(self) -> int | None:
        """The largest resident set seen of one; where the system keeps a mark, that."""
        return max(self._peaks.values(), default=None)

    @property
    def peaks_together_bytes(self) -> int:
        """The sum of those of all that were ever seen."""
        return sum(self._peaks.values())

    def transfers(self) -> tuple[int, int] | None:
        """Not told."""
        return None

    def kill(self) -> bool:
        """End every member; whether there was one."""
        ended = 0
        for process in reversed(list(self._members())):
            with contextlib.suppress(psutil.Error, OSError):  # gone meanwhile
                process.kill()
                ended += 1
        return ended > 0

    def close(self) -> None:
        """Forget the members."""
        self._roots.clear()
