"""One child of this process that the program waits for, as an execution of its own.

The program waits for it, or never does. It is never waited for here: a sample leaves
it as it is (``WNOWAIT``), and so the program's view of it.
"""

from __future__ import annotations

import os
import platform
import struct
import sys
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.proc_stat import TICK_NS, read_stat
from otel_codomon.resources.reaping import self_peak_bytes
from otel_codomon.resources.totals import ChildTotals

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Ended(Protocol):
        """Called by whoever sees the end."""

        def __call__(self, code: int | None, totals: ChildTotals | None) -> object:
            """Take how it ended.

            Args:
                code: Exit code as `subprocess` has it; None where it is not known.
                totals: What it used; None where that is not known.
            """


_RUSAGE: Final = struct.Struct("@18l")
"""``struct rusage`` of the kernel: two times in seconds and microseconds, and 14 figures."""

_SIGINFO_BYTES: Final = 128
_KIB: Final = 1024
_BLOCK_BYTES: Final = 512

_WAITID: Final = {
    "x86_64": 247,
    "aarch64": 95,
    "riscv64": 95,
    "loongarch64": 95,
    "ppc64le": 272,
    "s390x": 281,
}
"""The number of waitid(2) on 64-bit kernels. Its fifth argument, which the C library
leaves out, takes what the child has used."""


class StartedChild:
    """A child, from before it is started to its end.

    Attributes:
        pid: Its number; None before it was started.
        totals: What it used, taken when it was waited for; None before, and where
            it is not known.
        client: The client of a container engine that it is, as ``docker run``; None
            for any other program.
        ended: Takes its end; None before it was started.
        is_watched: Whether the samples of its tree have begun.
        waiting: Calls that are waiting for it, and will report how it ended.
    """

    __slots__ = (
        "_created_ns",
        "_is_gone",
        "_spawned_ns",
        "client",
        "ended",
        "is_watched",
        "pid",
        "totals",
        "waiting",
    )

    def __init__(self, *, client: str | None = None) -> None:
        self.pid: int | None = None
        self.totals: ChildTotals | None = None
        self.client = client
        self.ended: Ended | None = None
        self.is_watched = False
        self.waiting: set[object] = set()
        self._is_gone = False
        self._created_ns = _since_boot_ns()
        self._spawned_ns = 0

    def start(self, pid: int, ended: Ended) -> None:
        """Note that it was started as process *pid*, and what takes its end."""
        self._spawned_ns = _since_boot_ns()
        self.ended = ended
        self.pid = pid

    def is_process(self) -> bool:
        """Whether the process that has its number is the one that was started."""
        stat = None if self.pid is None else read_stat(self.pid)
        if stat is None or stat.parent != os.getpid():
            return False
        earliest, latest = self._created_ns // TICK_NS - 1, self._spawned_ns // TICK_NS + 1
        return earliest <= stat.start_ticks <= latest

    def check(self) -> None:
        """Have its end taken if it has ended: the program may never wait for it."""
        pid, ended = self.pid, self.ended
        if pid is None or ended is None or not hasattr(os, "waitid"):  # macOS before Python 3.13
            return
        try:
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            self._check_gone(ended)
            return
        if found is None:
            return
        if not self.is_process():  # its number is that of another child by now
            ended(None, None)
            return
        code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        ended(code, unreaped_totals(pid))

    def _check_gone(self, ended: Ended) -> None:
        """A call that has waited for it may be about to report: ask twice."""
        if self._is_gone and not self.waiting:
            ended(None, None)
        self._is_gone = True


def unreaped_totals(pid: int) -> ChildTotals | None:
    """What a child that has ended used, without waiting for it; None where it is not to be had."""
    call = _waitid()
    if call is None:
        return None
    figures = call(pid)
    if figures is None:
        return None
    user_s, user_us, system_s, system_us, maxrss = figures[:5]
    minor, major, _, read, written = figures[8:13]
    voluntary, involuntary = figures[16:18]
    return ChildTotals(
        pid=pid,
        user_seconds=user_s + user_us / 1e6,
        system_seconds=system_s + system_us / 1e6,
        maxrss_bytes=maxrss * _KIB,
        read_bytes=read * _BLOCK_BYTES,
        write_bytes=written * _BLOCK_BYTES,
        voluntary_switches=voluntary,
        involuntary_switches=involuntary,
        major_faults=major,
        minor_faults=minor,
        spawner_peak_bytes=self_peak_bytes(),
    )


@lru_cache(maxsize=1)
def _waitid() -> Callable[[int], tuple[int, ...] | None] | None:
    number = _WAITID.get(platform.machine())
    if number is None or sys.platform != "linux" or sys.maxsize < 2**32:
        return None
    import ctypes  # noqa: PLC0415 - 2 ms, and few children are never waited for

    syscall = ctypes.CDLL(None).syscall
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT

    def call(pid: int) -> tuple[int, ...] | None:
        info = ctypes.create_string_buffer(_SIGINFO_BYTES)
        usage = ctypes.create_string_buffer(_RUSAGE.size)
        arguments = map(ctypes.c_long, (number, os.P_PID, pid))
        failed = syscall(*arguments, info, ctypes.c_long(flags), usage)
        # Of a child that has not ended nothing is written, its process id neither.
        return None if failed or not any(info.raw) else _RUSAGE.unpack(usage.raw)

    return call


def _since_boot_ns() -> int:
    """Now on the clock by which the kernel tells when a process started."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else 0
