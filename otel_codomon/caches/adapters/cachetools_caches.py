"""``cachetools``: caches, and what ``@cached`` and ``@cachedmethod`` return."""

from __future__ import annotations

from dataclasses import replace
from operator import methodcaller
from types import FunctionType
from typing import Any, Final, cast

from otel_codomon.caches.adapters.adapter import CacheTraits, is_made_by
from otel_codomon.caches.counting import capacity_in_entries, is_counted, read_counted
from otel_codomon.caches.statistics import CacheReading

# Since cachetools 7: the private counts of the classes that count.
_COUNTS: Final = tuple(
    (f"_{name}__hits", f"_{name}__misses")
    for name in ("InfoMixin", "LockedInfoMixin", "ConditionInfoMixin", "Wrapper")
)


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
        own: dict[str, Any] = cache.__dict__
        if "_Cache__data" in own:
            return _read_store(cache)
        held = _read_store(cast("Any", cache).cache)
        if getattr(cache, "cache_info", None) is None:
            return held
        hits, misses = _peek(cache, own)
        return CacheReading(
            hits, misses, None, None, 0, held.entries, held.capacity, unbounded=held.unbounded
        )

    def traits(self, cache: object, /) -> CacheTraits:
        """In memory; a function's ``cache_clear`` can be watched."""
        if not _is_cached(cache):
            return _CACHE
        counts = getattr(cache, "cache_info", None) is not None
        return _COUNTING_FUNCTION if counts else _FUNCTION


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
    own: dict[str, Any] = getattr(store, "__dict__", {})
    held = own.get("_Cache__data")
    if held is None:
        return CacheReading(entries=len(store), unbounded=not hasattr(store, "maxsize"))
    return CacheReading(entries=len(held), capacity=capacity_in_entries(store))


def _peek(cached: Any, own: dict[str, Any]) -> tuple[int | None, int | None]:  # noqa: ANN401 - what `cached` returned
    """Read private counts: attributes since cachetools 7, variables of closures before.

    Returns:
        Hits and misses; None where this version keeps them elsewhere.
    """
    for hits, misses in _COUNTS:
        if hits in own:
            return own[hits], own[misses]
    return _peek_variable(cached, "hits"), _peek_variable(cached, "misses")


def _peek_variable(cached: Any, name: str) -> int | None:  # noqa: ANN401 - a function
    for function in (cached.cache_info, cached):
        variables = getattr(getattr(function, "__code__", None), "co_freevars", ())
        if name in variables:
            return cast("int", function.__closure__[variables.index(name)].cell_contents)
    return None


_CACHE: Final = CacheTraits(blocks=False, clear=methodcaller("clear"), entries=_entries)
_FUNCTION: Final = CacheTraits(blocks=False, clear=methodcaller("cache_clear"), entries=_entries)
_COUNTING_FUNCTION: Final = replace(_FUNCTION, resets="cache_clear")
