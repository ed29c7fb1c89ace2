"""``diskcache``: ``Cache`` and ``FanoutCache``."""

from __future__ import annotations

from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final

from otel_codomon.caches.adapters.adapter import CacheTraits, is_made_by
from otel_codomon.caches.statistics import CacheReading

if TYPE_CHECKING:
    from collections.abc import Iterable


class DiskcacheAdapter:
    """Caches in a folder, which other processes may use too.

    Hits and misses are counted by the library only if it is told to, for each
    then costs a write. They are the folder's: of all processes together.
    Expired entries are entries until they are culled.
    """

    name = "diskcache"

    def recognises(self, cache: object, /) -> bool:
        """Whether *cache* is a ``Cache`` or a ``FanoutCache``."""
        return is_made_by(cache, "diskcache", "Cache", "FanoutCache")

    def read(self, cache: object, /) -> CacheReading:
        """Read the settings table of each shard; ``stats()`` would write to it."""
        return _sum(map(_read_shard, getattr(cache, "_shards", (cache,))))

    def traits(self, cache: object, /) -> CacheTraits:
        """A file that may be locked, and counts that are everybody's."""
        del cache
        return _TRAITS


def _read_shard(shard: Any) -> CacheReading:  # noqa: ANN401 - a Cache
    """Read one database, and leave no connection behind that this thread did not have."""
    had_connection = getattr(shard._local, "con", None) is not None  # noqa: SLF001 - no other way to know
    try:
        counts = bool(shard.statistics)
        return CacheReading(
            hits=shard.reset("hits") if counts else None,
            misses=shard.reset("misses") if counts else None,
            entries=len(shard),
            size_bytes=shard.volume(),
        )
    finally:
        if not had_connection:
            shard.close()


def _sum(readings: Iterable[CacheReading]) -> CacheReading:
    """Add up shards: what one does not know is not known of all."""
    columns = [tuple(column) for column in zip(*readings, strict=True)]
    sums = {
        field: None if None in column else sum(column)
        for field, column in zip(CacheReading._fields, columns, strict=True)
        if field in {"hits", "misses", "entries", "size_bytes"}
    }
    return CacheReading(**sums)  # type: ignore[arg-type] # its own fields


def _count(cache: Any) -> None:  # noqa: ANN401 - a Cache or a FanoutCache
    """Switch the library's statistics on, for good: the folder remembers."""
    cache.stats(enable=True)


_TRAITS: Final = CacheTraits(shared=True, clear=methodcaller("clear"), count=_count)
