"""``aiocache``: caches, and functions decorated with ``cached``."""

from __future__ import annotations

from types import FunctionType
from typing import Any, Final

from otel_codomon.caches.adapters.adapter import CacheTraits, is_made_by
from otel_codomon.caches.statistics import CacheReading


class AiocacheAdapter:
    """Caches of aiocache.

    Hits and misses are counted by its own ``HitMissRatioPlugin``, where the
    cache has it. Entries are known of the cache in memory.
    """

    name = "aiocache"

    def recognises(self, cache: object, /) -> bool:
        """Whether *cache* is a cache of aiocache, or a function that one was put in front of."""
        return is_made_by(_store(cache), "aiocache", "BaseCache")

    def read(self, cache: object, /) -> CacheReading:
        """Read two attributes that are plain dicts."""
        store = _store(cache)
        counts_lookups = any(is_made_by(p, "aiocache", "HitMissRatioPlugin") for p in store.plugins)
        # The plugin makes its dict at the first lookup.
        seen = getattr(store, "hit_miss_ratio", {"hits": 0, "total": 0})
        held = getattr(store, "_cache", None)
        return CacheReading(
            hits=seen["hits"] if counts_lookups else None,
            misses=seen["total"] - seen["hits"] if counts_lookups else None,
            entries=len(held) if isinstance(held, dict) else None,
            unbounded=isinstance(held, dict),
        )

    def traits(self, cache: object, /) -> CacheTraits:
        """Attributes in memory. To clear one would need its event loop: not ours to do."""
        del cache
        return _TRAITS


def _store(cache: object) -> Any:  # noqa: ANN401 - a cache of aiocache, or anything
    return getattr(cache, "cache", None) if isinstance(cache, FunctionType) else cache


_TRAITS: Final = CacheTraits(blocks=False)
