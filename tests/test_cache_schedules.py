"""Counters equal the truth, for each kind of cache, over any schedule of looks and clears."""

from __future__ import annotations

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
    lru_subject,
    run_schedule,
    unbounded_subject,
    zipf_keys,
)

from otel_codomon.sources.caches.registry import CacheRegistry
from otel_codomon.values.cache import Counts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOKUPS = 100_000


@dataclass(frozen=True)
class Case:
    """A row: a kind of cache, and what it can tell.

    Attributes:
        make: Makes one.
        capacity: Its capacity.
        tells: The counts that its adapter knows.
        lookups: How many; fewer where each takes a tenth of a millisecond.
    """

    make: Callable[[], AbstractContextManager[Subject]]
    capacity: int | None
    tells: frozenset[str]
    lookups: int = LOOKUPS


def _plain(make: Callable[[], Subject]) -> Callable[[], AbstractContextManager[Subject]]:
    return lambda: nullcontext(make())


HITS = frozenset({"hits", "misses"})
CASES = {
    "lru_cache": Case(_plain(lru_subject), CAPACITY, HITS | {"clears", "evictions"}),
    "cache": Case(_plain(unbounded_subject), None, HITS | {"clears", "evictions"}),
    "cachetools.cached": Case(_plain(cachetools_function_subject), CAPACITY, HITS | {"clears"}),
    "cachetools.cached with a lock": Case(
        _plain(lambda: cachetools_function_subject(lock=RLock())), CAPACITY, HITS | {"clears"}
    ),
    "counted LRUCache": Case(
        _plain(counted_cachetools_subject), CAPACITY, HITS | {"clears", "evictions"}
    ),
    "counted dict": Case(_plain(counted_dict_subject), None, HITS | {"clears"}),
    "async_lru": Case(async_lru_subject, CAPACITY, HITS | {"clears"}, 20_000),
    "aiocache": Case(aiocache_subject, None, HITS, 20_000),
}
schedules = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(["look", "look", "clear"])),
    max_size=40,
)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@given(schedule=schedules, seed=st.integers(0, 1000))
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
def test_counters_equal_the_truth_over_any_schedule_of_looks_and_clears(
    case: Case, schedule: list[tuple[float, str]], seed: int
) -> None:
    registry = CacheRegistry()
    events = {int(at * case.lookups): what for at, what in schedule}
    keys = zipf_keys(case.lookups, seed=seed)
    before = Counts(0, 0, 0, 0, 0)

    def look() -> Counts:
        nonlocal before
        [found] = registry.readings()
        now = found.reading.counts
        assert now == now.at_least(before), "a counter went back"
        before = now
        return now

    with case.make() as subject:
        registry.observe(subject.cache, name="subject")
        truth = run_schedule(subject, keys, events, capacity=case.capacity, look=look)
        counts = look()
        registry.close()

    told = {field: getattr(counts, field) for field in case.tells}
    assert told == {field: getattr(truth, field) for field in case.tells}
    assert all(getattr(counts, field) is None for field in {"expirations"} - case.tells)


def test_a_diskcache_is_counted_from_the_first_look_on(tmp_path: Path) -> None:
    registry = CacheRegistry()
    keys = zipf_keys(2_000, seed=1)
    with diskcache_subject(tmp_path) as subject:
        subject.look_up(1)
        registry.observe(subject.cache, name="subject", statistics=True)
        subject.look_up(2)  # before the first look
        registry.readings()

        subject.computed.clear()
        truth = run_schedule(
            Subject(subject.cache, subject.look_up, subject.clear, subject.computed),
            [key + 1000 for key in keys],
            {500: "look", 1000: "clear", 1500: "look"},
            capacity=None,
            look=registry.readings,
        )

        [found] = registry.readings()
        registry.close()
    assert (found.reading.hits, found.reading.misses) == (truth.hits, truth.misses)
    assert found.reading.entries == len(truth.entries)
    assert found.reading.evictions is None
