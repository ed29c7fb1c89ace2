"""What is counted of the lookups of one mapping, by any number of threads with no lock."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import count, repeat
from operator import sub
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container

_COUNTED: Final = ("hits", "misses", "evictions", "expirations", "clears", "returning")


class Now(threading.local):
    """What this thread is doing inside the cache at the moment.

    Attributes:
        quiet: The cache looks a key up for itself: that is no lookup.
        storing: The cache stores an entry: one that it drops now is evicted.
        missed: The key that is being looked up was not there.
    """

    quiet = False
    storing = False
    missed = False


class LookupCounts:
    """What is counted of the lookups of one cache: exactly, whatever threads do.

    ``self.n += 1`` is a read and a write, and another thread may come between.
    The step of `itertools.count` is one call into C. So is the read: it takes a
    step too, and subtracts the steps that reads have taken, in one ``__next__``
    that nobody comes between. The text of a `count` would tell its value with no
    step, but takes five times as long.

    Args:
        untold: Those of `_COUNTED` that nobody can count for this cache.
        has_limit: Whether it drops entries to make room.
        limits_entries: Whether its limit is a number of entries.

    Attributes:
        now: What the calling thread is doing inside the cache.
        found: Called for a lookup that has found its key.
        expired: Called for an entry that was dropped for its age.
        read: Returns the counts in the order of `_COUNTED`, all of one
            instant; None for those that are untold.
    """

    def __init__(self, *, untold: Container[str], has_limit: bool, limits_entries: bool) -> None:
        self.has_limit = has_limit
        self.limits_entries = limits_entries
        self.now = Now()
        counters = [count() for _ in _COUNTED]
        steps = [counter.__next__ for counter in counters]
        self.found, self._miss, self._evict, self.expired, self._clear, self._return = steps
        columns = (
            repeat(None) if name in untold else map(sub, counter, count())
            for name, counter in zip(_COUNTED, counters, strict=True)
        )
        self.read = zip(*columns, strict=True).__next__
        self._evicted: OrderedDict[int, None] = OrderedDict()

    def missed(self, key: object) -> None:
        """A lookup has not found its key."""
        self._miss()
        if self._evicted and self._evicted.pop(hash(key), self) is None:
            self._return()

    def evicted(self, key: object, capacity: int) -> None:
        """An entry was dropped to make room; remember the last *capacity* of them by hash."""
        self._evict()
        self._evicted[hash(key)] = None
        while len(self._evicted) > capacity:
            self._evicted.popitem(last=False)

    def cleared(self) -> None:
        """The cache was emptied."""
        self._clear()
        self._evicted.clear()
