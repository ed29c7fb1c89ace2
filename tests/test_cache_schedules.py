"""Counters equal the truth, for each kind of cache, over any schedule of looks and clears."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from support.caching import (
    CAPACITY,
    Subject,
    aiocache_subject,
    async_lru_subject,
    cachetools_function_subject,
    counted_cachetools_subject,
    counted_dict_subject,
    diskcache_subject,
    django_memcached_subject,
    django_redis_subject,
    django_subject,
    joblib_subject,
    lru_subject,
    redis_subject,
    run_schedule,
    unbounded_subject,
    zipf_keys,
)
from support.django_settings import MEMCACHED_CLIENTS, django_local_memory

from otel_codomon.caches.registry import CacheRegistry
from otel_codomon.caches.statistics import Counts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOKUPS = 100_000


@dataclass(frozen=True)
class Case:
    """A row: a kind of cache, and what it can tell.

    Attributes:
        make: Makes one, in a folder of its own.
        tells: The counts that its adapter knows; all others must be unknown.
        capacity: Its capacity.
        lookups: How many are looked up; fewer where each takes a tenth of a
            millisecond.
        tells_entries: Whether it tells how many entries there are right after
            it was emptied. memcached lets go of them when they are asked for.
    """

    make: Callable[[Path], AbstractContextManager[Subject]]
    tells: frozenset[str]
    capacity: int | None = None
    lookups: int = LOOKUPS
    tells_entries: bool = True


def _plain(make: Callable[[], Subject]) -> Callable[[Path], AbstractContextManager[Subject]]:
    return lambda _folder: nullcontext(make())


NOTHING: frozenset[str] = frozenset()
HITS = frozenset({"hits", "misses"})
CLEARS = HITS | {"clears"}
SERVER = HITS | {"evictions", "expirations"}
CASES = {
    "lru_cache": Case(_plain(lru_subject), CLEARS | {"evictions"}, CAPACITY),
    "cache": Case(_plain(unbounded_subject), CLEARS | {"evictions"}),
    "cachetools.cached": Case(_plain(cachetools_function_subject), CLEARS, CAPACITY),
    "cachetools.cached with a lock": Case(
        _plain(lambda: cachetools_function_subject(lock=RLock())), CLEARS, CAPACITY
    ),
    "counted LRUCache": Case(_plain(counted_cachetools_subject), CLEARS | {"evictions"}, CAPACITY),
    "counted dict": Case(_plain(counted_dict_subject), CLEARS),
    "async_lru": Case(lambda _: async_lru_subject(), CLEARS, CAPACITY),
    "aiocache": Case(lambda _: aiocache_subject(), HITS),
    "Django in memory": Case(
        lambda _: django_subject(**django_local_memory(entries=1000)), NOTHING
    ),
}
# Files and servers: the property takes fewer lookups, and one schedule has them all.
STORES = {
    "diskcache": Case(diskcache_subject, HITS),
    "redis": Case(redis_subject, SERVER),
    "Django on redis": Case(django_redis_subject, SERVER, lookups=10_000),
    "joblib": Case(joblib_subject, NOTHING, lookups=5_000),
} | {
    f"Django on memcached by {client}": Case(
        lambda folder, client=client: django_memcached_subject(folder, client),  # type: ignore[misc] # bound here
        HITS | {"evictions"},
        lookups=10_000,
        tells_entries=False,
    )
    for client in MEMCACHED_CLIENTS
}
STORE_LOOKUPS = 2_000
Schedule = list[tuple[float, str]]
schedules = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(["look", "look", "clear"])),
    max_size=40,
)


each_cache = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
each_store = pytest.mark.parametrize("case", STORES.values(), ids=STORES.keys())
seeds = st.integers(0, 1000)
few = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))


@each_cache
@given(schedule=schedules, seed=seeds)
@few
def test_counters_equal_the_truth_over_any_schedule_of_looks_and_clears(
    case: Case, schedule: Schedule, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check(case, schedule, zipf_keys(case.lookups, seed=seed), tmp_path_factory.mktemp("cache"))


@each_store
@given(schedule=schedules, seed=seeds)
@few
def test_counters_of_a_store_equal_the_truth_over_any_schedule(
    case: Case, schedule: Schedule, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check(case, schedule, zipf_keys(STORE_LOOKUPS, seed=seed), tmp_path_factory.mktemp("store"))


@each_store
def test_counters_of_a_store_equal_the_truth_over_many_lookups(case: Case, tmp_path: Path) -> None:
    chance = random.Random(1)
    schedule = [(chance.random(), chance.choice(["look", "clear"])) for _ in range(20)]

    check(case, schedule, zipf_keys(case.lookups, seed=1), tmp_path)


def check(case: Case, schedule: Schedule, keys: list[int], folder: Path) -> None:
    """Look all *keys* up, look at the cache and clear it as *schedule* says, and compare."""
    registry = CacheRegistry()
    events = {int(at * len(keys)): what for at, what in schedule}
    before = Counts(0, 0, 0, 0, 0)

    def look() -> Counts:
        nonlocal before
        [found] = registry.readings()
        now = found.reading.counts
        assert now == now.at_least(before), "a counter went back"
        before = now
        return now

    with case.make(folder) as subject:
        registry.observe(subject.cache, name="subject")
        look()  # a store is counted from the first look on
        truth = run_schedule(subject, keys, events, capacity=case.capacity, look=look)
        counts = look()
        [(_, _, reading)] = registry.readings()
        registry.close()

    assert counts == Counts(
        **{
            field: getattr(truth, field) if field in case.tells else None
            for field in Counts._fields
        }
    )
    if case.tells_entries:
        assert reading.entries == len(truth.entries)


def test_a_diskcache_is_counted_from_the_first_look_on(tmp_path: Path) -> None:
    registry = CacheRegistry()
    with diskcache_subject(tmp_path) as subject:
        subject.look_up(1)
        registry.observe(subject.cache, name="subject")
        subject.look_up(1)  # before the first look
        [first] = registry.readings()
        subject.look_up(1)
        [second] = registry.readings()
        registry.close()

    assert (first.reading.hits, first.reading.misses) == (0, 0)
    assert (second.reading.hits, second.reading.misses) == (1, 0)
