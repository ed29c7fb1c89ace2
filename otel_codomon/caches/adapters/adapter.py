"""What an adapter is: it knows how to read one family of caches."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_codomon.caches.statistics import CacheReading


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheTraits:
    """How one cache wants to be treated. The defaults suit a stranger's adapter.

    Attributes:
        blocks: Whether a look may wait: for a lock, a file, a server. Such a
            look is made on another thread, with a deadline.
        shared: Whether its counts are those of a store that other processes
            use too. They are counted from the first look on, so that what
            others did before is not taken for ours.
        resets: The method that empties the cache and sets its counts to zero,
            if it can be watched on the object itself; None where it cannot.
        clear: Empties a cache of this kind; None where that is not ours to do.
        count: Makes the library count, where it does not unless it is told to.
        entries: The entries as a plain mapping that can be looked through with
            no effect on the cache; None where there is none.
    """

    blocks: bool = True
    shared: bool = False
    resets: str | None = None
    clear: Callable[[Any], object] | None = None
    count: Callable[[Any], object] | None = None
    entries: Callable[[Any], Mapping[object, object] | None] | None = None


@runtime_checkable
class CacheAdapter(Protocol):
    """Knows how to read one family of caches.

    An adapter holds no state, imports the library it serves only when an
    object of it was handed in, and never changes the cache: a look must not
    count as a hit. It may also have ``traits(cache) -> CacheTraits``; without it
    the cache is taken for one that may block.
    """

    @property
    def name(self) -> str:
        """Short name, shown in errors and in the ``codomon.cache.kind`` attribute."""
        ...

    def recognises(self, cache: object, /) -> bool:
        """Whether `read` can read *cache*. Cheap, and never raises."""
        ...

    def read(self, cache: object, /) -> CacheReading:
        """Read the totals of *cache*, one that `recognises` said yes to."""
        ...


def traits_of(adapter: CacheAdapter, cache: object) -> CacheTraits:
    """What *adapter* says of *cache*, or the careful defaults."""
    tell = getattr(adapter, "traits", None)
    told = tell(cache) if callable(tell) else None
    return told if isinstance(told, CacheTraits) else CacheTraits()


def is_made_by(cache: object, library: str, *types: str) -> bool:
    """Whether *cache* is of a class of *library*, or of one derived from it.

    Asks the class for its name, so that a library that the program does not
    use is not imported to find out.

    Args:
        cache: Any object.
        library: Top-level package that defines the class.
        types: Names of classes; one of them is enough. None given: any.
    """
    return library in sys.modules and any(
        str(base.__module__).partition(".")[0] == library and (not types or base.__name__ in types)
        for base in type(cache).__mro__
    )
