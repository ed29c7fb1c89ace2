"""What the journal cannot take is exported directly, as the stock pipeline would.

For a process that changed its user after `configure()`, a folder that others
own, a disk that is full or away. Nothing survives the process here, so an
execution waits for its export where the receiver answers. How long such waits
may take together is bounded, and a receiver that does not answer is not
waited for.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.threads_and_forks import OwnThread

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_MAX_QUEUED: Final = 2048
"""Items that wait in memory at most: the stock queue's size."""

_MAX_BATCH: Final = 512
"""Items of one request: the stock batch's size."""

_WAIT_SHARE: Final = 0.05
"""Of the time that passes callers wait for exports at most, once the first allowance is used."""


class WaitBudget:
    """How long callers may wait all together: an allowance, and a share of the time that passes.

    Args:
        allowance_seconds: The most that can be spent at once.
        clock: Monotonic, seconds.
    """

    def __init__(
        self, allowance_seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowance = self._left = allowance_seconds
        self._clock = clock
        self._at = clock()

    def left_seconds(self) -> float:
        """What may be spent now."""
        now = self._clock()
        self._left = min(self._allowance, self._left + (now - self._at) * _WAIT_SHARE)
        self._at = now
        return self._left

    def spend(self, seconds: float) -> None:
        """Take *seconds* out of it."""
        self._left = max(0.0, self._left - seconds)


class PlainExport(Generic[T]):
    """A queue in memory, and a thread that exports it; both begin with the first item.

    Args:
        make: Makes the stock exporter, once for each process.
        export: Exports a batch with it; whether the receiver took it.
        wait_seconds: How long callers may wait for exports, see `WaitBudget`.

    Attributes:
        lost: Items that no receiver took.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        export: Callable[[Any, list[T]], bool],
        *,
        wait_seconds: float = 0.0,
    ) -> None:
        self._make = make
        self._export = export
        self._wait_seconds = wait_seconds
        self._reset()

    def _reset(self) -> None:
        """Begin anew: the thread and the connection of a parent are not ours."""
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._queue: deque[T] = deque()
        self._added = self._done = self.lost = 0
        self._thread: threading.Thread | None = None
        self._exporter: Any = None
        self._is_answered = True
        self._budget = WaitBudget(self._wait_seconds)

    def add(self, item: T) -> None:
        """Export *item*, and wait for that where it is allowed."""
        if self._pid != os.getpid():
            self._reset()
        with self._changed:
            if len(self._queue) >= _MAX_QUEUED:
                self.lost += 1
                return
            self._queue.append(item)
            self._added += 1
            goal = self._added
            self._changed.notify_all()
        if self._start() and self._is_answered:
            begin = time.monotonic()
            self._wait(goal, self._budget.left_seconds())
            self._budget.spend(time.monotonic() - begin)

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all is exported; whether it is, and was taken."""
        if self._pid != os.getpid():
            self._reset()
        return self._wait(self._added, timeout_seconds) and not self.lost

    def _wait(self, goal: int, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._done >= goal, timeout=max(0.0, seconds))

    def _start(self) -> bool:
        """Have a thread that exports; whether there is one."""
        with self._changed:
            if self._thread is not None and self._thread.is_alive():
                return True
            if self._exporter is None:
                self._exporter = self._make()
            thread = OwnThread(self._run, name="codomon-export", restarts=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter exits, or there are too many threads
                return False
            self._thread = thread
            return True

    def _run(self) -> None:
        with suppress_instrumentation():
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._queue)
                    batch = [
                        self._queue.popleft() for _ in range(min(len(self._queue), _MAX_BATCH))
                    ]
                taken = self._send(batch)
                with self._changed:
                    self._is_answered = taken
                    self._done += len(batch)
                    self.lost += 0 if taken else len(batch)
                    self._changed.notify_all()

    @never_raises("direct export", default=False)
    def _send(self, batch: list[T]) -> bool:
        return self._export(self._exporter, batch)


def export_spans(exporter: Any, spans: list[Any]) -> bool:  # noqa: ANN401 - any span exporter
    """Export *spans*; whether the receiver took them."""
    return bool(exporter.export(spans).name == "SUCCESS")


def export_metrics(exporter: Any, collections: list[Any]) -> bool:  # noqa: ANN401 - any metric exporter
    """Export *collections*, one request each; whether the receiver took them all."""
    results = {exporter.export(one).name for one in collections}
    return results <= {"SUCCESS"}
