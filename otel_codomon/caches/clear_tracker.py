"""See a cache being emptied, so that what it had counted is not forgotten with it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from otel_codomon._platform.logs import get_logger
from otel_codomon.caches.method_hook import hook_method
from otel_codomon.caches.statistics import NO_COUNTS, Counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.caches.statistics import CacheReading

_log = get_logger(__name__)
_ONE_CLEAR = Counts(clears=1)


class ClearTracker:
    """Stands in front of the method that empties a cache, and keeps its counts.

    Lookups do not pass through it. Whoever took hold of the method before
    empties the cache unseen; then only counts that have fallen tell.

    Attributes:
        state: What had been counted before the last time it was emptied, and
            whether it is being emptied now. One tuple, replaced whole: who
            reads the cache compares it before and after, and takes no lock.
    """

    def __init__(self, read: Callable[[object], CacheReading]) -> None:
        self._read = read
        self.forget()

    def forget(self) -> None:
        """Begin at nothing; in a child process no thread is in the method."""
        self._now = threading.Lock()
        self.state: tuple[Counts, bool] = (NO_COUNTS, False)

    def watch(self, cache: object, method: str) -> Callable[[], None] | None:
        """Put this in front of *method* of *cache*.

        Returns:
            What puts everything back as it was; None where that cannot be done.
        """
        return hook_method(cache, method, self._count)

    def _count(self, cache: object, empty: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the method
        """Empty *cache*, having noted what it had counted.

        Never waits: when another thread is emptying the cache at this moment,
        its note holds for both.
        """
        if not self._now.acquire(blocking=False):
            return empty()
        closed = counted = self.state[0]
        try:
            self.state = (closed, True)
            counts = self._read_counts(cache)
            result = empty()
            counted = closed.plus(counts).plus(_ONE_CLEAR)
        finally:
            self.state = (counted, False)
            self._now.release()
        return result

    def _read_counts(self, cache: object) -> Counts:
        try:
            return self._read(cache).counts
        except Exception:  # noqa: BLE001 - the program only wants its cache empty
            _log.debug(
                "cannot record what a cache had counted before it was emptied", exc_info=True
            )
            return NO_COUNTS
