"""The methods that a counting mapping has in front of those of its own type."""

from __future__ import annotations

from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.caches.lookup_counts import LookupCounts

COUNTS: Final = "_codomon_counts"
_ABSENT: Final = object()


def counts_of(cache: object) -> LookupCounts:
    """What was counted for *cache*, one whose class is a `counting_class`."""
    counts: LookupCounts = cache.__dict__[COUNTS]
    return counts


def entries_of(cache: Any) -> Any:  # noqa: ANN401 - any mapping
    """What *cache* holds. In cachetools, asking a timed cache for its length changes it."""
    return getattr(cache, "_Cache__data", cache)


# Each of these makes one method of the counting class, in front of that of its base.


def _getitem(base: type[Any]) -> Callable[..., Any]:
    if hasattr(base, "__missing__"):
        return _getitem_or_missing(base)

    def __getitem__(self: Any, key: Any) -> Any:  # noqa: ANN401, N807 - any mapping's
        counts = self.__dict__[COUNTS]
        if counts.now.quiet:
            return base.__getitem__(self, key)
        try:
            value = base.__getitem__(self, key)
        except KeyError:
            counts.missed(key)
            raise
        counts.found()
        return value

    return __getitem__


def _getitem_or_missing(base: type[Any]) -> Callable[..., Any]:
    """For a type that asks its own ``__missing__`` for what is not there: there it is counted."""

    def __getitem__(self: Any, key: Any) -> Any:  # noqa: ANN401, N807 - any mapping's
        counts = self.__dict__[COUNTS]
        now = counts.now
        if now.quiet:
            return base.__getitem__(self, key)
        now.missed = False
        value = base.__getitem__(self, key)
        if not now.missed:
            counts.found()
        return value

    return __getitem__


def _missing(base: type[Any]) -> Callable[..., Any]:
    def __missing__(self: Any, key: Any) -> Any:  # noqa: ANN401, N807 - any mapping's
        counts = counts_of(self)
        if not counts.now.quiet:
            counts.missed(key)
        value = base.__missing__(self, key)
        counts.now.missed = True  # last: making the value may have looked other keys up
        return value

    return __missing__


def _get(base: type[Any]) -> Callable[..., Any]:
    def get(self: Any, key: Any, default: Any = None) -> Any:  # noqa: ANN401 - any mapping's
        counts = self.__dict__[COUNTS]
        now = counts.now
        if now.quiet:
            return base.get(self, key, default)
        now.quiet = True
        try:
            value = base.get(self, key, _ABSENT)
        finally:
            now.quiet = False
        if value is _ABSENT:
            counts.missed(key)
            return default
        counts.found()
        return value

    return get


def _contains(base: type[Any]) -> Callable[..., Any]:
    def __contains__(self: Any, key: Any) -> Any:  # noqa: ANN401, N807 - any mapping's
        counts = self.__dict__[COUNTS]
        if counts.now.quiet:
            return base.__contains__(self, key)
        is_found = _quietly(counts, lambda: base.__contains__(self, key))
        _count(counts, key, is_found=is_found)
        return is_found

    return __contains__


def _pop(base: type[Any]) -> Callable[..., Any]:
    def pop(self: Any, key: Any, *default: Any) -> Any:  # noqa: ANN401 - any mapping's
        counts = self.__dict__[COUNTS]
        if counts.now.quiet:
            return base.pop(self, key, *default)
        value = _quietly(counts, lambda: base.pop(self, key, _ABSENT))
        _count(counts, key, is_found=value is not _ABSENT)
        if value is not _ABSENT:
            return value
        # Its own exception, or what it makes of the default.
        return _quietly(counts, lambda: base.pop(self, key, *default))

    return pop


def _setdefault(base: type[Any]) -> Callable[..., Any]:
    def setdefault(self: Any, key: Any, default: Any = None) -> Any:  # noqa: ANN401 - any mapping's
        counts = self.__dict__[COUNTS]
        if counts.now.quiet:
            return base.setdefault(self, key, default)
        is_found = _quietly(counts, lambda: base.__contains__(self, key))
        value = _quietly(counts, lambda: base.setdefault(self, key, default))
        _count(counts, key, is_found=is_found)
        return value

    return setdefault


def _count(counts: LookupCounts, key: object, *, is_found: bool) -> None:
    if is_found:
        counts.found()
    else:
        counts.missed(key)


def _quiet(name: str) -> Callable[[type[Any]], Callable[..., Any]]:
    """Make a method that looks keys up for itself, if at all."""

    def make(base: type[Any]) -> Callable[..., Any]:
        original = getattr(base, name)

        @wraps(original)
        def quiet(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any mapping's
            return _quietly(counts_of(self), lambda: original(self, *args, **kwargs))

        return quiet

    return make


def _setitem(base: type[Any]) -> Callable[..., Any]:
    def __setitem__(self: Any, key: Any, value: Any) -> None:  # noqa: ANN401, N807 - any mapping's
        now = counts_of(self).now
        before, now.storing = now.storing, True
        try:
            base.__setitem__(self, key, value)
        finally:
            now.storing = before

    return __setitem__


def _popitem(base: type[Any]) -> Callable[..., Any]:
    def popitem(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any mapping's
        counts = counts_of(self)
        item = _quietly(counts, lambda: base.popitem(self, *args, **kwargs))
        if counts.now.storing:
            counts.evicted(item[0], int(self.maxsize))
        return item

    return popitem


def _expire(base: type[Any]) -> Callable[..., Any]:
    def expire(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any mapping's
        before = len(entries_of(self))
        expired = _quietly(counts_of(self), lambda: base.expire(self, *args, **kwargs))
        expired_one = counts_of(self).expired
        for _ in range(before - len(entries_of(self))):
            expired_one()
        return expired

    return expire


def _clear(base: type[Any]) -> Callable[..., Any]:
    def clear(self: Any) -> None:  # noqa: ANN401 - any mapping's
        counts_of(self).cleared()
        _quietly(counts_of(self), lambda: base.clear(self))

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
            rest[0] = {key: value for key, value in rest[0].items() if key != COUNTS} or None
        make, *args = (base if value is type(self) else value for value in (make, *args))
        return (make, tuple(args), *rest)

    return __reduce_ex__


def _quietly(counts: LookupCounts, method: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the method
    now = counts.now
    before, now.quiet = now.quiet, True
    try:
        return method()
    finally:
        now.quiet = before


_METHODS: Final[tuple[tuple[str, Callable[[type[Any]], Callable[..., Any]]], ...]] = (
    ("__getitem__", _getitem),
    ("__missing__", _missing),
    ("get", _get),
    ("__contains__", _contains),
    ("pop", _pop),
    ("popitem", _quiet("popitem")),
    ("setdefault", _setdefault),
    ("update", _quiet("update")),
    ("expire", _expire),
    ("clear", _clear),
    ("__reduce_ex__", _reduce_ex),
)
_EVICTING_METHODS: Final = (("__setitem__", _setitem), ("popitem", _popitem))


@lru_cache(maxsize=128)
def counting_class(base: type[Any], *, slots: bool) -> type[Any]:
    """The class that counts for *base*: it goes by its name and does what it does."""
    rows = _METHODS + (_EVICTING_METHODS if hasattr(base, "maxsize") else ())
    namespace: dict[str, Any] = {name: make(base) for name, make in rows if hasattr(base, name)} | {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
    }
    namespace[COUNTS] = None  # each object has its own; this one is how the class is known
    if slots:
        namespace["__slots__"] = ()  # the same layout, so that an object can change its class
    return type(base.__name__, (base,), namespace)
