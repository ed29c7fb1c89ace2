"""Count the lookups of a mapping that counts nothing itself. Opt-in: it is on the cache's path."""

from __future__ import annotations

import copyreg
from typing import Any, Final, TypeVar

from otel_codomon.caches.adapters.adapter import CacheTraits
from otel_codomon.caches.counting_methods import (
    COUNTS,
    counting_class,
    counts_of,
    entries_of,
)
from otel_codomon.caches.lookup_counts import LookupCounts
from otel_codomon.caches.statistics import CacheReading
from otel_codomon.errors import InvalidArgumentError

C = TypeVar("C")

_EXACT: Final[frozenset[str]] = frozenset()


def count_lookups(cache: C) -> C:
    """Make a mapping count how its lookups end.

    A lookup is ``cache[key]``, ``key in cache``, and each ``get``, ``pop`` and
    ``setdefault``: a hit where the key is there, a miss where it is not. So
    ``if key in cache: use(cache[key])`` makes two lookups. What the cache looks
    up for itself, as when it evicts, is none. Evictions are counted
    where the type has a ``maxsize``, expirations where it has ``expire()``.

    Args:
        cache: A `cachetools` cache, a `dict`, or another mapping.

    Returns:
        The same object, whose class is now a subclass of what it was. A type
        that is built in does not allow that: then a new object of a subclass,
        with the same entries. Use what is returned, in any case.

    Raises:
        InvalidArgumentError: *cache* is no mapping, or has no ``__dict__``.

    >>> prices = count_lookups({"tea": 3})
    >>> prices["tea"], prices.get("coffee"), prices
    (3, None, {'tea': 3})
    >>> read_counted(prices).counts[:2]
    (1, 1)
    """
    base: type[Any] = type(cache)
    if is_counted(cache):
        return cache
    if not all(hasattr(base, name) for name in ("__getitem__", "get", "__len__")):
        raise InvalidArgumentError(
            "cache",
            f"cannot count the lookups of a {base.__module__}.{base.__qualname__}: it is not a "
            "mapping; observe it with an adapter of your own, as observe_cache(adapters=...)",
        )
    return _change_class(cache, base)


def _change_class(cache: C, base: type[Any]) -> C:
    counts = _new_counts(cache)
    if hasattr(cache, "__dict__"):
        cache.__dict__[COUNTS] = counts  # first: another thread may look a key up at once
        try:
            cache.__class__ = counting_class(base, slots=True)  # type: ignore[arg-type] # types have a hash
        except TypeError:  # a built-in type
            del cache.__dict__[COUNTS]
        else:
            return cache
    rebuilt: C = _rebuild(cache, base)
    rebuilt.__dict__[COUNTS] = counts
    return rebuilt


def _rebuild(cache: Any, base: type[Any]) -> Any:  # noqa: ANN401 - any mapping
    """Make the counting object that has what *cache* has, as unpickling would."""
    make, args, state, _, items = (*cache.__reduce_ex__(4), None, None, None)[:5]
    counting = counting_class(base, slots=False)  # type: ignore[arg-type] # as above
    if make is copyreg.__newobj__:  # type: ignore[attr-defined] # missing from its stub
        rebuilt = counting.__new__(counting, *args[1:])
    else:
        rebuilt = counting(*args)
    for key, value in items or ():
        base.__setitem__(rebuilt, key, value)
    if isinstance(state, dict):
        rebuilt.__dict__.update(state)
    return rebuilt


def is_counted(cache: object) -> bool:
    """Whether *cache* came out of `count_lookups`."""
    return COUNTS in type(cache).__dict__


def _new_counts(cache: object) -> LookupCounts:
    has_limit = hasattr(type(cache), "maxsize")
    untold = set() if has_limit else {"evictions", "returning"}
    if not (has_limit and hasattr(type(cache), "expire")):
        untold.add("expirations")
    limits_entries = has_limit and capacity_in_entries(cache) is not None
    return LookupCounts(untold=untold, has_limit=has_limit, limits_entries=limits_entries)


def read_counted(cache: Any) -> CacheReading:  # noqa: ANN401 - any mapping
    """Read what was counted for *cache*, one that is counted.

    Fields by place, not by name: that takes half as long, and every cache is
    read at every collection.
    """
    counts = counts_of(cache)
    hits, misses, evictions, expirations, clears, returning = counts.read()
    return CacheReading(
        hits,
        misses,
        evictions,
        expirations,
        clears,
        len(entries_of(cache)),
        cache.maxsize if counts.limits_entries else None,
        None,  # size
        _EXACT,
        None,  # epoch
        not counts.has_limit,
        returning,
    )


def capacity_in_entries(cache: object) -> int | None:
    """Its ``maxsize``, where that is a number of entries; None where entries have sizes."""
    capacity = getattr(cache, "maxsize", None)
    has_sizes = "_Cache__size" in getattr(cache, "__dict__", {})
    return capacity if isinstance(capacity, int) and not has_sizes else None


class CountedAdapter:
    """What `count_lookups` returned."""

    name = "counted"

    def recognises(self, cache: object, /) -> bool:
        """Whether *cache* came out of `count_lookups`."""
        return is_counted(cache)

    read = staticmethod(read_counted)  # no method around it: a look would pass through both

    def traits(self, cache: object, /) -> CacheTraits:
        """In memory; its counts outlive a clear."""
        del cache
        return _TRAITS


def _clear_cache(cache: Any) -> None:  # noqa: ANN401 - any mapping
    cache.clear()


_TRAITS: Final = CacheTraits(blocks=False, clear=_clear_cache, entries=entries_of)
