"""``redis`` clients: what the server tells of itself."""

from __future__ import annotations

from typing import Any, Final

from otel_codomon.caches.adapters.adapter import CacheTraits, is_made_by
from otel_codomon.caches.statistics import CacheReading


class RedisAdapter:
    """A Redis server, asked through a client of it.

    The numbers are the server's: of all its clients and databases together,
    but for the entries, which are those of the client's database.
    """

    name = "redis"

    def recognises(self, cache: object, /) -> bool:
        """Whether *cache* is a client that can be asked without an event loop."""
        return is_made_by(cache, "redis", "Redis") and "asyncio" not in type(cache).__module__

    def read(self, cache: object, /) -> CacheReading:
        """Ask ``INFO`` and ``DBSIZE``."""
        return read_server(cache)

    def traits(self, cache: object, /) -> CacheTraits:
        """Over the network, and everybody's. Not ours to clear."""
        del cache
        return SERVER_TRAITS


def read_server(client: Any) -> CacheReading:  # noqa: ANN401 - a redis.Redis
    """Read the statistics of the server that *client* talks to.

    ``run_id`` tells a restart of the server; ``CONFIG RESETSTAT`` shows only
    when hits or misses have fallen.
    """
    told = client.info()
    return CacheReading(
        hits=told.get("keyspace_hits"),
        misses=told.get("keyspace_misses"),
        evictions=told.get("evicted_keys"),
        expirations=told.get("expired_keys"),
        entries=client.dbsize(),
        size_bytes=told.get("used_memory_dataset"),
        epoch=told.get("run_id"),
    )


SERVER_TRAITS: Final = CacheTraits(shared=True)
