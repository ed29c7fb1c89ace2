"""Objects that speak a protocol: ``cache_reading()``, or ``cache_info()`` as functools has it."""

from __future__ import annotations

from operator import methodcaller
from typing import Final, Protocol, cast, runtime_checkable

from otel_codomon.caches.adapters.adapter import CacheTraits
from otel_codomon.caches.statistics import CacheReading
from otel_codomon.errors import InvalidArgumentError


@runtime_checkable
class HasReading(Protocol):
    """A cache that knows this package: it tells a `CacheReading` itself."""

    def cache_reading(self) -> CacheReading:
        """The totals of this cache. May be called from another thread."""
        ...


@runtime_checkable
class HasCacheInfo(Protocol):
    """A cache that tells what functools tells: hits, misses, capacity, entries."""

    def cache_info(self) -> tuple[int, int, int | None, int]:
        """The totals of this cache. May be called from another thread."""
        ...


class ReadingAdapter:
    """Objects with ``cache_reading()``, and ``cache_clear()`` if they may be cleared."""

    name = "cache_reading"

    def recognises(self, cache: object, /) -> bool:
        """Whether *cache* has a ``cache_reading`` method, and is no class that defines one."""
        return isinstance(cache, HasReading) and not isinstance(cache, type)

    def read(self, cache: object, /) -> CacheReading:
        """Ask it."""
        reading = cast("HasReading", cache).cache_reading()
        if isinstance(reading, CacheReading):
            return reading
        raise InvalidArgumentError(
            "cache_reading",
            f"cannot use the {type(reading).__name__} that {type(cache).__qualname__}."
            "cache_reading() returned: it is not a CacheReading; return one",
        )

    def traits(self, cache: object, /) -> CacheTraits:
        """May block: it is anybody's code."""
        return _CLEARED if hasattr(cache, "cache_clear") else CacheTraits()


class CacheInfoAdapter:
    """Objects with ``cache_info()``: what many libraries took over from functools."""

    name = "cache_info"

    def recognises(self, cache: object, /) -> bool:
        """Whether *cache* has a ``cache_info`` method, and is no class that defines one."""
        return isinstance(cache, HasCacheInfo) and not isinstance(cache, type)

    def read(self, cache: object, /) -> CacheReading:
        """Read hits, misses, capacity and entries, in the order functools set.

        That it was emptied shows only when hits or misses have fallen.
        """
        return read_cache_info(cache)._replace(estimated=_CLEARS_ARE_ESTIMATED)

    def traits(self, cache: object, /) -> CacheTraits:
        """May block: it is anybody's code."""
        return _CLEARED if hasattr(cache, "cache_clear") else CacheTraits()


def read_cache_info(cache: object) -> CacheReading:
    """Read ``cache_info()``, where None as capacity is the way to say that there is no limit."""
    hits, misses, capacity, entries = cast("HasCacheInfo", cache).cache_info()
    return CacheReading(hits, misses, None, None, 0, entries, capacity, unbounded=capacity is None)


_CLEARED: Final = CacheTraits(clear=methodcaller("cache_clear"))
_CLEARS_ARE_ESTIMATED: Final = frozenset({"clears"})
