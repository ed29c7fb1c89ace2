"""``functools.lru_cache`` and ``functools.cache``."""

from __future__ import annotations

from functools import lru_cache
from operator import methodcaller
from typing import Final, Protocol, cast

from otel_codomon.caches.adapters.adapter import CacheTraits
from otel_codomon.caches.statistics import CacheReading

# The class of what lru_cache returns. Private by name only in its module, and
# a plain function where the interpreter has no C version of it.
_LRU_CACHE: Final = type(lru_cache(maxsize=1)(repr))
_EVICTIONS_ARE_ESTIMATED: Final = frozenset({"evictions"})
_NOTHING_IS_ESTIMATED: Final[frozenset[str]] = frozenset()

_TRAITS: Final = CacheTraits(blocks=False, resets="cache_clear", clear=methodcaller("cache_clear"))


class _LruCache(Protocol):
    def cache_info(self) -> tuple[int, int, int | None, int]: ...


class LruCacheAdapter:
    """Functions decorated with ``lru_cache`` or ``cache``.

    Evictions are not counted by functools. A full cache has dropped one entry
    for each miss that it has no entry of; a call that raised, or that still
    runs, is among them, so the number is marked as an estimate.
    """

    name = "lru_cache"

    def recognises(self, cache: object, /) -> bool:
        """Whether *cache* is what ``lru_cache`` returned."""
        return type(cache) is _LRU_CACHE and hasattr(cache, "cache_info")

    def read(self, cache: object, /) -> CacheReading:
        """Read ``cache_info()``."""
        hits, misses, capacity, entries = cast("_LruCache", cache).cache_info()
        if capacity is None:
            return CacheReading(hits, misses, 0, None, 0, entries, unbounded=True)
        evictions = max(0, misses - entries) if entries >= capacity > 0 else 0
        estimated = _EVICTIONS_ARE_ESTIMATED if capacity else _NOTHING_IS_ESTIMATED
        # By place: names cost half a microsecond.
        return CacheReading(hits, misses, evictions, None, 0, entries, capacity, None, estimated)

    def traits(self, cache: object, /) -> CacheTraits:
        """In memory, with a ``cache_clear`` that can be watched."""
        del cache
        return _TRAITS
