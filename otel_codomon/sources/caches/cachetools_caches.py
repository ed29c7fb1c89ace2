"""``cachetools``: caches, and what ``@cached`` and ``@cachedmethod`` return."""

from __future__ import annotations

from dataclasses import replace
from operator import methodcaller
from types import FunctionType
from typing import Any, Final, cast

from otel_codomon.sources.caches.adapter import CacheTraits, is_made_by
from otel_codomon.sources.caches.counting import capacity_in_entries, is_counted, read_counted
from otel_codomon.values.cache import CacheReading

# The classes, since cachetools 7, whose private counts `_peek` reads.
_COUNTING_CLASSES: Final = ("InfoMixin", "LockedInfoMixin", "ConditionInfoMixin")


class CachetoolsAdapter:
    """Caches of cachetools, and functions and methods cached in them.

    A cache itself counts nothing: entries and capacity are told, and the rest
    with `count_lookups`. A function cached with ``info=True`` tells hits and
    misses.

    ``cache_info()`` is not called: it takes the lock of the cache, and on a
    cache with a time to live it drops the entries that are too old, which no
    other thread may do to a cache that has no lock.
    """

    name = "cachetools"

    def recognises(self, cache: object, /) -> bool:
        """Whether *cache* is a cache of cachetools, or cached in one or in a mapping."""
        return is_made_by(cache, "cachetools", "Cache") or _is_cached(cache)

    def read(self, cache: object, /) -> CacheReading:
        """Read what is there, with no lock taken and nothing changed."""
        store = getattr(cache, "cache", None) if _is_cached(cache) else cache
        held = _read_store(store)
        if store is cache or not hasattr(cache, "cache_info"):
            return held
        return CacheReading(
            hits=_peek(cache, "hits"),
            misses=_peek(cache, "misses"),
            clears=0,
            entries=held.entries,
            capacity=held.capacity,
            unbounded=held.unbounded,
        )

    def traits(self, cache: object, /) -> CacheTraits:
        """In memory; a function's ``cache_clear`` can be watched."""
        if not _is_cached(cache):
            return _CACHE
        return _COUNTING_FUNCTION if hasattr(cache, "cache_info") else _FUNCTION


def _is_cached(cache: object) -> bool:
    """Whether *cache* is a function in front of one cache. Nothing else is asked for attributes."""
    return (
        (isinstance(cache, FunctionType) or is_made_by(cache, "cachetools"))
        and hasattr(cache, "cache_key")
        and hasattr(cache, "cache_lock")
        and not callable(getattr(cache, "cache", len))
    )


def _entries(cache: Any) -> Any:  # noqa: ANN401 - a function or a cache
    """The mapping itself: asking a timed cache for its length would change it."""
    store = cache.cache if _is_cached(cache) else cache
    return getattr(store, "_Cache__data", store)


def _read_store(store: Any) -> CacheReading:  # noqa: ANN401 - a cache, any mapping, or None
    if store is None:
        return CacheReading(entries=0)
    if is_counted(store):
        return read_counted(store)
    return CacheReading(
        entries=len(_entries(store)),
        capacity=capacity_in_entries(store),
        unbounded=not hasattr(store, "maxsize"),
    )


def _peek(cached: Any, count: str) -> int | None:  # noqa: ANN401 - what `cached` returned
    """Read the private *count*: an attribute since cachetools 7, a closure's variable before.

    Returns:
        The count; None where this version keeps it elsewhere.
    """
    own = vars(cached)
    for name in _COUNTING_CLASSES:
        if f"_{name}__{count}" in own:
            return cast("int", own[f"_{name}__{count}"])
    for function in (cached.cache_info, cached):
        variables = getattr(getattr(function, "__code__", None), "co_freevars", ())
        if count in variables:
            return cast("int", function.__closure__[variables.index(count)].cell_contents)
    return None


_CACHE: Final = CacheTraits(blocks=False, clear=methodcaller("clear"), entries=_entries)
_FUNCTION: Final = CacheTraits(blocks=False, clear=methodcaller("cache_clear"), entries=_entries)
_COUNTING_FUNCTION: Final = replace(_FUNCTION, resets="cache_clear")
