"""``/proc/<pid>/stat`` (proc(5)): the one parser of it.

Imports only what the interpreter has loaded or built in: `otel-codomon run` needs it
before it starts its command.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # what `signal` wraps in enums, at the price of a third of the start

_HAS_SYSCONF = hasattr(os, "sysconf")
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK") if _HAS_SYSCONF else 1
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if _HAS_SYSCONF else 1
_DEAD = b"ZX"
_SIGCHLD_BIT = 1 << (getattr(signal, "SIGCHLD", 1) - 1)  # there is none on Windows


class ProcessStat:
    """One process at one instant.

    Attributes:
        pid: The process.
        parent: Its parent.
        state: One letter: ``R`` runs or could, ``Z`` and ``X`` are dead.
        faults: Page faults so far, minor and major.
        own_ticks: CPU time of its own, clock ticks.
        reaped_ticks: CPU time of the descendants that were waited for, clock ticks.
        threads: Its threads.
        start_ticks: When it started, clock ticks since boot: with the pid it
            identifies the process.
        rss_pages: Resident set, pages; shared ones included.
        ignores_children: Whether it ignores SIGCHLD, so that its children
            vanish without being waited for and are in nobody's account.
    """

    __slots__ = (
        *("faults", "ignores_children", "own_ticks", "parent", "pid", "reaped_ticks"),
        *("rss_pages", "start_ticks", "state", "threads"),
    )

    def __init__(self, text: bytes) -> None:
        # The name may hold anything, brackets and spaces included. What follows
        # is counted from the state, which is field 3 of proc(5).
        fields = text[text.rindex(b")") + 2 :].split(None, 31)
        self.pid = int(text[: text.index(b" ")])
        self.state = fields[0]
        self.parent = int(fields[1])
        self.faults = int(fields[7]) + int(fields[9])
        self.own_ticks = int(fields[11]) + int(fields[12])
        self.reaped_ticks = int(fields[13]) + int(fields[14])
        self.threads = int(fields[17])
        self.start_ticks = int(fields[19])
        self.rss_pages = int(fields[21])
        self.ignores_children = bool(int(fields[30]) & _SIGCHLD_BIT)

    @property
    def is_living(self) -> bool:
        """Whether it has not ended."""
        return self.state not in _DEAD

    @property
    def cpu_ns(self) -> int:
        """CPU time of its own, nanoseconds, in whole clock ticks."""
        return self.own_ticks * TICK_NS

    @property
    def reaped_cpu_ns(self) -> int:
        """CPU time of the descendants that were waited for, nanoseconds."""
        return self.reaped_ticks * TICK_NS

    @property
    def rss_bytes(self) -> int:
        """Resident set, bytes; shared pages included."""
        return self.rss_pages * PAGE_BYTES


def read_stat(pid: int) -> ProcessStat | None:
    """Process *pid* now; None when it is gone or hidden."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib costs 5 ms
            return ProcessStat(file.read())
    except (OSError, ValueError, IndexError):  # the last two: cut off, as it goes
        return None
