"""Each adapter against the real library. `nox -s caches` runs this with two versions of each."""

from __future__ import annotations

import asyncio
import gc
import inspect
import pickle
import sqlite3
import threading
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from support import django_settings
from support.cache_servers import memcached_server, redis_server
from support.django_settings import MEMCACHED_CLIENTS

from otel_codomon import CacheReading, UnknownCacheError, count_lookups, read_cache
from otel_codomon.caches import registry as cache_registry
from otel_codomon.caches.adapters.lookup import find_adapter, owner_of
from otel_codomon.caches.registry import CacheRegistry
from otel_codomon.caches.statistics import Counts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def registry() -> Iterator[CacheRegistry]:
    registry = CacheRegistry()
    yield registry
    registry.close()


def library(name: str) -> Any:  # noqa: ANN401 - imported by name
    return pytest.importorskip(name, reason=f"needs a library: pip install --group caches ({name})")


def reading_of(registry: CacheRegistry, name: str) -> CacheReading | None:
    return next((found.reading for found in registry.readings() if found.name == name), None)


# --- cachetools ---


@pytest.mark.parametrize(
    "lock", [None, threading.Lock, threading.RLock], ids=["no lock", "Lock", "RLock"]
)
@pytest.mark.parametrize("type_name", ["LRUCache", "TTLCache", "dict"])
def test_a_cached_function_tells_what_cache_info_tells(type_name: str, lock: Any) -> None:  # noqa: ANN401 - a factory
    cachetools = library("cachetools")
    stores = {
        "LRUCache": cachetools.LRUCache(4),
        "TTLCache": cachetools.TTLCache(4, 3600),
        "dict": {},
    }
    store = stores[type_name]

    @cachetools.cached(store, info=True, lock=lock and lock())  # type: ignore[untyped-decorator] # imported by name
    def double(n: int) -> int:
        return 2 * n

    for n in [1, 2, 1, 3, 4, 5, 1, 5]:
        double(n)

    hits, misses, capacity, entries = double.cache_info()
    assert read_cache(double) == CacheReading(
        hits=hits,
        misses=misses,
        clears=0,
        entries=entries,
        capacity=capacity,
        unbounded=type_name == "dict",
    )


def test_a_look_takes_no_lock_of_the_program(registry: CacheRegistry) -> None:
    cachetools = library("cachetools")
    lock = threading.Lock()
    cached = cachetools.cached(cachetools.LRUCache(4), info=True, lock=lock)(str)
    registry.observe(cached, name="cached")
    cached(1)

    with lock:  # as a program does that collects while it holds its own lock
        found = reading_of(registry, "cached")

    assert found is not None
    assert found.misses == 1


def test_a_look_drops_no_entry_that_grew_too_old(registry: CacheRegistry) -> None:
    cachetools = library("cachetools")
    now = [0.0]
    store = cachetools.TTLCache(4, ttl=10, timer=lambda: now[0])
    cached = cachetools.cached(store, info=True)(str)
    registry.observe(cached, name="cached")
    registry.observe(store, name="store")
    cached(1)

    now[0] = 11

    assert [found.reading.entries for found in registry.readings()] == [1, 1]
    assert store.expire() is None or len(store) == 0


def test_a_clear_of_a_cached_function_keeps_its_counts(registry: CacheRegistry) -> None:
    cachetools = library("cachetools")
    cached = cachetools.cached(cachetools.LRUCache(4), info=True)(str)
    before = type(cached)
    registry.observe(cached, name="cached")

    cached(1)
    cached.cache_clear()
    cached(1), cached(1)

    found = reading_of(registry, "cached")
    assert found is not None
    assert found.counts == Counts(1, 2, None, None, 1)
    assert type(cached).__name__ == before.__name__
    registry.close()
    assert type(cached) is before
    assert cached.cache_info().misses == 1


def test_a_function_cached_without_info_tells_what_its_cache_counts() -> None:
    cachetools = library("cachetools")
    cached = cachetools.cached(count_lookups(cachetools.LRUCache(4)))(str)

    cached(1), cached(1)

    assert read_cache(cached)._replace(returning=None) == CacheReading(
        hits=1, misses=1, evictions=0, clears=0, entries=1, capacity=4
    )


def test_a_cached_method_is_read_for_each_object(registry: CacheRegistry) -> None:
    cachetools = library("cachetools")

    class Shop:
        def __init__(self) -> None:
            self.cache = count_lookups(cachetools.LRUCache(4))

        @cachetools.cachedmethod(lambda self: self.cache)  # type: ignore[untyped-decorator] # imported by name
        def price(self, n: int) -> int:
            return n

    one, other = Shop(), Shop()
    registry.observe(one.price, name="one")
    registry.observe(other.price, name="other")
    one.price(1), one.price(1)

    found = {name: reading.counts[:2] for name, _, reading in registry.readings()}
    assert found == {"one": (1, 1), "other": (0, 0)}
    del one
    gc.collect()  # cachetools 7 has an object and its cached methods refer to each other
    assert [name for name, _, _ in registry.readings()] == ["other"]


def test_a_cached_method_tells_its_own_counts(registry: CacheRegistry) -> None:
    cachetools = library("cachetools")
    if "info" not in inspect.signature(cachetools.cachedmethod).parameters:
        pytest.skip("needs cachetools 7: pip install 'cachetools>=7'")

    class Shop:
        def __init__(self) -> None:
            self.cache = cachetools.LRUCache(4)

        @cachetools.cachedmethod(lambda self: self.cache, info=True)  # type: ignore[untyped-decorator] # imported by name
        def price(self, n: int) -> int:
            return n

    shop = Shop()
    registry.observe(shop.price, name="price")
    shop.price(1), shop.price(1)
    shop.price.cache_clear()
    shop.price(1)

    found = reading_of(registry, "price")
    assert found == CacheReading(hits=1, misses=2, clears=1, entries=1, capacity=4)


# --- async_lru ---


def test_a_cached_coroutine_function_is_read_and_its_clears_are_noticed(
    registry: CacheRegistry,
) -> None:
    async_lru = library("async_lru")

    @async_lru.alru_cache(maxsize=2)  # type: ignore[untyped-decorator] # imported by name
    async def double(n: int) -> int:
        return 2 * n

    registry.observe(double, name="double")

    async def work() -> None:
        await double(1)
        await double(1)
        double.cache_clear()
        for n in (1, 2, 3, 3):
            await double(n)

    asyncio.run(work())

    found = reading_of(registry, "double")
    assert found == CacheReading(hits=2, misses=4, clears=1, entries=2, capacity=2)


def test_a_cached_coroutine_method_belongs_to_its_class(registry: CacheRegistry) -> None:
    async_lru = library("async_lru")

    class Shop:
        @async_lru.alru_cache(maxsize=2)  # type: ignore[untyped-decorator] # imported by name
        async def price(self, n: int) -> int:
            return n

    shop = Shop()
    registry.observe(vars(Shop)["price"], name="price")

    async def work() -> None:
        await shop.price(1)
        await shop.price(1)
        shop.price.cache_clear()
        await shop.price(1)

    asyncio.run(work())

    found = reading_of(registry, "price")
    assert found is not None
    assert found.counts == Counts(1, 2, None, None, 1)


# --- aiocache ---


def test_aiocache_tells_hits_and_misses_only_with_its_plugin() -> None:
    aiocache = library("aiocache")
    plugins = library("aiocache.plugins")
    bare = aiocache.SimpleMemoryCache()
    counting = aiocache.SimpleMemoryCache(plugins=[plugins.HitMissRatioPlugin()])
    fresh = read_cache(counting)

    async def work() -> None:
        for store in (bare, counting):
            await store.clear()
            await store.set("a", 1)
            await store.get("a")
            await store.get("b")
            await store.multi_get(["a", "b", "c"])

    asyncio.run(work())

    assert fresh == CacheReading(hits=0, misses=0, entries=0, unbounded=True)
    assert read_cache(bare) == CacheReading(entries=1, unbounded=True)
    assert read_cache(counting) == CacheReading(hits=2, misses=3, entries=1, unbounded=True)


def test_a_function_cached_by_aiocache_is_read() -> None:
    aiocache = library("aiocache")

    @aiocache.cached()  # type: ignore[untyped-decorator] # imported by name
    async def double(n: int) -> int:
        return 2 * n

    assert find_adapter(double).name == "aiocache"


# --- diskcache ---


@pytest.mark.parametrize("type_name", ["Cache", "FanoutCache"])
def test_a_diskcache_tells_nothing_false_while_it_does_not_count(
    registry: CacheRegistry, tmp_path: Path, type_name: str
) -> None:
    with getattr(library("diskcache"), type_name)(str(tmp_path)) as store:
        store["a"] = "x" * 100_000
        registry.observe(store, name="silent")
        _, _ = store["a"], store.get("b")

        found = reading_of(registry, "silent")

        assert found is not None
        assert found.counts == Counts()
        assert found.entries == 1
        assert found.size_bytes is not None
        assert found.size_bytes > 100_000
        assert not store.statistics


@pytest.mark.parametrize("type_name", ["Cache", "FanoutCache"])
def test_a_diskcache_counts_on_request(
    registry: CacheRegistry, tmp_path: Path, type_name: str
) -> None:
    with getattr(library("diskcache"), type_name)(str(tmp_path)) as store:
        registry.observe(store, name="counted", statistics=True)
        registry.readings()
        store["a"] = 1
        _, _, _ = store["a"], store["a"], store.get("b")

        found = reading_of(registry, "counted")
        store.clear()
        after = reading_of(registry, "counted")

        assert found is not None
        assert after is not None
        assert found.counts == after.counts == Counts(2, 1)
        assert (found.entries, after.entries) == (1, 0)


def test_looks_leave_no_connection_of_a_diskcache_open(
    registry: CacheRegistry, tmp_path: Path
) -> None:
    with library("diskcache").Cache(str(tmp_path)) as store:
        registry.observe(store, name="store")

        def open_files() -> list[str]:
            found = psutil.Process().open_files()
            return sorted(file.path for file in found if file.path.startswith(str(tmp_path)))

        registry.readings()
        after_one = open_files()
        for _ in range(5):
            registry.readings()

        assert open_files() == after_one
    # SQLite itself keeps one descriptor until the program's connection is closed.
    assert open_files() == []


def test_a_diskcache_that_is_corrupt_is_one_log_record(
    registry: CacheRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = library("diskcache").Cache(str(tmp_path))
    registry.observe(store, name="store")
    store.close()
    for file in tmp_path.glob("cache.db*"):
        file.write_bytes(b"no database" * 1000)

    looks = [reading_of(registry, "store") for _ in range(3)]

    assert looks == [None] * 3
    assert [record.getMessage().count("'store'") for record in caplog.records] == [1]
    store.close()


def test_a_diskcache_that_is_locked_is_left_out_until_it_is_free(
    registry: CacheRegistry,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = library("diskcache").Cache(str(tmp_path))
    registry.observe(store, name="store")
    store.close()
    holder = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("DELETE FROM Cache")

    with monkeypatch.context() as hurried:
        hurried.setattr(cache_registry, "LOOK_SECONDS", 0.05)  # the lock is held for any time
        looks = [reading_of(registry, "store") for _ in range(3)]
    holder.rollback()
    holder.close()

    assert looks == [None] * 3
    assert [record.getMessage().count("'store'") for record in caplog.records] == [1]
    while reading_of(registry, "store") is None:
        pass  # until the look that waits for the lock has got it
    store.close()


# --- joblib ---


def test_joblib_tells_how_many_results_there_are_and_how_large(tmp_path: Path) -> None:
    memory = library("joblib").Memory(str(tmp_path), verbose=0)

    @memory.cache  # type: ignore[untyped-decorator] # imported by name
    def double(n: int) -> bytes:
        return bytes(n)

    @memory.cache  # type: ignore[untyped-decorator] # imported by name
    def other(n: int) -> int:
        return n

    empty = read_cache(memory)
    double(10_000), double(10_000), double(20_000), other(1)
    of_all, of_one = read_cache(memory), read_cache(double)

    assert empty == CacheReading(entries=0, size_bytes=0, unbounded=True)
    assert of_all.entries == 3
    assert of_one.entries == 2
    assert of_all.size_bytes is not None
    assert of_one.size_bytes is not None
    assert 30_000 < of_one.size_bytes < of_all.size_bytes
    assert of_all.counts == Counts(), "joblib counts nothing"
    memory.clear(warn=False)
    assert read_cache(memory).entries == 0


def test_a_joblib_memory_of_nowhere_holds_nothing() -> None:
    memory = library("joblib").Memory(None, verbose=0)

    assert read_cache(memory) == CacheReading(entries=0, size_bytes=0, unbounded=True)


# --- Redis and Django ---


def test_a_redis_server_tells_its_own_numbers(registry: CacheRegistry, tmp_path: Path) -> None:
    redis = library("redis")
    with redis_server(tmp_path) as port, redis.Redis(port=port) as client:
        client.set("before", 1)
        client.get("before")
        registry.observe(client, name="server")
        registry.readings()

        client.get("before"), client.get("missing")
        client.set("short", 1, px=1)
        while client.exists("short"):
            pass
        found = reading_of(registry, "server")

        assert found is not None
        # EXISTS is a lookup too: how many there were until it was gone, nobody knows.
        assert found.misses == 2
        assert found.hits is not None
        assert found.hits >= 1
        assert (found.evictions, found.expirations, found.entries) == (0, 1, 1)
        assert found.epoch is not None
        assert registry.clear("server") == "a cache of kind redis cannot be cleared here"

        client.config_resetstat()
        client.get("missing")
        after = reading_of(registry, "server")
        assert after is not None
        assert after.counts == after.counts.at_least(found.counts), "a counter went back"


def test_a_server_that_is_away_is_no_reading(
    registry: CacheRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    redis = library("redis")
    with redis_server(tmp_path) as port:
        never = library("redis.retry").Retry(library("redis.backoff").NoBackoff(), 0)
        client = redis.Redis(port=port, retry=never)
        registry.observe(client, name="server")
        assert reading_of(registry, "server") is not None

    assert [reading_of(registry, "server") for _ in range(3)] == [None] * 3
    assert len([r for r in caplog.records if "'server'" in r.getMessage()]) == 1
    client.close()


def test_an_asynchronous_redis_client_is_refused() -> None:
    library("redis")
    asyncio_redis = library("redis.asyncio")

    with pytest.raises(UnknownCacheError):
        read_cache(asyncio_redis.Redis())


def test_a_redis_server_that_was_restarted_goes_on_from_its_counts(
    registry: CacheRegistry, tmp_path: Path
) -> None:
    redis = library("redis")
    with redis_server(tmp_path) as port, redis.Redis(port=port) as client:
        registry.observe(client, name="server")
        registry.readings()
        client.get("missing")
        before = reading_of(registry, "server")
    with redis_server(tmp_path, port=port):
        for _ in range(3):  # more than before, so that no count has fallen
            client.get("missing")
        after = reading_of(registry, "server")
        client.close()

    assert before is not None
    assert after is not None
    assert (before.misses, after.misses) == (1, 4)


def test_django_s_local_memory_tells_entries_and_capacity() -> None:
    settings = django_settings.django_local_memory(entries=7)
    with django_settings.django_caches(default=settings) as caches:
        proxy = library("django.utils.connection").ConnectionProxy(caches, "default")
        caches["default"].clear()
        caches["default"].set("a", 1)

        for cache in (caches["default"], proxy):
            assert read_cache(cache) == CacheReading(entries=1, capacity=7)


def test_django_s_redis_tells_what_its_server_counts(
    registry: CacheRegistry, tmp_path: Path
) -> None:
    library("redis")
    with (
        redis_server(tmp_path) as port,
        django_settings.django_caches(default=django_settings.django_redis(port)) as caches,
    ):
        cache = caches["default"]
        registry.observe(cache, name="server")
        registry.readings()

        cache.set("a", 1)
        cache.get("a"), cache.get("b")
        found = reading_of(registry, "server")

    assert found is not None
    assert found.counts == Counts(1, 1, 0, 0)
    assert found.entries == 1


@pytest.fixture(params=MEMCACHED_CLIENTS)
def memcached(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Django's cache on a memcached server, through each client."""
    library(request.param)
    with memcached_server(tmp_path) as port:
        settings = django_settings.django_memcached(request.param, port)
        with django_settings.django_caches(default=settings) as caches:
            yield caches["default"]


def test_django_s_memcached_tells_what_its_servers_count(
    memcached: Any,  # noqa: ANN401 - imported by name
    registry: CacheRegistry,
) -> None:
    memcached.set("before", 1)
    memcached.get("before")
    registry.observe(memcached, name="server")
    first = reading_of(registry, "server")

    memcached.get("before"), memcached.get("missing"), memcached.set("a", 1)
    found = reading_of(registry, "server")

    assert first is not None
    assert found is not None
    assert (first.hits, first.misses, first.evictions, first.entries) == (0, 0, 0, 1)
    assert (found.hits, found.misses, found.evictions, found.entries) == (1, 1, 0, 2)
    assert found.size_bytes is not None
    assert found.size_bytes > 0
    assert registry.clear("server") == "a cache of kind django cannot be cleared here"


def test_evictions_of_memcached_are_told_and_expirations_are_not(
    memcached: Any,  # noqa: ANN401 - imported by name
    registry: CacheRegistry,
) -> None:
    registry.observe(memcached, name="server")
    registry.readings()
    sets = 400

    for key in range(sets):  # five times what it has room for
        memcached.set(f"large-{key}", b"x" * 100_000)
    found = reading_of(registry, "server")

    assert found is not None
    assert found.entries is not None
    assert found.evictions == sets - found.entries
    assert found.evictions > 0
    assert found.expirations is None


def test_a_look_at_memcached_uses_no_connection_of_the_program(
    memcached: Any,  # noqa: ANN401 - imported by name
    registry: CacheRegistry,
) -> None:
    memcached.set("a", 1)
    registry.observe(memcached, name="server")
    used = memcached._cache
    memcached._cache = None  # whoever uses it now fails

    assert reading_of(registry, "server") is not None
    memcached._cache = used


def test_one_memcached_of_two_that_is_away_is_no_reading(
    registry: CacheRegistry, tmp_path: Path
) -> None:
    library("pymemcache")
    with memcached_server(tmp_path / "one") as one:
        with memcached_server(tmp_path / "other") as other:
            settings = django_settings.django_memcached("pymemcache", one, other)
            with django_settings.django_caches(default=settings) as caches:
                registry.observe(caches["default"], name="servers")
                assert reading_of(registry, "servers") is not None

        assert reading_of(registry, "servers") is None


# --- any object ---


class WithInfo:
    """What many libraries have: cache_info() as functools has it."""

    def __init__(self) -> None:
        self.info = (3, 4, 10, 2)

    def cache_info(self) -> tuple[int, int, int, int]:
        return self.info

    def cache_clear(self) -> None:
        self.info = (0, 0, 10, 0)


def test_any_object_with_cache_info_is_read(registry: CacheRegistry) -> None:
    thing = WithInfo()
    registry.observe(thing, name="thing")
    registry.readings()

    assert registry.clear("thing") is None
    thing.info = (1, 1, 10, 1)

    assert reading_of(registry, "thing") == CacheReading(
        hits=4,
        misses=5,
        clears=1,
        entries=1,
        capacity=10,
        estimated=frozenset({"clears"}),
    )


@pytest.mark.parametrize(
    "thing",
    [WithInfo, {}, OrderedDict(), "text", None, 3, object()],
    ids=lambda thing: type(thing).__name__,
)
def test_what_is_no_cache_is_recognised_by_nobody(thing: object) -> None:
    with pytest.raises(UnknownCacheError):
        find_adapter(owner_of(thing))


def test_an_observed_function_can_still_be_pickled(registry: CacheRegistry) -> None:
    registry.observe(_cached_here, name="here")

    assert pickle.loads(pickle.dumps(_cached_here)) is _cached_here  # noqa: S301 - our own bytes


@lru_cache
def _cached_here(n: int) -> int:
    return n
