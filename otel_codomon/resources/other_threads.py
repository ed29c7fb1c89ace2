"""The other threads of this process: what they did while an execution ran.

A thread whose clock stood still was asleep: it started nothing, waited for
nothing and worked for nobody. That is what makes the account of the process
the account of one execution.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Final, NamedTuple

from otel_codomon._platform.threads_and_forks import (
    OwnThread,
    on_fork,
    own_threads_ns,
    thread_clock_ns,
)
from otel_codomon.resources.attribution import NEGLIGIBLE_NS, QUIET_NS
from otel_codomon.resources.reaping import has_children

_MOST_THREADS: Final = 64
"""Beyond so many threads of the program their clocks are not read: a microsecond each."""

_LOOKS: Final = 10
_WAITS_FOR_ONE: Final = "asyncio.unix_events"
"""Module of the threads that asyncio has wait for one child each, and do nothing else."""

_POOLS: Final = ("concurrent.futures.thread", "multiprocessing.pool", "anyio._backends._asyncio")
"""Modules whose threads do what others hand to them."""


class Activity(NamedTuple):
    """What the other threads of the program did.

    Attributes:
        beside_ns: CPU time of all of them, ours left out.
        born_ns: The part of threads that began meanwhile.
        pool_ns: The part of workers of pools, outside executions of their own.
        are_idle: Whether none that was there at the start started a child, or
            waited for one.
        has_hidden: Whether there are threads that Python does not list, of a C
            library, so that `born_ns` may be of one that was there.
    """

    beside_ns: int = 0
    born_ns: int = 0
    pool_ns: int = 0
    are_idle: bool = False
    has_hidden: bool = False


class Clock(NamedTuple):
    """The clock of a thread at the start, and how much of it was within executions."""

    cpu_ns: int
    inside_ns: int

    def used_ns(self, thread: threading.Thread) -> int | None:
        """CPU time of *thread* since; None if it has ended."""
        now_ns = _clock_of(thread)
        return None if now_ns is None else now_ns - self.cpu_ns

    def outside_ns(self, thread: threading.Thread) -> int:
        """The part of it that was not spent in executions of its own."""
        now_ns = _clock_of(thread) or self.cpu_ns
        inside_ns = inside.so_far_ns(_native_id_of(thread) or 0, now_ns) - self.inside_ns
        return max(0, now_ns - self.cpu_ns - inside_ns)


class OtherThreads:
    """The threads beside one, from now on.

    Args:
        ident: The one, as Python numbers it.
        native_id: The one, as the kernel does. In a forked child its
            `threading.Thread` still has the number that it had in the parent.
    """

    __slots__ = (
        "_clocks",
        "_had_children",
        "_ident",
        "_native_id",
        "_ours_ns",
        "_own_ns",
        "_process_ns",
    )

    def __init__(self, ident: int, native_id: int) -> None:
        self._ident, self._native_id = ident, native_id
        self._had_children = has_children()
        self._clocks = _clocks_beside(ident, has_children=self._had_children)
        now = _read_clocks(native_id, ())
        self._process_ns, self._ours_ns, self._own_ns = now.process_ns, now.ours_ns, now.own_ns

    def are_quiet(self, own_ns: int) -> bool:
        """Whether the process has used next to nothing but *own_ns*; cheaper than `activity`."""
        return time.process_time_ns() - self._process_ns - own_ns <= NEGLIGIBLE_NS

    def activity(self) -> Activity:
        """What they have done since."""
        clocks = self._clocks
        now = _read_clocks(self._native_id, () if clocks is None else tuple(clocks.items()))
        own_ns, used = now.own_ns, now.used_ns
        beside_ns = now.process_ns - self._process_ns - (now.ours_ns - self._ours_ns)
        if clocks is None:
            return Activity(beside_ns, beside_ns, beside_ns)
        if own_ns is None or self._own_ns is None:  # no such clocks here
            return Activity(are_idle=not clocks and not self.born())
        beside_ns = max(0, beside_ns - (own_ns - self._own_ns))
        born_ns = max(0, beside_ns - sum(ns or 0 for ns in used))
        pool_ns = sum(clock.outside_ns(t) for t, clock in clocks.items() if _is_worker(t))
        are_idle = self._slept(used)
        has_hidden = born_ns > QUIET_NS and _hidden_threads.exist()
        if has_hidden:
            are_idle = are_idle and not _has_unlisted_threads()
        return Activity(beside_ns, born_ns, pool_ns, are_idle, has_hidden=has_hidden)

    def _slept(self, used: list[int | None]) -> bool:
        """Whether threads that used so much started no child, and waited for none.

        To wait for one that was there already takes next to no time.
        """
        if self._had_children:
            return not any(used_ns != 0 for used_ns in used)
        return None not in used and sum(used_ns or 0 for used_ns in used) <= QUIET_NS

    def born(self) -> list[int]:
        """Those that began since, if none that was there can have started them."""
        clocks = self._clocks
        if clocks is None or not self._slept([c.used_ns(t) for t, c in clocks.items()]):
            return []
        numbers = (
            _native_id_of(thread)
            for thread in threading.enumerate()
            if thread.ident != self._ident and thread not in clocks and not is_telemetry(thread)
        )
        return [number for number in numbers if number is not None]


class _Clocks(NamedTuple):
    """Clocks that were read at one instant, nanoseconds of CPU time.

    Attributes:
        process_ns: Of the process.
        ours_ns: Of the threads that are no part of the program.
        own_ns: Of the thread that is looked at; None without such clocks.
        used_ns: Of other threads since they were first read; None if one has ended.
    """

    process_ns: int
    ours_ns: int
    own_ns: int | None
    used_ns: list[int | None]


def _read_clocks(native_id: int, others: tuple[tuple[threading.Thread, Clock], ...]) -> _Clocks:
    """Read all clocks while nothing else of the process runs, or as near to that as can be.

    A thread that gets its turn between two of these reads would be in one
    clock and not in the other: its time would be taken for a thread's that
    began meanwhile.
    """
    for _ in range(_LOOKS):
        process_ns = time.process_time_ns()
        own_ns, ours_ns = thread_clock_ns(native_id), _ours_ns()
        used_ns = [clock.used_ns(thread) for thread, clock in others]
        if time.process_time_ns() - process_ns <= QUIET_NS:
            break
    return _Clocks(process_ns, ours_ns, own_ns, used_ns)


def _ours_ns() -> int:
    """CPU time of the threads that are no part of the program: ours and the SDK's.

    The SDK's collect metrics and encode spans, which takes milliseconds. One of
    them that ends takes its time along: it counts as the program's then.
    """
    theirs = (t for t in threading.enumerate() if not isinstance(t, OwnThread) and is_telemetry(t))
    return own_threads_ns() + sum(_clock_of(thread) or 0 for thread in theirs)


def _clocks_beside(ident: int, *, has_children: bool) -> dict[threading.Thread, Clock] | None:
    """The clocks of the program's other threads; None where there are too many."""
    others = [t for t in threading.enumerate() if t.ident != ident and not is_telemetry(t)]
    if len(others) > _MOST_THREADS:
        return None
    found = {}
    for thread in others:
        now_ns = _clock_of(thread)
        if not has_children and _module_of(thread) == _WAITS_FOR_ONE:
            continue  # the one is gone
        # One without a clock is just being started, by another thread of these.
        now_ns = now_ns or 0
        found[thread] = Clock(now_ns, inside.so_far_ns(_native_id_of(thread) or 0, now_ns))
    return found


def _clock_of(thread: threading.Thread) -> int | None:
    native_id = _native_id_of(thread)
    return None if native_id is None else thread_clock_ns(native_id)


def _native_id_of(thread: threading.Thread) -> int | None:
    """The kernel's number of *thread*; None before it begins, and for green threads."""
    return getattr(thread, "native_id", None)


def is_telemetry(thread: threading.Thread) -> bool:
    """Whether *thread* is ours or the SDK's, by the code that it runs: these start no children."""
    return isinstance(thread, OwnThread) or _module_of(thread).startswith("opentelemetry.")


def _is_worker(thread: threading.Thread) -> bool:
    return _module_of(thread) in _POOLS or type(thread).__module__ in _POOLS


def _module_of(thread: threading.Thread) -> str:
    """The module of the code that *thread* was started with; empty where that is not known."""
    return getattr(getattr(thread, "_target", None), "__module__", None) or ""


class HiddenThreads:
    """The threads of the process that Python does not list, as those of a C library.

    Python lets go of a thread a moment before the kernel does, so one that is
    not listed may just be ending. It is waited for once: one that is still
    there afterwards was started by C, and the next time there is no wait.
    """

    def __init__(self) -> None:
        self._lasting: frozenset[int] = frozenset()

    def exist(self) -> bool:
        """Whether there are such threads."""
        hidden: frozenset[int] = frozenset()
        for _ in range(_LOOKS):
            try:
                # One link for each thread, and two for the directory itself.
                count = os.stat("/proc/self/task").st_nlink - 2  # noqa: PTH116 - speed
                if count <= len(threading.enumerate()):
                    return False
                hidden = unlisted_numbers()
            except OSError:  # no such system
                return True
            if hidden & self._lasting:
                return True
            time.sleep(0.0002)
        self._lasting = hidden
        return True


def unlisted_numbers() -> frozenset[int]:
    """The kernel's numbers of the threads that Python does not list.

    The first thread has the number of the process, also after a fork.
    """
    listed = {os.getpid(), *map(_native_id_of, threading.enumerate())}
    return frozenset(map(int, os.listdir("/proc/self/task"))) - listed  # noqa: PTH208 - speed


_hidden_threads: Final = HiddenThreads()


def _has_unlisted_threads() -> bool:
    """Whether threads run Python that `threading` does not list: these may start children."""
    listed = {thread.ident for thread in threading.enumerate()}
    return any(ident not in listed for ident in sys._current_frames())  # noqa: SLF001 - public but for its name


class _Inside:
    """How much of its CPU time each thread has spent in executions, the outermost ones."""

    _MOST = 4096

    def __init__(self) -> None:
        self._threads: dict[int, tuple[int, int, int]] = {}

    def enter(self, native_id: int, now_ns: int) -> None:
        """An execution begins in the thread."""
        if len(self._threads) > self._MOST:  # of threads that have ended
            self._threads = {n: entry for n, entry in self._threads.items() if entry[0]}
        depth, since_ns, before_ns = self._threads.get(native_id, (0, 0, 0))
        self._threads[native_id] = (depth + 1, since_ns if depth else now_ns, before_ns)

    def leave(self, native_id: int, now_ns: int) -> None:
        """It ends."""
        depth, since_ns, before_ns = self._threads.get(native_id, (1, now_ns, 0))
        used_ns = before_ns + (now_ns - since_ns if depth <= 1 else 0)
        self._threads[native_id] = (max(0, depth - 1), since_ns, used_ns)

    def so_far_ns(self, native_id: int, now_ns: int) -> int:
        """CPU time of the thread within executions so far, when its clock says *now_ns*."""
        depth, since_ns, before_ns = self._threads.get(native_id, (0, 0, 0))
        return before_ns + (now_ns - since_ns if depth else 0)

    def forget(self) -> None:
        """In a forked child: the threads are the parent's."""
        self._threads.clear()


inside: Final = _Inside()
on_fork("inside", in_child=inside.forget)
