"""What one running execution uses."""

from __future__ import annotations

import time
from threading import get_ident
from typing import TYPE_CHECKING, Final

from otel_codomon.values.usage import NOTHING_KNOWN, Usage

if TYPE_CHECKING:
    from otel_codomon.values.execution import Labels
    from otel_codomon.values.limits import Limits

THREAD_FLOOR_NS: Final = 100_000
"""CPU time of a thread that can be told, nanoseconds.

The clock runs for about 5 µs of our own between start and end. Below twenty
times that the number would be more than 5 % ours, so it is absent.
"""


class Watch:
    """Looks at one execution from its start to its end."""

    __slots__ = ("_steps_cpu_ns", "_thread_id", "_thread_started_ns")

    def __init__(self, thread_started_ns: int | None) -> None:
        self._thread_started_ns = thread_started_ns
        self._thread_id = get_ident()
        self._steps_cpu_ns: int | None = None

    @classmethod
    def start(
        cls, *, labels: Labels, started_ns: int, limits: Limits | None = None, thread: bool = True
    ) -> Watch:
        """Begin to watch.

        Args:
            labels: What the metrics of the execution are summed by.
            started_ns: Its start, monotonic clock, nanoseconds.
            limits: What it may use.
            thread: Whether it runs in the calling thread, without a pause, until
                it ends there. Else its steps are told by `stepped`.
        """
        del labels, started_ns, limits
        return cls(time.thread_time_ns() if thread else None)

    def attach(self, target: object) -> None:
        """Watch *target* too: a pid, a Popen, a psutil.Process or a cgroup path."""
        del target

    def reaped(self, rusage: object) -> None:
        """Take the exact totals of a child that somebody waited for."""
        del rusage

    def stepped(self, cpu_ns: int) -> None:
        """Add the CPU time of one step of a coroutine or generator, nanoseconds.

        Between its steps the thread works for others: from start to end its
        clock would tell their time too.
        """
        self._steps_cpu_ns = (self._steps_cpu_ns or 0) + max(0, cpu_ns)

    def finish(self) -> Usage:
        """Stop watching and return the totals."""
        cpu_ns = self._steps_cpu_ns
        if self._thread_started_ns is not None and self._thread_id == get_ident():
            cpu_ns = time.thread_time_ns() - self._thread_started_ns
        if cpu_ns is None or cpu_ns < THREAD_FLOOR_NS:
            return NOTHING_KNOWN
        return Usage(source="thread", cpu_seconds=cpu_ns / 1e9)
