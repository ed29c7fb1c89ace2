"""Count the lookups of a mapping that counts nothing itself. Opt-in: it is on the cache's path."""

from __future__ import annotations

import copyreg
import threading
from collections import OrderedDict
from functools import lru_cache, wraps
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

from otel_codomon.errors import InvalidArgumentError
from otel_codomon.sources.caches.adapter import CacheTraits
from otel_codomon.values.cache import CacheReading

if TYPE_CHECKING:
    from collections.abc import Callable

C = TypeVar("C")

_TALLY: Final = "_codomon_tally"
_ABSENT: Final = object()


class _Ticker:
    """A count that threads may raise at one time with no lock, and none is lost.

    ``self.n += 1`` is a read and a write, and another thread may come between.
    The step of `itertools.count` is one call into C, and its value can be read
    off its text without taking a step.
    """

    __slots__ = ("_counter", "tick")

    def __init__(self) -> None:
        self._counter = count()
        self.tick = self._counter.__next__

    def read(self) -> int:
        """How many ticks there were."""
        return int(repr(self._counter)[len("count(") : -1])


class _Now(threading.local):
    """What this thread is doing inside the cache at the moment.

    Attributes:
        quiet: The cache looks a key up for itself: that is no lookup.
        storing: The cache stores an entry: one that it drops now is evicted.
        missed: The key that is being looked up was not there.
    """

    quiet = False
    storing = False
    missed = False


class _Tally:
    """What is counted for one cache.

    Args:
        base: Its type, which tells what can be counted.
    """

    def __init__(self, base: type[Any]) -> None:
        self.tells_evictions = hasattr(base, "maxsize")
        self.tells_expirations = hasattr(base, "expire")
        self.hits = _Ticker()
        self.misses = _Ticker()
        self.evictions = _Ticker()
        self.expirations = _Ticker()
        self.clears = _Ticker()
        self.returning = _Ticker()
        self.now = _Now()
        self._evicted: OrderedDict[int, None] = OrderedDict()

    def found(self) -> None:
        """A lookup has found its key."""
        self.hits.tick()

    def missed(self, key: object) -> None:
        """A lookup has not found its key."""
        self.misses.tick()
        if self._evicted and self._evicted.pop(hash(key), self) is None:
            self.returning.tick()

    def evicted(self, key: object, capacity: int) -> None:
        """An entry was dropped to make room; remember the last *capacity* of them by hash."""
        self.evictions.tick()
        self._evicted[hash(key)] = None
        while len(self._evicted) > capacity:
            self._evicted.popitem(last=False)

    def cleared(self) -> None:
        """The cache was emptied."""
        self.clears.tick()
        self._evicted.clear()


def _tally(cache: object) -> _Tally:
    tally: _Tally = cache.__dict__[_TALLY]
    return tally


# Each of these makes one method of the counting class, in front of that of its base.


def _getitem(base: type[Any]) -> Callable[..., Any]:
    tells_misses = hasattr(base, "__missing__")

    def __getitem__(self: Any, key: Any) -> Any:  # noqa: ANN401, N807 - any mapping's
        tally = _tally(self)
        now = tally.now
        if now.quiet:
            return base.__getitem__(self, key)
        now.missed = False
        try:
            value = base.__getitem__(self, key)
        except KeyError:
            if not tells_misses:
                tally.missed(key)
            raise
        if not now.missed:
            tally.found()
        return value

    return __getitem__


def _missing(base: type[Any]) -> Callable[..., Any]:
    def __missing__(self: Any, key: Any) -> Any:  # noqa: ANN401, N807 - any mapping's
        tally = _tally(self)
        if not tally.now.quiet:
            tally.missed(key)
        value = base.__missing__(self, key)
        tally.now.missed = True  # last: making the value may have looked other keys up
        return value

    return __missing__


def _get(base: type[Any]) -> Callable[..., Any]:
    def get(self: Any, key: Any, default: Any = None) -> Any:  # noqa: ANN401 - any mapping's
        tally = _tally(self)
        if tally.now.quiet:
            return base.get(self, key, default)
        value = _quietly(tally, lambda: base.get(self, key, _ABSENT))
        if value is _ABSENT:
            tally.missed(key)
            return default
        tally.found()
        return value

    return get


def _quiet(name: str) -> Callable[[type[Any]], Callable[..., Any]]:
    """Make a method that looks keys up for itself, if at all."""

    def make(base: type[Any]) -> Callable[..., Any]:
        original = getattr(base, name)

        @wraps(original)
        def quiet(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any mapping's
            return _quietly(_tally(self), lambda: original(self, *args, **kwargs))

        return quiet

    return make


def _setitem(base: type[Any]) -> Callable[..., Any]:
    def __setitem__(self: Any, key: Any, value: Any) -> None:  # noqa: ANN401, N807 - any mapping's
        now = _tally(self).now
        before, now.storing = now.storing, True
        try:
            base.__setitem__(self, key, value)
        finally:
            now.storing = before

    return __setitem__


def _popitem(base: type[Any]) -> Callable[..., Any]:
    def popitem(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any mapping's
        item = base.popitem(self, *args, **kwargs)
        tally = _tally(self)
        if tally.now.storing:
            tally.evicted(item[0], int(self.maxsize))
        return item

    return popitem


def _expire(base: type[Any]) -> Callable[..., Any]:
    def expire(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any mapping's
        before = len(_entries(self))
        expired = base.expire(self, *args, **kwargs)
        tick = _tally(self).expirations.tick
        for _ in range(before - len(_entries(self))):
            tick()
        return expired

    return expire


def _clear(base: type[Any]) -> Callable[..., Any]:
    def clear(self: Any) -> None:  # noqa: ANN401 - any mapping's
        _tally(self).cleared()
        base.clear(self)

    return clear


def _reduce_ex(base: type[Any]) -> Callable[..., Any]:
    def __reduce_ex__(self: Any, _protocol: Any) -> Any:  # noqa: ANN401, N807 - any object's
        """Copy and pickle as what it was before it was counted.

        By protocol 0, the one whose form lets another class be named.
        """
        reduced: Any = base.__reduce_ex__(self, 0)  # type: ignore[call-arg] # looked up on a class
        if isinstance(reduced, str):
            return reduced
        make, args, *rest = reduced
        if rest and isinstance(rest[0], dict):
            rest[0] = {key: value for key, value in rest[0].items() if key != _TALLY} or None
        make, *args = (base if value is type(self) else value for value in (make, *args))
        return (make, tuple(args), *rest)

    return __reduce_ex__


def _quietly(tally: _Tally, method: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the method
    now = tally.now
    before, now.quiet = now.quiet, True
    try:
        return method()
    finally:
        now.quiet = before


_METHODS: Final[tuple[tuple[str, Callable[[type[Any]], Callable[..., Any]]], ...]] = (
    ("__getitem__", _getitem),
    ("__missing__", _missing),
    ("get", _get),
    ("pop", _quiet("pop")),
    ("setdefault", _quiet("setdefault")),
    ("update", _quiet("update")),
    ("expire", _expire),
    ("clear", _clear),
    ("__reduce_ex__", _reduce_ex),
)
_EVICTING_METHODS: Final = (("__setitem__", _setitem), ("popitem", _popitem))


@lru_cache(maxsize=128)
def _counting_class(base: type[Any], *, slots: bool) -> type[Any]:
    """The class that counts for *base*: it goes by its name and does what it does."""
    rows = _METHODS + (_EVICTING_METHODS if hasattr(base, "maxsize") else ())
    namespace: dict[str, Any] = {name: make(base) for name, make in rows if hasattr(base, name)} | {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
    }
    namespace[_TALLY] = None  # each object has its own; this one is how the class is known
    if slots:
        namespace["__slots__"] = ()  # the same layout, so that an object can change its class
    return type(base.__name__, (base,), namespace)


def count_lookups(cache: C) -> C:
    """Make a mapping count how its lookups end.

    A lookup is ``cache[key]`` or ``cache.get(key)``. What the cache looks up
    for itself, as in ``pop`` and ``setdefault``, is none. Evictions are counted
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
    counted = _change_class(cache, base)
    counted.__dict__[_TALLY] = _Tally(base)
    return counted


def _change_class(cache: C, base: type[Any]) -> C:
    if hasattr(cache, "__dict__"):
        try:
            cache.__class__ = _counting_class(base, slots=True)  # type: ignore[arg-type] # types have a hash
        except TypeError:  # a built-in type
            pass
        else:
            return cache
    rebuilt: C = _rebuild(cache, base)
    return rebuilt


def _rebuild(cache: Any, base: type[Any]) -> Any:  # noqa: ANN401 - any mapping
    """Make the counting object that has what *cache* has, as unpickling would."""
    make, args, state, _, items = (*cache.__reduce_ex__(4), None, None, None)[:5]
    counting = _counting_class(base, slots=False)  # type: ignore[arg-type] # as above
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
    return _TALLY in type(cache).__dict__


def _entries(cache: Any) -> Any:  # noqa: ANN401 - any mapping
    """What *cache* holds. In cachetools, asking a timed cache for its length changes it."""
    return getattr(cache, "_Cache__data", cache)


def read_counted(cache: Any) -> CacheReading:  # noqa: ANN401 - any mapping
    """Read what was counted for *cache*, one that is counted."""
    tally = _tally(cache)
    hits, misses, clears = tally.hits.read(), tally.misses.read(), tally.clears.read()
    if not tally.tells_evictions:
        return CacheReading(hits, misses, None, None, clears, len(cache), unbounded=True)
    return CacheReading(
        hits,
        misses,
        tally.evictions.read(),
        tally.expirations.read() if tally.tells_expirations else None,
        clears,
        entries=len(_entries(cache)),
        capacity=capacity_in_entries(cache),
        returning=tally.returning.read(),
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

    def read(self, cache: object, /) -> CacheReading:
        """Read what was counted."""
        return read_counted(cache)

    def traits(self, cache: object, /) -> CacheTraits:
        """In memory; its counts outlive a clear."""
        del cache
        return _TRAITS


def _clear_cache(cache: Any) -> None:  # noqa: ANN401 - any mapping
    cache.clear()


_TRAITS: Final = CacheTraits(blocks=False, clear=_clear_cache, entries=_entries)
