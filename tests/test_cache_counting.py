from __future__ import annotations

import copy
import pickle
import threading
from collections import Counter, OrderedDict, UserDict, defaultdict
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from otel_codomon import CacheReading, InvalidArgumentError, count_lookups, read_cache


class _Squares(dict[int, int]):
    """Makes what is missing, and looks itself up for it."""

    def __missing__(self, key: int) -> int:
        self[key] = key * self.get(1, 1) * key
        return self[key]


MAPPINGS = [
    {1: 1},
    OrderedDict([(1, 1)]),
    defaultdict(int, {1: 1}),
    Counter([1]),
    UserDict({1: 1}),
    _Squares({1: 1}),
]


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda mapping: type(mapping).__name__)
def test_lookups_are_counted_and_all_else_is_as_it_was(mapping: Any) -> None:  # noqa: ANN401 - any mapping
    plain = copy.deepcopy(mapping)
    counted = count_lookups(copy.deepcopy(mapping))

    seen = [(cache[1], cache.get(1), cache.get(5), cache.get(5, 9)) for cache in (counted, plain)]

    assert seen[0] == seen[1]
    assert read_cache(counted) == CacheReading(
        hits=2, misses=2, clears=0, entries=1, unbounded=True
    )
    assert counted == plain
    assert repr(counted) == repr(plain)
    assert isinstance(counted, type(plain))


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda mapping: type(mapping).__name__)
def test_each_lookup_counts_as_what_it_is(mapping: Any) -> None:  # noqa: ANN401 - any mapping
    counted = count_lookups(copy.deepcopy(mapping))

    counted.pop(1)  # hit
    counted.pop(1, None)  # miss
    counted.setdefault(2, 3)  # miss
    counted.setdefault(2, 4)  # hit
    counted.update({3: 4})
    assert 3 in counted  # hit
    assert 4 not in counted  # miss

    assert read_cache(counted).counts[:2] == (3, 3)
    assert read_cache(counted).entries == 2


def test_a_missing_key_is_one_miss_however_it_is_made() -> None:
    squares = count_lookups(_Squares())

    assert squares[3] == 9

    # 1 was asked for by `get`, 3 by the program and then by `__missing__` itself.
    assert read_cache(squares).counts[:2] == (1, 2)


def test_a_key_error_stays_one() -> None:
    with pytest.raises(KeyError, match=r"^5$"):
        count_lookups({1: 1})[5]


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda mapping: type(mapping).__name__)
def test_a_copy_and_a_pickle_are_of_the_plain_type(mapping: Any) -> None:  # noqa: ANN401 - any mapping
    counted = count_lookups(copy.deepcopy(mapping))

    for twin in (copy.deepcopy(counted), pickle.loads(pickle.dumps(counted))):  # noqa: S301 - our own bytes
        assert twin == mapping
        assert type(twin) is type(mapping)


def test_counting_twice_counts_once() -> None:
    counted = count_lookups({1: 1})

    assert count_lookups(counted) is counted


def test_clears_are_counted_and_counts_outlive_them() -> None:
    counted = count_lookups({1: 1})

    counted.get(1)
    counted.clear()
    counted.get(1)

    assert read_cache(counted) == CacheReading(
        hits=1, misses=1, clears=1, entries=0, unbounded=True
    )


def test_no_lookup_of_any_thread_is_lost() -> None:
    counted = count_lookups({key: key for key in range(50)})
    lookups, threads = 20_000, 8

    def look_up(seed: int) -> None:
        for key in range(lookups):
            counted.get((key * seed) % 100)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(look_up, range(1, 2 * threads, 2)))

    reading = read_cache(counted)
    assert reading.lookups == lookups * threads
    assert reading.hits == lookups * threads // 2


def test_looks_of_several_threads_count_nothing_and_miss_nothing() -> None:
    counted = count_lookups({0: 0})
    lookups, over = 20_000, threading.Event()

    def counts() -> tuple[int, int]:
        reading = read_cache(counted)
        return reading.hits or 0, reading.misses or 0

    def look() -> list[tuple[int, int]]:
        seen = [counts()]
        while not over.is_set():
            seen.append(counts())
        return seen

    with ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(look) for _ in range(2)]
        for n in range(lookups):
            counted.get(n % 2)
        over.set()

    assert counts() == (lookups // 2, lookups // 2)
    for seen in (look.result() for look in looks):
        assert seen == sorted(seen), "a counter went back"
        assert all(0 <= hits - misses <= 1 for hits, misses in seen), "not of one instant"


@pytest.mark.parametrize("thing", [3, [1], SimpleNamespace()], ids=str)
def test_what_is_no_mapping_is_refused(thing: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^cannot count the lookups of a .* mapping;"):
        count_lookups(thing)


# --- cachetools ---

TYPES = ["FIFOCache", "LFUCache", "LRUCache", "RRCache", "TTLCache", "TLRUCache"]


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def make(type_name: str, capacity: int, clock: _Clock | None = None) -> Any:  # noqa: ANN401 - imported by name
    cachetools = pytest.importorskip("cachetools", reason="pip install cachetools")
    extra = {
        "TTLCache": {"ttl": 10, "timer": clock or _Clock()},
        "TLRUCache": {"ttu": lambda _key, _value, now: now + 10, "timer": clock or _Clock()},
    }.get(type_name, {})
    return getattr(cachetools, type_name)(maxsize=capacity, **extra)


@pytest.mark.parametrize("type_name", TYPES)
def test_evictions_of_a_cachetools_cache_are_counted(type_name: str) -> None:
    plain = make(type_name, 4)
    counted = count_lookups(plain)

    for key in range(10):
        counted[key] = key
    counted.popitem()
    hits = sum(counted.get(key) is not None for key in range(10))

    assert counted is plain
    assert type(counted).__name__ == type_name
    assert read_cache(counted)._replace(returning=None) == CacheReading(
        hits=hits,
        misses=10 - hits,
        evictions=6,
        expirations=0 if "T" in type_name[:2] else None,
        clears=0,
        entries=3,
        capacity=4,
    )


@pytest.mark.parametrize("type_name", ["TTLCache", "TLRUCache"])
def test_entries_that_grew_too_old_are_expirations(type_name: str) -> None:
    clock = _Clock()
    counted = count_lookups(make(type_name, 4, clock))
    for key in range(3):
        counted[key] = key

    clock.now = 11
    before = read_cache(counted)
    assert counted.get(0) is None
    counted[7] = 7

    assert before.entries == 3, "a look has dropped entries"
    assert read_cache(counted) == CacheReading(
        hits=0, misses=1, evictions=0, expirations=3, clears=0, entries=1, capacity=4, returning=0
    )


def test_misses_that_twice_the_capacity_would_have_answered_are_told() -> None:
    counted = count_lookups(make("LRUCache", 10))

    for key in list(range(15)) * 10:  # a loop a little longer than the cache: the worst for LRU
        if counted.get(key) is None:
            counted[key] = key

    reading = read_cache(counted)
    assert reading.counts == (0, 150, 140, None, 0)
    assert reading.returning == 135, "all but the first round"


def test_a_capacity_in_bytes_is_no_capacity_in_entries() -> None:
    cachetools = pytest.importorskip("cachetools", reason="pip install cachetools")

    store = cachetools.LRUCache(maxsize=100, getsizeof=len)
    store[1] = "long text"

    assert read_cache(store) == CacheReading(entries=1)
