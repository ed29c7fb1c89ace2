"""What in the process is ours: our threads, and what we do when it forks.

A thread of ours is known by its class, never by its name: the program may name
its threads as it likes. What a thread of ours uses, starts or waits for is not
the observed program's.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref

TYPE_CHECKING = False  # as in typing, which takes 5 ms to import: short commands come by here
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final, Protocol

    Hook = Callable[[], object]

    class Pausable(Protocol):
        """Has a thread that can end before a fork."""

        def pause_for_fork(self) -> Hook | None:
            """End the thread; what starts it again, None where there is none."""

# --- threads -----------------------------------------------------------------

_PER_THREAD_SCHED: Final = 6
"""CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED, the low bits of a thread's clock (posix-timers.h)."""


def thread_clock_ns(native_id: int) -> int | None:
    """CPU time of a thread of this process, nanoseconds; None if it has ended.

    The clock is made from the thread's number. `time.pthread_getcpuclockid`
    would make the same one, but reads the memory of the thread, which may have
    been freed.
    """
    try:
        return time.clock_gettime_ns((~native_id << 3) | _PER_THREAD_SCHED)
    except (OSError, OverflowError, AttributeError):  # ended, or not a system with such clocks
        return None


class OwnThread(threading.Thread):
    """A thread of ours. It never keeps the process alive, and prints no traceback.

    Args:
        target: What it runs.
        name: For debuggers.
        restarts: Whether the target runs again, in the same thread, when
            anything at all has ended it but its own return.
    """

    def __init__(self, target: Callable[[], object], *, name: str, restarts: bool = False) -> None:
        super().__init__(name=name, daemon=True)
        self._work = target
        self._restarts = restarts

    def run(self) -> None:
        """Run the target, and keep account of the CPU time."""
        native_id = threading.get_native_id()
        _living[native_id] = self
        try:
            while self._dies() and self._restarts:
                time.sleep(_RESTART_SECONDS)
        finally:
            # In this order: for an instant too little is ours, never too much.
            _living.pop(native_id, None)
            with _ending_lock:
                _ended_ns[0] += time.thread_time_ns()

    def _dies(self) -> bool:
        """Run the target; whether something else than its return has ended it."""
        try:
            self._work()
        except BaseException:  # noqa: BLE001 - also what other code raises in all threads
            _report_death(self.name, restarts=self._restarts)
            return True
        return False


def _report_death(name: str, *, restarts: bool) -> None:
    """Log what ended the thread called *name*, the first time."""
    if name in _dead:
        return
    _dead.add(name)
    from otel_codomon._platform.logs import get_logger  # noqa: PLC0415 - slow, and rarely needed

    get_logger("otel_codomon").exception(
        "the thread %r died%s; the observed program is not affected",
        name,
        " and is started again" if restarts else "",
    )


_RESTART_SECONDS: Final = 1.0
"""How long a thread that died pauses, so that one that dies at once costs nothing."""

_dead: Final[set[str]] = set()
_living: dict[int, OwnThread] = {}
# Only ever held by threads of ours, in which no signal handler runs.
_ending_lock: Final = threading.Lock()
_ended_ns: Final = [0]


def own_threads_ns() -> int:
    """CPU time of all threads of ours so far, nanoseconds. Never falls."""
    living = sum(thread_clock_ns(native_id) or 0 for native_id in tuple(_living))
    return living + _ended_ns[0]


# --- waking a thread ------------------------------------------------------------


class Wake:
    """Wakes one thread of ours; an `Event` that a signal handler can set at any instant.

    `threading.Event.set` holds a lock that is not reentrant: a handler that
    sets the event which its thread is just setting would wait forever.
    """

    __slots__ = ("_blocked", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._blocked = threading.Lock()
        self._blocked.acquire()

    def is_set(self) -> bool:
        """Whether `set` was called since the last `clear`."""
        return self._is_set

    def set(self) -> None:
        """Wake the thread that waits, or the next one that does."""
        self._is_set = True
        try:
            self._blocked.release()
        except RuntimeError:  # another thread, or a signal handler, was faster
            return

    def clear(self) -> None:
        """Have the next `wait` wait."""
        self._is_set = False
        self._blocked.acquire(blocking=False)

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until `set` is called; whether it was."""
        if self._blocked.acquire(timeout=-1 if timeout_seconds is None else timeout_seconds):
            self.set()  # until it is cleared
        return self._is_set


# --- threads at a fork ----------------------------------------------------------

WARNS_OF_THREADS = sys.version_info >= (3, 12)
"""Whether Python warns of a fork while other threads are alive."""

_GONE_SECONDS = 0.2
"""How long a fork waits for a thread of ours; one that is sending may take longer, and is left."""

_pausing: weakref.WeakSet[Pausable] = weakref.WeakSet()
_resuming: list[Hook] = []


def pause_at_forks(thing: Pausable) -> None:
    """Have *thing* end its thread before each fork, and start it again after it."""
    _pausing.add(thing)


def wait_until_gone(thread: threading.Thread) -> bool:
    """Wait a moment until *thread* has ended, for the kernel too; whether it has."""
    if thread is threading.current_thread():
        return False
    until = time.monotonic() + _GONE_SECONDS
    thread.join(_GONE_SECONDS)
    native_id = thread.native_id
    while native_id is not None and thread_clock_ns(native_id) is not None:
        if time.monotonic() > until:
            return False
        time.sleep(0.0002)  # Python lets go of a thread a moment before the kernel does
    return True


class PausableThread:
    """A thread of ours that ends before each fork and starts again after it.

    It is started when there is work. *target* returns soon after *wake* was called
    while `is_ending`.

    Args:
        target: What it runs.
        name: For debuggers.
        wake: Ends whatever the target waits for.

    Attributes:
        is_stopped: Whether it is not started any more.
    """

    def __init__(
        self, target: Callable[[], object], *, name: str, wake: Callable[[], object]
    ) -> None:
        self._target, self._name, self._wake = target, name, wake
        self.forget()
        pause_at_forks(self)

    def forget(self) -> None:
        """Have no thread: at the start, and in a forked child, where it is the parent's."""
        self._thread: threading.Thread | None = None
        # Its holder may take it again: a signal handler may come in between.
        self._starting = threading.RLock()
        self._is_pausing = False
        self.is_stopped = False

    @property
    def is_there(self) -> bool:
        """Whether it was started and has not ended by itself."""
        return self._thread is not None

    @property
    def is_ending(self) -> bool:
        """Whether the target is to return."""
        return self.is_stopped or self._is_pausing

    def start(self) -> bool:
        """Have the thread; whether there is one.

        There is none once it is stopped, while the interpreter exits, and where
        there are too many.
        """
        with self._starting:
            if self.is_stopped:
                return False
            if self._thread is None:
                thread = OwnThread(self._run, name=self._name, restarts=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter exits, or there are too many
                    return False
                self._thread = thread
            return True

    def _run(self) -> None:
        self._target()
        if self._thread is threading.current_thread() and not self.is_stopped:
            self._thread = None  # paused too late: what comes next starts another

    def stop(self) -> None:
        """Have it end, and start it no more."""
        self.is_stopped = True
        self._wake()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for its end; False where it does not run, or is the caller."""
        thread = self._thread
        if thread is None or not thread.is_alive() or thread is threading.current_thread():
            return False
        thread.join(timeout_seconds)
        return True

    def pause_for_fork(self) -> Hook | None:
        """End it; what starts it again, None where there is none."""
        thread = self._thread
        if thread is None or self.is_stopped:
            return None
        self._is_pausing = True
        self._wake()
        has_ended = wait_until_gone(thread)
        self._is_pausing = False
        if has_ended:
            self._thread = None
        return self.start


def _pause() -> None:
    for thing in tuple(_pausing):
        resume = thing.pause_for_fork()
        if resume is not None:
            _resuming.append(resume)


def _resume() -> None:
    while _resuming:
        _resuming.pop()()


# --- forks ----------------------------------------------------------------------

FORK_ORDER: Final = (
    "threads",
    "telling",
    "metric reader",
    "child flush",
    "registry",
    "inside",
    "accounts",
    "observed processes",
    "supervisor",
    "sampler",
    "engine",
    "log records",
    "caches",
    "cache metrics",
    "host",
    "flusher",
    "writer",
    "sender",
)
"""The parts that have something to do at a fork, in the order in which they do it before
the fork and in the child; in the parent, where locks are released, in reverse."""


_hooks: dict[str, tuple[Hook | None, Hook | None, Hook | None]] = {}


def on_fork(
    part: str,
    *,
    before: Hook | None = None,
    in_parent: Hook | None = None,
    in_child: Hook | None = None,
) -> None:
    """Have *part*, one of `FORK_ORDER`, do this at every fork from now on."""
    if part not in FORK_ORDER:
        raise ValueError(f"unknown part {part!r}: add it to FORK_ORDER")
    _hooks[part] = (before, in_parent, in_child)


def _hooks_in_order() -> Iterator[tuple[Hook | None, Hook | None, Hook | None]]:
    return (_hooks[part] for part in FORK_ORDER if part in _hooks)


def _do(hook: Hook | None) -> None:
    """Call *hook*; one that fails must not keep the others from their turn."""
    if hook is None:
        return
    try:
        hook()
    except Exception:  # noqa: BLE001 - a hook of any part: any failure at all
        from otel_codomon._platform.logs import get_logger  # noqa: PLC0415 - slow, and rarely needed

        get_logger("otel_codomon").exception(
            "a fork hook failed; the observed program is not affected"
        )


def _before_fork() -> None:
    for before, _, _ in _hooks_in_order():
        _do(before)


def _after_fork_in_parent() -> None:
    for _, in_parent, _ in reversed(tuple(_hooks_in_order())):
        _do(in_parent)


def _after_fork_in_child() -> None:
    global _ending_lock  # noqa: PLW0603 - a thread of the parent's may have held it
    _ending_lock = threading.Lock()  # type: ignore[misc] # final but for this
    _living.clear()
    _ended_ns[0] = 0
    for _, _, in_child in _hooks_in_order():
        _do(in_child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )

if WARNS_OF_THREADS:
    on_fork("threads", before=_pause, in_parent=_resume, in_child=_resuming.clear)
