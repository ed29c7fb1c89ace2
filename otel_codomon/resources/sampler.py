"""One thread a process that looks at all running executions.

It starts with the first execution, and ends a little after the last: an
execution that takes microseconds must not pay for a thread.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.never_raises import before_forks, log_once
from otel_codomon._platform.procfs import OpenFiles
from otel_codomon._platform.threads_and_forks import (
    OwnThread,
    Wake,
    on_fork,
    pause_at_forks,
    wait_until_gone,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Sampled(Protocol):
        """What is sampled: the tracker of one execution.

        Attributes:
            started: When the execution started, monotonic clock, seconds.
            due: When the next sample is due, on that clock.
        """

        started: float
        due: float

        def sample(self) -> None:
            """Take a sample."""

        def abandon(self) -> None:
            """Forget everything: the execution goes on in the parent of this process."""


DEFAULT_INTERVAL_SECONDS: Final = 0.25
_FIRST_SECOND_INTERVAL: Final = 0.05  # most executions are over within the first second
_TOGETHER_SECONDS: Final = 0.01  # looks that are due so soon after each other are one
_IDLE_SECONDS: Final = 0.1  # between two looks whether something has begun
_LINGER_SECONDS: Final = 2.0  # how long it stays after the last execution


class Sampler:
    """The thread, and the watches it looks at.

    Attributes:
        interval_seconds: Time between two looks at an execution that has run
            for more than a second; in its first second they are more frequent.
        told: Called with the duration of each look, in seconds.
        files: What the sources of all watches keep open.
    """

    def __init__(self, interval_seconds: float = DEFAULT_INTERVAL_SECONDS) -> None:
        self.interval_seconds = interval_seconds
        self.on_sample: Callable[[float], None] | None = None
        self._begin()

    def _begin(self) -> None:
        """The state of a process that watches nothing: at the start and after a fork."""
        self.files = OpenFiles()
        self._trackers: dict[int, Sampled] = {}
        self._thread: threading.Thread | None = None
        # Its holder may take it again: while a thread starts the handler of a
        # signal may begin an execution.
        self._lock = threading.RLock()
        self._wake = Wake()

    # --- called by executions; microseconds matter ----------------------------

    def add(self, tracker: Sampled) -> None:
        """Sample *tracker* from now on."""
        self._trackers[id(tracker)] = tracker
        if self._thread is None:
            self._start()

    def remove(self, tracker: Sampled) -> None:
        """Sample *tracker* no more."""
        self._trackers.pop(id(tracker), None)

    def hurry(self) -> None:
        """Think again about when the next look is due: something was attached."""
        self._wake.set()

    # --- the thread -----------------------------------------------------------

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            thread = OwnThread(self._run, name="otel_codomon sampler", restarts=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the interpreter is on its way out
                self._thread = None

    def _run(self) -> None:
        idle_since = time.monotonic()
        while self._thread is threading.current_thread():
            now = time.monotonic()
            if self._trackers:
                idle_since = now
            elif now - idle_since > _LINGER_SECONDS and self._may_end():
                return
            self._wake.wait(self._pause(now))
            self._wake.clear()
            if self._thread is threading.current_thread():
                self.sample()

    def _may_end(self) -> bool:
        """End, unless an execution has begun at the last moment."""
        with self._lock:
            if self._trackers:
                return False
            self._thread = None
            return True

    def _pause(self, now: float) -> float:
        """Seconds until the next look is due."""
        due = min((tracker.due for tracker in tuple(self._trackers.values())), default=now + 1)
        return min(max(due - now, 0.001), _IDLE_SECONDS)

    def sample(self, *, at_all: bool = False) -> None:
        """Look at every execution whose look is due.

        Args:
            at_all: Look at all of them, due or not.
        """
        begin = time.monotonic()
        latest = begin + _TOGETHER_SECONDS
        trackers = [w for w in tuple(self._trackers.values()) if at_all or w.due <= latest]
        for tracker in trackers:
            try:
                tracker.sample()
            except Exception:  # noqa: BLE001 - any failure of ours; the next may do better
                log_once("sampling an execution")
            tracker.due = begin + self._step(begin - tracker.started)
        if trackers and self.on_sample is not None:
            with before_forks():
                self.on_sample(time.monotonic() - begin)

    def _step(self, age_seconds: float) -> float:
        if age_seconds < 1:
            return min(self.interval_seconds, _FIRST_SECOND_INTERVAL)
        return self.interval_seconds

    def stop(self) -> None:
        """End the thread now; the next execution starts another."""
        with self._lock:
            self._trackers.clear()
            thread, self._thread = self._thread, None
        if thread is not None:
            self._wake.set()

    def pause_for_fork(self) -> Callable[[], None] | None:
        """End the thread, but not what it watches; what starts it again."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None:
            return None
        self._wake.set()
        wait_until_gone(thread)
        return self._resume

    def _resume(self) -> None:
        if self._trackers and self._thread is None:
            self._start()

    def after_fork(self) -> None:
        """In a forked child: the thread is the parent's, and so is what it watched."""
        trackers = tuple(self._trackers.values())
        self._begin()
        for tracker in trackers:
            tracker.abandon()


sampler: Final = Sampler()
"""The one of this process."""

pause_at_forks(sampler)
on_fork("sampler", in_child=sampler.after_fork)
