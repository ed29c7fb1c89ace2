"""An execution that runs in this process: its CPU time, and the processes it starts."""

from __future__ import annotations

import time
from threading import get_ident, get_native_id
from time import thread_time_ns
from typing import Final, NamedTuple

from otel_codomon._platform.proc_stat import TICK_NS, read_stat
from otel_codomon._platform.threads_and_forks import thread_clock_ns
from otel_codomon.resources.attribution import Work
from otel_codomon.resources.event_loop import (
    LoopTurn,
    has_green_threads,
    is_only_task,
    running_loop,
)
from otel_codomon.resources.other_threads import OtherThreads, inside
from otel_codomon.resources.reaping import Account, account, fostered_by

_STEP_NS: Final = 20_000
"""A step that is shorter has started no process: that takes 80 µs."""


class _Step(NamedTuple):
    """One step of a coroutine or generator, at its beginning.

    Attributes:
        native_id: The thread that takes it.
        known: The children that the thread had.
        before: The account of the process.
        started_ns: The clock of the thread.
    """

    native_id: int
    known: frozenset[int]
    before: Account
    started_ns: int


class ThreadClock:
    """What one execution does in this process: in its thread, or in steps.

    Args:
        in_this_thread: Whether it runs in the calling thread from its start to
            its end. Else it runs in the steps between `begin_step` and
            `end_step`, and the thread is others' in between.

    Attributes:
        is_by_steps: Whether it runs in steps.
        started: The processes that its steps were seen to start.
    """

    __slots__ = (
        "_before",
        "_ident",
        "_in_steps_ns",
        "_is_green",
        "_is_over",
        "_known_ns",
        "_native_id",
        "_others",
        "_started_ns",
        "_step",
        "_steps_ns",
        "_turn",
        "_unseen",
        "_was_only_task",
        "is_by_steps",
        "started",
    )

    def __init__(self, *, in_this_thread: bool) -> None:
        self.is_by_steps = not in_this_thread
        self.started: frozenset[int] = frozenset()
        self._unseen: tuple[int, ...] = ()
        self._ident, self._native_id = get_ident(), get_native_id()
        self._steps_ns: int | None = None
        self._step: _Step | None = None
        self._in_steps_ns = self._known_ns = 0
        self._is_green = has_green_threads()
        loop = running_loop()
        self._was_only_task = in_this_thread and loop is not None and is_only_task()
        self._turn = LoopTurn(loop) if in_this_thread and loop is not None else None
        self._is_over = False
        self._others = OtherThreads(self._ident, self._native_id)
        self._before = account()
        self._started_ns = thread_time_ns()  # last: what comes before is our time
        if in_this_thread:
            inside.enter(self._native_id, self._started_ns)

    # --- steps ----------------------------------------------------------------

    def runs_as_task(self) -> None:
        """Note that it is awaited, and so shares its thread with other tasks at most."""
        self._was_only_task = is_only_task()

    def begin_step(self) -> None:
        """A step begins in the calling thread."""
        native_id = get_native_id()
        known = frozenset(children_of(native_id))
        self._step = _Step(native_id, known, account(), thread_time_ns())

    def end_step(self) -> None:
        """It ends: what it used, started and waited for is the execution's."""
        step, self._step = self._step, None
        if step is None:
            return
        used_ns = thread_time_ns() - step.started_ns
        self._steps_ns = (self._steps_ns or 0) + max(0, used_ns)
        if used_ns < _STEP_NS:
            return
        after = account()
        self._in_steps_ns += max(0, after.unaccounted_ns - step.before.unaccounted_ns)
        self._known_ns += after.here_ns - step.before.here_ns
        new = frozenset(children_of(step.native_id)) - step.known
        if new:
            self.started |= new
            self._unseen += tuple(new)

    def note_own_child(self, cpu_ns: int) -> None:
        """Note that a child which is accounted for elsewhere was waited for in this thread."""
        if self._step is not None or (not self.is_by_steps and self._ident == get_ident()):
            self._known_ns -= cpu_ns

    # --- asked while it runs ----------------------------------------------------

    def cpu_ns(self) -> int | None:
        """CPU time so far, nanoseconds, asked from any thread; None where it is not known."""
        if self.is_by_steps:
            return None if self._is_green else self._steps_ns
        if self._is_shared():
            return None
        if self._ident == get_ident():
            return thread_time_ns() - self._started_ns
        now_ns = cpu_ns_of(self._native_id)
        return None if now_ns is None else max(0, now_ns - self._started_ns)

    def children_since(self, started_ns: int) -> list[int]:
        """Processes that it has started since, and that were not waited for.

        Args:
            started_ns: Since when, monotonic clock, nanoseconds.
        """
        if self.is_by_steps:
            return self._started_by_steps()
        if self._is_shared():
            return []
        threads = (self._native_id, *self._others.born())
        children = [pid for native_id in threads for pid in children_of(native_id)]
        if not children:
            return []
        since_ticks = boot_ticks_ago(time.monotonic_ns() - started_ns)
        return [pid for pid in children if started_after(pid, since_ticks)]

    def _is_shared(self) -> bool:
        """Whether others have, or may have, used its thread since it started."""
        has_turned = self._turn is not None and self._turn.has_come
        return self._is_green or (has_turned and not self._was_only_task)

    def _started_by_steps(self) -> list[int]:
        """Of the steps that ended, those not handed out yet; of one that runs, all."""
        unseen, self._unseen = self._unseen, ()
        step = self._step
        if step is None:
            return list(unseen)
        return [*unseen, *(pid for pid in children_of(step.native_id) if pid not in step.known)]

    # --- asked at the end ---------------------------------------------------------

    def end(self) -> Work:
        """What is known of it; asked once, first of all that is done at its end."""
        own_ns = self.cpu_ns()
        now = account()
        unaccounted_ns = max(0, now.unaccounted_ns - self._before.unaccounted_ns)
        is_here = self._ident == get_ident()
        is_in_thread = is_here and not self.is_by_steps
        known_ns = now.here_ns - self._before.here_ns if is_in_thread else 0
        if not unaccounted_ns and own_ns is not None and self._others.are_quiet(own_ns):
            return Work(own_ns=own_ns, known_ns=self._known_ns + known_ns)
        activity = self._others.activity()
        return Work(
            own_ns=own_ns,
            beside_ns=activity.beside_ns,
            born_ns=activity.born_ns,
            pool_ns=activity.pool_ns,
            others_idle=activity.are_idle and is_here and not self._is_green,
            has_hidden=activity.has_hidden,
            is_shared=self._is_shared(),
            is_alone=self._is_alone(),
            known_ns=self._known_ns + known_ns,
            unaccounted_ns=unaccounted_ns,
            in_steps_ns=self._in_steps_ns,
        )

    def _is_alone(self) -> bool:
        """Whether nothing else ran in its thread since the start."""
        if not self.is_by_steps and (self._turn is None or not self._turn.has_come):
            return True
        return self._was_only_task and is_only_task()

    def close(self) -> None:
        """Leave nothing behind; nothing is asked any more."""
        if self._is_over:
            return
        self._is_over = True
        if self._turn is not None:
            self._turn.end()
        if not self.is_by_steps:
            is_here = self._ident == get_ident()
            now_ns = thread_time_ns() if is_here else thread_clock_ns(self._native_id)
            inside.leave(self._native_id, self._started_ns if now_ns is None else now_ns)


class NoClock(ThreadClock):
    """Stands in where an execution is a child process, and does nothing in this one."""

    __slots__ = ()

    def __init__(self) -> None:
        self.is_by_steps = True
        self.started = frozenset()

    def runs_as_task(self) -> None:
        """Do nothing."""

    def begin_step(self) -> None:
        """Do nothing."""

    def end_step(self) -> None:
        """Do nothing."""

    def note_own_child(self, cpu_ns: int) -> None:
        """Do nothing."""

    def cpu_ns(self) -> int | None:
        """Nothing is known."""
        return None

    def children_since(self, started_ns: int) -> list[int]:
        """None: they are the child's."""
        del started_ns
        return []

    def end(self) -> Work:
        """Nothing was done here."""
        return Work()

    def close(self) -> None:
        """Do nothing."""


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
    """Processes that the thread started and that have not been waited for, or that work for it."""
    try:
        with open(f"/proc/self/task/{native_id}/children", "rb") as file:  # noqa: PTH123 - as above
            return [*map(int, file.read().split()), *fostered_by(native_id)]
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
