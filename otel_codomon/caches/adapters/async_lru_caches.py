"""``async_lru.alru_cache``."""

from __future__ import annotations

from operator import methodcaller
from typing import TYPE_CHECKING, Final

from otel_codomon.caches.adapters.adapter import CacheTraits, is_made_by
from otel_codomon.caches.adapters.info_caches import read_cache_info

if TYPE_CHECKING:
    from otel_codomon.caches.statistics import CacheReading


class AsyncLruAdapter:
    """Coroutine functions decorated with ``alru_cache``.

    Evictions are not told apart from entries that expired, failed or were
    invalidated, so there are none.
    """

    name = "async_lru"

    def recognises(self, cache: object, /) -> bool:
        """Whether *cache* is what ``alru_cache`` returned."""
        return is_made_by(cache, "async_lru") and hasattr(cache, "cache_info")

    def read(self, cache: object, /) -> CacheReading:
        """Read ``cache_info()``, which looks at four attributes."""
        return read_cache_info(cache)

    def traits(self, cache: object, /) -> CacheTraits:
        """In memory, with a ``cache_clear`` that can be watched."""
        del cache
        return _TRAITS


_TRAITS: Final = CacheTraits(blocks=False, resets="cache_clear", clear=methodcaller("cache_clear"))
