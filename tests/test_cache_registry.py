from __future__ import annotations

import gc
import logging
import os
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any

import pytest
from support.forked import die_of_a_hang

from otel_codomon import (
    CacheNameTakenError,
    CacheReading,
    CacheTraits,
    InvalidArgumentError,
    UnknownCacheError,
    count_lookups,
)
from otel_codomon.caches import registry as cache_registry
from otel_codomon.caches.registry import CacheRegistry
from otel_codomon.caches.statistics import Counts, NamedReading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HANG_SECONDS = 120  # a guard, never a measure


@pytest.fixture
def registry() -> Iterator[CacheRegistry]:
    registry = CacheRegistry(capacity=5)
    yield registry
    registry.close()


def make_square() -> Any:  # noqa: ANN401 - with the methods of lru_cache
    @lru_cache(maxsize=8)
    def square(n: int) -> int:
        return n * n

    return square


class Told:
    """A cache that tells what it is told to tell."""

    def __init__(self, reading: CacheReading | None = None) -> None:
        self.tell: Callable[[], object] = lambda: reading

    def cache_reading(self) -> Any:  # noqa: ANN401 - also what it should not
        return self.tell()


def readings_of(registry: CacheRegistry) -> dict[str, CacheReading]:
    return {name: reading for name, _, reading in registry.readings()}


# --- names ---


def test_a_cache_is_read_under_its_name(registry: CacheRegistry) -> None:
    square = make_square()
    assert registry.observe(square) == f"{__name__}:make_square.<locals>.square"

    square(3), square(3)

    assert registry.readings() == (
        NamedReading(
            f"{__name__}:make_square.<locals>.square",
            "lru_cache",
            CacheReading(
                hits=1,
                misses=1,
                evictions=0,
                clears=0,
                entries=1,
                capacity=8,
                estimated=frozenset({"evictions"}),
            ),
        ),
    )


def test_two_caches_of_one_name_are_refused_with_the_way_out(registry: CacheRegistry) -> None:
    one, other = make_square(), make_square()
    registry.observe(one)

    with pytest.raises(CacheNameTakenError) as caught:
        registry.observe(other)

    assert str(caught.value) == (
        f"cannot observe a cache as '{__name__}:make_square.<locals>.square': another cache has "
        "this name; tell them apart with a name of your own, as observe_cache(cache, name='...')"
    )
    assert registry.observe(other, name="other") == "other"


def test_observing_a_cache_again_changes_nothing(registry: CacheRegistry) -> None:
    square = make_square()
    registry.observe(square, name="square")

    assert registry.observe(square, name="square") == "square"
    with pytest.raises(CacheNameTakenError, match="it is already observed as 'square'"):
        registry.observe(square, name="another")


@pytest.mark.parametrize("name", ["", "x" * 256, "line\nbreak", "lone \ud800"], ids=repr)
def test_a_name_that_telemetry_cannot_carry_is_refused(registry: CacheRegistry, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^cannot observe a cache as"):
        registry.observe(make_square(), name=name)


def test_a_cache_with_no_name_needs_one(registry: CacheRegistry) -> None:
    with pytest.raises(InvalidArgumentError, match=r"it has no name of its own; give it one"):
        registry.observe(count_lookups({}))


def test_an_object_that_no_adapter_knows_is_refused_with_the_way_out(
    registry: CacheRegistry,
) -> None:
    with pytest.raises(UnknownCacheError, match=r"pass a CacheAdapter that does") as caught:
        registry.observe([], name="list")

    assert caught.value.cache_type is list


def test_what_cannot_be_let_go_is_refused(registry: CacheRegistry) -> None:
    class Slotted:
        __slots__ = ()

        def cache_info(self) -> tuple[int, int, int, int]:
            return (0, 0, 0, 0)

    with pytest.raises(InvalidArgumentError, match=r"add '__weakref__' to its __slots__"):
        registry.observe(Slotted(), name="slotted")


def test_past_the_cap_there_is_one_warning_and_a_count(
    registry: CacheRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    caches = [make_square() for _ in range(8)]

    names = [registry.observe(cache, name=str(at)) for at, cache in enumerate(caches)]

    assert names == ["0", "1", "2", "3", "4", None, None, None]
    assert registry.refused == 3
    assert len(caplog.records) == 1


# --- lives ---


def test_a_cache_that_is_gone_is_not_reported_and_the_next_goes_on_from_it(
    registry: CacheRegistry,
) -> None:
    first = make_square()
    registry.observe(first, name="square")
    first(1), first(1)
    registry.readings()

    del first
    gc.collect()
    assert registry.readings() == ()

    second = make_square()
    registry.observe(second, name="square")
    second(1)
    assert readings_of(registry)["square"].counts == Counts(1, 2, 0, None, 0)


def test_a_cache_that_dies_during_the_look_is_read_once_more_and_then_gone(
    registry: CacheRegistry,
) -> None:
    cache = Told(CacheReading(hits=1))
    registry.observe(cache, name="told")
    holder = [cache]

    def die() -> CacheReading:
        holder.clear()
        gc.collect()
        return CacheReading(hits=1)

    cache.tell = die
    del cache

    assert readings_of(registry) == {"told": CacheReading(hits=1)}
    gc.collect()
    assert registry.readings() == ()


def test_closing_leaves_the_cache_as_it_was_found() -> None:
    square = make_square()
    before = dict(vars(square)), type(vars(square))
    registry = CacheRegistry()
    registry.observe(square)

    registry.close()

    assert (dict(vars(square)), type(vars(square))) == before
    assert type(square.cache_clear).__name__ == "builtin_function_or_method"


# --- clears ---


def test_a_clear_that_was_overtaken_is_noticed(registry: CacheRegistry) -> None:
    square = make_square()
    registry.observe(square, name="square")
    square(1)
    registry.readings()

    square.cache_clear()
    for _ in range(5):
        square(1)

    assert readings_of(registry)["square"].counts == Counts(4, 2, 0, None, 1)


def test_a_decorator_around_an_observed_cache_keeps_its_own_methods(
    registry: CacheRegistry,
) -> None:
    square = make_square()
    registry.observe(square, name="square")

    outer = lru_cache(square)

    @wraps(square)
    def wrapped(n: int) -> object:
        return square(n)

    outer(1)
    outer.cache_clear()

    assert outer.cache_info().currsize == 0
    assert square.cache_info().currsize == 1
    assert not hasattr(wrapped, "cache_clear")
    assert "cache_clear" not in dict(vars(square).items())
    assert pickle.dumps(list(vars(square).keys()))


def test_a_clear_that_goes_around_us_is_noticed_by_its_effect(registry: CacheRegistry) -> None:
    square = make_square()
    taken_before = square.cache_clear
    registry.observe(square, name="square")
    for n in range(5):
        square(n)
    registry.readings()

    taken_before()
    square(1)

    assert readings_of(registry)["square"].counts == Counts(0, 6, 0, None, 1)


def test_clears_are_not_watched_on_request(registry: CacheRegistry) -> None:
    square = make_square()
    registry.observe(square, name="square", watch_clears=False)

    assert type(square.cache_clear).__name__ == "builtin_function_or_method"
    assert "clears" in readings_of(registry)["square"].estimated


def test_a_clear_that_raises_raises_and_counts_nothing(registry: CacheRegistry) -> None:
    square = make_square()
    registry.observe(square, name="square")

    with pytest.raises(TypeError):
        square.cache_clear("an argument that it does not take")

    square(1)
    assert readings_of(registry)["square"].counts == Counts(0, 1, 0, None, 0)


def test_clearing_in_a_clear_does_not_hang(registry: CacheRegistry) -> None:
    class Chained:
        def __del__(self) -> None:
            make.cache_clear()

    @lru_cache(maxsize=2)
    def make(_n: int) -> Chained:
        return Chained()

    registry.observe(make, name="make")
    make(1), make(2)
    make.cache_clear()

    assert readings_of(registry)["make"].misses == 2


def test_a_cache_is_cleared_by_name(registry: CacheRegistry) -> None:
    square = make_square()
    registry.observe(square, name="square")
    server = Told(CacheReading())
    registry.observe(server, name="told")
    square(1)

    assert registry.clear("square") is None
    assert square.cache_info().currsize == 0
    assert registry.clear("told") == "a cache of kind cache_reading cannot be cleared here"
    assert registry.clear("unknown") == "no cache of this name is observed"


# --- threads and forks ---


def test_looks_are_right_while_threads_look_up_and_clear(registry: CacheRegistry) -> None:
    square = make_square()
    registry.observe(square, name="square")
    lookups, threads = 30_000, 4
    running = threading.Event()
    looks: list[Counts] = []

    def look() -> None:
        while not running.is_set():
            looks.append(readings_of(registry)["square"].counts)

    watcher = threading.Thread(target=look)
    watcher.start()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: [square(n % 20) for n in range(lookups)], range(threads)))
        total = lookups * threads
        assert readings_of(registry)["square"].lookups == total

        # Now with clears in between: what another thread looks up between the
        # note and the clear, some microseconds later, is not counted.
        list(
            pool.map(
                lambda _: [square(n) if n % 100 else square.cache_clear() for n in range(lookups)],
                range(threads),
            )
        )
    running.set()
    watcher.join()

    assert all(later == later.at_least(earlier) for earlier, later in zip(looks, looks[1:]))  # noqa: B905, RUF007 - `pairwise` and `strict` would hide that the second is shorter
    seen = readings_of(registry)["square"].lookups
    truth = total + threads * lookups * 99 // 100
    assert seen is not None
    assert seen <= truth


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_counts_its_own_lookups_and_the_parent_its_own(
    registry: CacheRegistry,
) -> None:
    square = make_square()
    registry.observe(square, name="square")
    counted = count_lookups({1: 1})
    registry.observe(counted, name="counted")
    square(1), square(1), counted.get(1)
    registry.readings()

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        square(1), square(2), counted.get(1)
        square.cache_clear()
        square(1)
        os.write(writer, pickle.dumps([tuple(r.counts) for r in readings_of(registry).values()]))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        of_child = pickle.loads(pipe.read())  # noqa: S301 - our own child
    os.waitpid(child, 0)

    assert of_child == [(1, 2, 0, None, 1), (1, 0, None, None, 0)]
    assert [tuple(r.counts) for r in readings_of(registry).values()] == [
        (1, 1, 0, None, 0),
        (1, 0, None, None, 0),
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_another_thread_looks_does_not_hang_the_child(
    registry: CacheRegistry,
) -> None:
    entered, leave = threading.Event(), threading.Event()
    cache = Told()

    def wait() -> CacheReading:
        entered.set()
        leave.wait(HANG_SECONDS)
        return CacheReading(hits=1)

    cache.tell = wait
    registry.observe(cache, name="told")
    watcher = threading.Thread(target=registry.readings)
    watcher.start()
    assert entered.wait(HANG_SECONDS)

    child = os.fork()
    if child == 0:
        die_of_a_hang()
        cache.tell = lambda: CacheReading(hits=1)
        registry.observe(make_square(), name="square")
        registry.readings()
        os._exit(0)
    leave.set()
    watcher.join()

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- bad input ---


def test_an_adapter_that_raises_is_one_log_record_and_no_value(
    registry: CacheRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    cache, square = Told(CacheReading(hits=1)), make_square()
    registry.observe(cache, name="told")
    registry.observe(square, name="square")

    def fail() -> None:
        raise OSError("the disk is gone")

    cache.tell = fail
    looks = [list(readings_of(registry)) for _ in range(3)]
    cache.tell = lambda: CacheReading(hits=2)

    assert looks == [["square"]] * 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "'told'" in caplog.text
    assert "the disk is gone" in caplog.text
    assert readings_of(registry)["told"] == CacheReading(hits=2), "it is asked again"


def test_an_adapter_that_leaves_the_interpreter_is_held_back(registry: CacheRegistry) -> None:
    cache = Told(CacheReading(hits=1))
    registry.observe(cache, name="told")
    cache.tell = sys.exit

    assert registry.readings() == ()


@pytest.mark.parametrize("nonsense", [-1, float("nan"), float("inf"), "many"])
def test_impossible_numbers_are_one_log_record_and_not_known(
    registry: CacheRegistry,
    caplog: pytest.LogCaptureFixture,
    nonsense: Any,  # noqa: ANN401 - planted
) -> None:
    registry.observe(Told(CacheReading(hits=nonsense, misses=5)), name="gone at once")
    cache = Told(CacheReading(hits=nonsense, misses=5))
    registry.observe(cache, name="told")

    looks = [readings_of(registry)["told"] for _ in range(3)]

    assert looks == [CacheReading(misses=5)] * 3
    assert len(caplog.records) == 1
    assert "statistics are impossible: hits" in caplog.text


def test_a_cache_that_hangs_is_left_out_and_asked_again_when_it_answers(
    registry: CacheRegistry, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    square, cache = make_square(), Told()
    begun, answer, asked = threading.Event(), threading.Event(), []

    def hang() -> CacheReading:
        asked.append(1)
        begun.set()
        answer.wait(HANG_SECONDS)
        return CacheReading(hits=7)

    cache.tell = hang
    registry.observe(cache, name="told")
    registry.observe(square, name="square")
    threads_before = set(threading.enumerate())

    with monkeypatch.context() as hurried:
        hurried.setattr(cache_registry, "LOOK_SECONDS", 0.05)  # it hangs for any time
        looks = [list(readings_of(registry)) for _ in range(3)]

    assert begun.wait(HANG_SECONDS)
    assert looks == [["square"]] * 3
    assert asked == [1], "it was asked again while it hung"
    assert len(set(threading.enumerate()) - threads_before) <= 1
    assert "did not answer" in caplog.text
    assert len(caplog.records) == 1

    answer.set()
    while "told" not in (found := readings_of(registry)):
        pass  # until the thread that hung has noticed; pytest's own limit guards it
    assert found["told"].hits == 7


def test_a_stranger_s_adapter_is_asked_first_and_taken_to_block(registry: CacheRegistry) -> None:
    class Lists:
        name = "lists"

        def recognises(self, cache: object, /) -> bool:
            return isinstance(cache, Told)

        def read(self, _cache: object, /) -> CacheReading:
            return CacheReading(entries=int(threading.current_thread() is threading.main_thread()))

    cache = Told(CacheReading(hits=1))
    registry.observe(cache, name="told", adapters=(Lists(),))

    assert readings_of(registry) == {"told": CacheReading(entries=0)}


def test_a_size_is_estimated_on_request_and_marked(registry: CacheRegistry) -> None:
    cache = count_lookups(dict.fromkeys(range(1000), "x" * 1000))
    registry.observe(cache, name="plain")
    registry.observe(count_lookups(dict(cache)), name="gone")
    sized = count_lookups(dict.fromkeys(range(1000), "x" * 1000))
    registry.observe(sized, name="sized", size=True)

    found = readings_of(registry)

    assert found["plain"].size_bytes is None
    assert found["sized"].estimated == {"size_bytes"}
    assert found["sized"].size_bytes == pytest.approx(1000 * (1000 + 49 + 28) + 36_960, rel=0.05)


def test_findings_need_no_collection(registry: CacheRegistry) -> None:
    square = make_square()
    registry.observe(square, name="square")
    for n in range(200):
        square(n)

    assert {finding.rule for finding in registry.findings()} == {"never_hit", "thrashing"}


def test_traits_are_careful_by_default() -> None:
    assert CacheTraits() == CacheTraits(blocks=True, shared=False, resets=None, clear=None)
