"""What observing a cache costs: nothing on a lookup, two microseconds on a look."""

from __future__ import annotations

import copy
import timeit
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Row, in_turn, print_table
from otel_codomon import count_lookups
from otel_codomon.caches.adapters.lookup import find_adapter
from otel_codomon.caches.metrics import CacheMetrics
from otel_codomon.caches.observed import ObservedCache
from otel_codomon.caches.registry import CacheRegistry

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.caches.statistics import NamedReading

CALLS = 1000
LOOK_BAR_SECONDS = 2e-6


def cached() -> Any:  # noqa: ANN401 - with the methods of lru_cache
    @lru_cache(maxsize=128)
    def square(n: int) -> int:
        return n * n

    return square


def lookups(function: Callable[[int], int]) -> Callable[[], object]:
    """A thousand lookups, in C as far as can be, so that the loop weighs little."""
    keys = [n % 64 for n in range(1000)]
    return lambda: list(map(function, keys))


def lookup_rows() -> list[Row]:
    """One lookup, with each cache in both roles: where an object lies in memory matters more."""
    ours_seconds = peer_seconds = 0.0
    first, second = cached(), cached()
    for observed, plain in ((first, second), (second, first)):
        registry = CacheRegistry()
        registry.observe(observed, name="observed")
        ours, peer = in_turn(lookups(observed), lookups(plain), rounds=101, calls=20)
        registry.close()
        ours_seconds, peer_seconds = ours_seconds + ours / 2, peer_seconds + peer / 2
    what = "a lookup in an observed lru_cache"
    return [Row(what, ours_seconds * 1e6, peer_seconds * 1e6, "ns", 1.02, "unobserved")]


def counting_rows() -> list[Row]:
    """What `count_lookups` adds: the only thing here that is on a cache's path."""
    rows = []
    for make in (dict, _lru_cache_of_cachetools):
        plain: Any = make()
        plain.update({n: n for n in range(64)})
        counted = count_lookups(copy.copy(plain))
        ours, peer = in_turn(lookups(counted.__getitem__), lookups(plain.__getitem__), calls=20)
        name = type(plain).__name__
        what = f"a lookup in a counted {name} (opt-in)"
        rows.append(Row(what, ours * 1e6, peer * 1e6, "ns", None, name))
    return rows


def _lru_cache_of_cachetools() -> Any:  # noqa: ANN401 - imported by name
    import cachetools

    return cachetools.LRUCache(64)


def _timed_cache_of_cachetools() -> Any:  # noqa: ANN401 - imported by name
    import cachetools

    return cachetools.TTLCache(64, ttl=3600)


def look_rows() -> list[Row]:
    """A look at a cache that was used since the last one, less the library's own call."""
    rows = []
    cachetools_cached = _cachetools_cached()
    for what, cache, use, own in (
        ("lru_cache", (square := cached()), lambda: square(1), square.cache_info),
        (
            "cachetools.cached(info=True)",
            cachetools_cached,
            lambda: cachetools_cached(1),
            cachetools_cached.cache_info,
        ),
        *map(_counted_row, (dict, _lru_cache_of_cachetools, _timed_cache_of_cachetools)),
    ):
        adapter = find_adapter(cache)
        observed = ObservedCache(cache, name=what, adapter=adapter)
        look = _seconds(lambda use=use, look=observed.read: (use(), look()))  # type: ignore[misc] # bound here
        library = _seconds(lambda use=use, own=own: (use(), own()))  # type: ignore[misc] # bound here
        own_call = _seconds(own)
        rows.append(
            Row(
                f"a look at {what}, less its own call",
                (look - library) * 1e6,
                own_call * 1e6,
                "us",
                None,
                f"cache_info(); bar {LOOK_BAR_SECONDS * 1e6:g} us: "
                + ("ok" if look - library <= LOOK_BAR_SECONDS else "OVER"),
            )
        )
    return rows


def _counted_row(make: Callable[[], Any]) -> tuple[str, Any, Callable[[], Any], Callable[[], Any]]:
    counted = count_lookups(make())
    counted[1] = 1
    return f"a counted {type(counted).__name__}", counted, lambda: counted[1], lambda: None


def _cachetools_cached() -> Any:  # noqa: ANN401 - with the methods of cachetools
    import cachetools

    return cachetools.cached(cachetools.LRUCache(128), info=True)(str)


def collection_rows() -> list[Row]:
    """A collection of 500 caches through the SDK, against the SDK with as many ready numbers."""
    registry, caches = CacheRegistry(), [cached() for _ in range(500)]
    for number, cache in enumerate(caches):
        registry.observe(cache, name=str(number))
    looks = _seconds(registry.readings, calls=20)
    ready = registry.readings()
    ours, peer = in_turn(_collector(registry.readings), _collector(lambda: ready), rounds=15)
    registry.close()
    return [
        Row("a collection of 500 caches", ours * 1e3, peer * 1e3, "ms", 1.2, "with no looks"),
        Row("of that the looks", looks * 1e3, ours * 1e3, "ms", None, "the collection"),
    ]


def _collector(readings: Callable[[], tuple[NamedReading, ...]]) -> Callable[[], object]:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    CacheMetrics(readings, MeterProvider([reader], shutdown_on_exit=False))
    return reader.get_metrics_data


def _seconds(function: Callable[[], object], *, calls: int = CALLS) -> float:
    """Seconds of a call where nobody else had the processor: the least of many short timings."""
    return min(timeit.repeat(function, number=calls, repeat=200)) / calls


if __name__ == "__main__":
    print_table(
        "Cost of observing caches",
        [*lookup_rows(), *counting_rows(), *look_rows(), *collection_rows()],
    )
