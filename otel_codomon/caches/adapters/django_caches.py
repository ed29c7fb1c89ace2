"""Django's cache backends."""

from __future__ import annotations

from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final

from otel_codomon.caches.adapters.adapter import CacheTraits, is_made_by
from otel_codomon.caches.adapters.redis_caches import read_server
from otel_codomon.caches.statistics import CacheReading

if TYPE_CHECKING:
    from collections.abc import Callable


class DjangoAdapter:
    """Backends of ``CACHES``, or the proxy ``django.core.cache.cache``.

    Django counts nothing itself. The cache in local memory tells entries and
    capacity; Redis and memcached are asked for what their servers count.
    """

    name = "django"

    def recognises(self, cache: object, /) -> bool:
        """Whether *cache* is, or stands for, a backend of which something can be told."""
        return _backend(cache) is not None

    def read(self, cache: object, /) -> CacheReading:
        """Read it as its row says."""
        store, row = _backend(cache) or (None, "")
        return _BACKENDS[row](store)

    def traits(self, cache: object, /) -> CacheTraits:
        """Local memory may have its lock taken; the others are servers."""
        store, row = _backend(cache) or (None, "")
        del store
        return _LOCAL if row == "LocMemCache" else _SERVER


def _backend(cache: object) -> tuple[object, str] | None:
    """The backend that *cache* is or stands for, and its row in the table."""
    if is_made_by(cache, "django", "ConnectionProxy"):
        cache = cache._connections[cache._alias]  # type: ignore[attr-defined] # noqa: SLF001 - as the proxy does
    for row in _BACKENDS:
        if is_made_by(cache, "django", row):
            return cache, row
    return None


def _read_local_memory(cache: Any) -> CacheReading:  # noqa: ANN401 - a LocMemCache
    """Its length and its limit. Entries that are too old count until they are asked for."""
    return CacheReading(entries=len(cache._cache), capacity=cache._max_entries)  # noqa: SLF001 - Django tells neither otherwise


def _read_redis(cache: Any) -> CacheReading:  # noqa: ANN401 - a RedisCache
    return read_server(cache._cache.get_client(write=True))  # noqa: SLF001 - the server that is written to


def _read_memcached(cache: Any) -> CacheReading:  # noqa: ANN401 - a BaseMemcachedCache
    """Add up the ``stats`` of all servers. One that does not answer is an exception.

    A client of memcached must not be used by two threads at a time, so this look
    has a client of its own, made as Django makes its own.
    """
    client = type(cache)._cache.func(cache)  # noqa: SLF001 - the only way to its options
    try:
        return _sum_of_servers(_memcached_stats(client))
    finally:
        client.disconnect_all()


def _memcached_stats(client: Any) -> list[dict[Any, Any]]:  # noqa: ANN401 - of pymemcache or pylibmc
    """pymemcache: a dict for each server; pylibmc: pairs of a server and its dict."""
    if hasattr(client, "clients"):
        return [server.stats() for server in client.clients.values()]
    return [told for _, told in client.get_stats()]


def _sum_of_servers(told: list[dict[Any, Any]]) -> CacheReading:
    """Make one reading of the statistics that memcached names in its protocol.txt.

    Expirations are not known: what memcached counts as reclaimed may have been
    flushed as well.
    """
    return CacheReading(
        hits=_sum(told, "get_hits"),
        misses=_sum(told, "get_misses"),
        evictions=_sum(told, "evictions"),
        entries=_sum(told, "curr_items"),
        size_bytes=_sum(told, "bytes"),
        epoch=" ".join(str(_number(server, "pid")) for server in told),
    )


def _sum(told: list[dict[Any, Any]], field: str) -> int | None:
    known = [value for server in told if (value := _number(server, field)) is not None]
    return sum(known) if len(known) == len(told) else None


def _number(server: dict[Any, Any], field: str) -> int | None:
    """The statistic called *field*, whose name is text or bytes; None where it is not told."""
    value = server.get(field, server.get(field.encode()))
    return None if value is None else int(value)


_BACKENDS: Final[dict[str, Callable[[Any], CacheReading]]] = {
    "LocMemCache": _read_local_memory,
    "RedisCache": _read_redis,
    "BaseMemcachedCache": _read_memcached,
}
_LOCAL: Final = CacheTraits(blocks=False, clear=methodcaller("clear"))
_SERVER: Final = CacheTraits(shared=True)
