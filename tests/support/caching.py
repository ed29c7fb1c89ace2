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
        forgets: Whether its own counts go with its entries.
        computed: How often a value had to be made: the misses.
    """

    cache: object
    look_up: Callable[[int], object]
    clear: Callable[[], object]
    computed: list[int] = field(default_factory=list)


@dataclass
class Truth:
    """What happened, as the test counts it."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
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
    truth = Truth()
    for at, key in enumerate(keys):
        if at in events:
            if events[at] == "clear":
                subject.clear()
                truth.clear()
            else:
                look()
        subject.look_up(key)
        truth.look_up(key, capacity=capacity)
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

    loop = asyncio.new_event_loop()
    try:
        yield Subject(
            cached,
            lambda key: loop.run_until_complete(cached(key)),
            lambda: cached.cache_clear(),  # noqa: PLW0108 - looked up when called
            computed,
        )
    finally:
        loop.close()


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
        yield Subject(
            store,
            lambda key: loop.run_until_complete(get_or_set(key)),
            lambda: loop.run_until_complete(store.clear()),
            computed,
        )
    finally:
        loop.close()


@contextmanager
def diskcache_subject(folder: Path) -> Iterator[Subject]:
    """``diskcache.Cache``."""
    diskcache = pytest.importorskip("diskcache", reason="pip install diskcache")
    with diskcache.Cache(str(folder)) as store:
        yield _mapping_subject(store)
