"""Call what may never return, without waiting for it for ever."""

from __future__ import annotations

import contextvars
import threading
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from otel_codomon._platform.logs import get_logger
from otel_codomon._platform.threads_and_forks import OwnThread

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_log = get_logger(__name__)


class Call(Generic[T]):
    """One call that was handed over.

    Attributes:
        done: Set when it has returned or raised.
        result: What it returned; None while it runs and when it raised.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._context = contextvars.copy_context()
        self.done = threading.Event()
        self.result: T | None = None

    def run(self) -> None:
        """Call, in the context of whoever handed the call over."""
        try:
            self.result = self._context.run(self._function)
        except BaseException:  # noqa: BLE001 - a thread that ended would never be waited for
            _log.exception("reading a cache in a thread failed; the cache is not affected")
        finally:
            self.done.set()


class TimeoutWorker:
    """A thread that makes calls one after another, and is left behind by one that hangs.

    A thread cannot be stopped from outside. One that does not come back in
    time is told to end when it does, and the next call gets a new thread.
    Whoever uses this must not repeat a call that has not returned: then there
    is one thread for each that hangs, and never more.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[Call[object] | None] | None = None
        self._thread: threading.Thread | None = None

    def call(self, function: Callable[[], T], *, timeout_seconds: float) -> Call[T]:
        """Call *function* aside and wait for it, at most *timeout_seconds*."""
        call = Call(function)
        calls = self._calls or self._start()
        if calls is None:
            call.done.set()
            return call
        calls.put(call)  # type: ignore[arg-type] # what it returns is not looked at there
        if not call.done.wait(timeout_seconds):
            self._leave()
        return call

    def stop(self) -> None:
        """End the thread. It has nothing to do, so this takes no time."""
        thread = self._thread
        self._leave()
        if thread is not None and thread is not threading.current_thread():
            thread.join(1.0)

    def _start(self) -> SimpleQueue[Call[object] | None] | None:
        calls: SimpleQueue[Call[object] | None] = SimpleQueue()
        thread = OwnThread(partial(_serve, calls), name=self._name, restarts=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending, or there are too many threads
            return None
        self._calls, self._thread = calls, thread
        return calls

    def _leave(self) -> None:
        if self._calls is not None:
            self._calls.put(None)
        self._calls = self._thread = None


def _serve(calls: SimpleQueue[Call[object] | None]) -> None:
    while (call := calls.get()) is not None:
        call.run()
