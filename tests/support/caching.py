"""Caches of every kind behind one face, and a workload whose truth the test counts itself."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import pytest

from support.cache_servers import memcached_server, redis_server
from support.django_settings import django_caches, django_memcached, django_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEYS = 400
CAPACITY = 64


@dataclass
class Subject:
    """A cache under test.

    Attributes:
        cache: What is observed.
        look_up: Looks a key up, and stores it if it was not there.
        clear: Empties the cache.
        computed: How often a value had to be made: the misses.
    """

    cache: object
    look_up: Callable[[int], object]
    clear: Callable[[], object]
    computed: list[int] = field(default_factory=list)

    def look_up_all(self, keys: list[int]) -> None:
        """Look *keys* up, one after the other."""
        for key in keys:
            self.look_up(key)


@dataclass
class AsyncSubject(Subject):
    """A cache whose lookups are awaited, in one loop that runs for many of them at a time."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def look_up_all(self, keys: list[int]) -> None:
        """Look *keys* up, one after the other."""

        async def work() -> None:
            for key in keys:
                await self.look_up(key)  # type: ignore[misc] # these return awaitables

        self.loop.run_until_complete(work())


@dataclass
class Truth:
    """What happened, as the test counts it."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    expirations: int = 0
    clears: int = 0
    entries: OrderedDict[int, None] = field(default_factory=OrderedDict)

    def look_up(self, key: int, *, capacity: int | None) -> None:
        """The model: least recently used goes first."""
        if key in self.entries:
            self.hits += 1
            self.entries.move_to_end(key)
            return
        self.misses += 1
        self.entries[key] = None
        if capacity is not None and len(self.entries) > capacity:
            self.entries.popitem(last=False)
            self.evictions += 1

    def clear(self) -> None:
        """The model is emptied."""
        self.clears += 1
        self.entries.clear()


def zipf_keys(count: int, *, seed: int) -> list[int]:
    """Keys as people ask for them: the n-th most wanted is asked for 1/n as often as the first."""
    weights = list(accumulate(1 / rank for rank in range(1, KEYS + 1)))
    chance = random.Random(seed)
    return [bisect(weights, chance.random() * weights[-1]) for _ in range(count)]


def run_schedule(
    subject: Subject,
    keys: list[int],
    events: dict[int, str],
    *,
    capacity: int | None,
    look: Callable[[], object],
) -> Truth:
    """Look all *keys* up, with the looks and clears of *events* in between."""
    truth, since = Truth(), 0
    for at in (*sorted(events), len(keys)):
        subject.look_up_all(keys[since:at])
        for key in keys[since:at]:
            truth.look_up(key, capacity=capacity)
        since = at
        if events.get(at) == "clear":
            subject.clear()
            truth.clear()
        elif at in events:
            look()
    assert len(subject.computed) == truth.misses, "the model is not that of this cache"
    return truth


def _noting(computed: list[int]) -> Callable[[int], int]:
    """The function that is cached: it notes that it had to be called."""

    def compute(key: int) -> int:
        computed.append(key)
        return key

    return compute


def _mapping_subject(mapping: Any) -> Subject:  # noqa: ANN401 - any mapping
    computed: list[int] = []

    def look_up(key: int) -> int:
        try:
            return int(mapping[key])
        except KeyError:
            computed.append(key)
            mapping[key] = key
            return key

    return Subject(mapping, look_up, mapping.clear, computed)


def lru_subject(capacity: int | None = CAPACITY) -> Subject:
    """``functools.lru_cache``."""
    computed: list[int] = []
    cached = lru_cache(maxsize=capacity)(_noting(computed))
    return Subject(cached, cached, lambda: cached.cache_clear(), computed)  # noqa: PLW0108 - looked up when called


def unbounded_subject() -> Subject:
    """``functools.cache``."""
    computed: list[int] = []
    cached = cache(_noting(computed))
    return Subject(cached, cached, lambda: cached.cache_clear(), computed)  # noqa: PLW0108 - looked up when called


def cachetools_function_subject(**options: object) -> Subject:
    """``cachetools.cached(info=True)``."""
    cachetools = pytest.importorskip("cachetools", reason="pip install cachetools")
    computed: list[int] = []
    cached = cachetools.cached(cachetools.LRUCache(CAPACITY), info=True, **options)(
        _noting(computed)
    )
    return Subject(cached, cached, lambda: cached.cache_clear(), computed)  # noqa: PLW0108 - looked up when called


def counted_cachetools_subject() -> Subject:
    """A counted ``cachetools.LRUCache``."""
    from otel_codomon import count_lookups

    cachetools = pytest.importorskip("cachetools", reason="pip install cachetools")
    return _mapping_subject(count_lookups(cachetools.LRUCache(CAPACITY)))


def counted_dict_subject() -> Subject:
    """A counted ``dict``."""
    from otel_codomon import count_lookups

    return _mapping_subject(count_lookups({}))


@contextmanager
def async_lru_subject() -> Iterator[Subject]:
    """``async_lru.alru_cache``."""
    async_lru = pytest.importorskip("async_lru", reason="pip install async-lru")
    computed: list[int] = []

    @async_lru.alru_cache(maxsize=CAPACITY)  # type: ignore[untyped-decorator] # imported by name
    async def cached(key: int) -> int:
        computed.append(key)
        return key

    subject = AsyncSubject(cached, cached, lambda: cached.cache_clear(), computed)  # noqa: PLW0108 - looked up when called
    try:
        yield subject
    finally:
        subject.loop.close()


@contextmanager
def aiocache_subject() -> Iterator[Subject]:
    """A cache in memory of aiocache, with the plugin that counts."""
    aiocache = pytest.importorskip("aiocache", reason="pip install aiocache")
    plugins = pytest.importorskip("aiocache.plugins")
    computed: list[int] = []
    store = aiocache.SimpleMemoryCache(plugins=[plugins.HitMissRatioPlugin()])

    async def get_or_set(key: int) -> None:
        if await store.get(key) is None:
            computed.append(key)
            await store.set(key, key + 1)

    loop = asyncio.new_event_loop()
    try:
        yield AsyncSubject(
            store,
            get_or_set,
            lambda: loop.run_until_complete(store.clear()),
            computed,
            loop,
        )
    finally:
        loop.close()


@contextmanager
def joblib_subject(folder: Path) -> Iterator[Subject]:
    """A function cached by ``joblib.Memory``."""
    joblib = pytest.importorskip("joblib", reason="pip install joblib")
    computed: list[int] = []
    memory = joblib.Memory(str(folder), verbose=0)
    cached = memory.cache(_noting(computed))
    yield Subject(cached, cached, lambda: memory.clear(warn=False), computed)


@contextmanager
def redis_subject(folder: Path) -> Iterator[Subject]:
    """A client of a real Redis server."""
    redis = pytest.importorskip("redis", reason="pip install redis")
    with redis_server(folder) as port, redis.Redis(port=port) as client:
        yield _server_subject(client, client.flushdb)


@contextmanager
def django_subject(**backend: object) -> Iterator[Subject]:
    """A cache of Django's, as ``CACHES`` describes it."""
    with django_caches(default=backend) as caches:
        yield _server_subject(caches["default"], caches["default"].clear)


@contextmanager
def django_redis_subject(folder: Path) -> Iterator[Subject]:
    """Django's cache on a real Redis server."""
    pytest.importorskip("redis", reason="pip install redis")
    with redis_server(folder) as port, django_subject(**django_redis(port)) as subject:
        yield subject


@contextmanager
def django_memcached_subject(folder: Path, client: str) -> Iterator[Subject]:
    """Django's cache on two real memcached servers, through one of the two clients it knows."""
    pytest.importorskip(client, reason=f"pip install {client}")
    with (
        memcached_server(folder / "one") as one,
        memcached_server(folder / "other") as other,
        django_subject(**django_memcached(client, one, other)) as subject,
    ):
        yield subject


def _server_subject(store: Any, clear: Callable[[], object]) -> Subject:  # noqa: ANN401 - has get and set
    computed: list[int] = []

    def look_up(key: int) -> None:
        if store.get(key) is None:
            computed.append(key)
            store.set(key, key)

    return Subject(store, look_up, clear, computed)


@contextmanager
def diskcache_subject(folder: Path) -> Iterator[Subject]:
    """``diskcache.Cache``, which counts."""
    diskcache = pytest.importorskip("diskcache", reason="pip install diskcache")
    with diskcache.Cache(str(folder), statistics=1) as store:
        yield _mapping_subject(store)
