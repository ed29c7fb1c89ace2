"""Readings as metrics, and the public face on top of them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import types
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import pytest

from otel_codomon import CacheReading, InvalidArgumentError, names
from otel_codomon.caches import observing
from otel_codomon.caches.metrics import CacheMetrics
from otel_codomon.caches.observing import CacheObserver
from otel_codomon.caches.statistics import NamedReading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.testing import Recorder


@pytest.fixture
def observer(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Iterator[CacheObserver]:
    """A registry of its own behind the public functions, reported to *recorder*."""
    observer = CacheObserver()
    observer.use_meter_provider(recorder.meter_provider)
    monkeypatch.setattr(observing, "process_caches", observer)
    yield observer
    observer.registry.close()


def points(recorder: Recorder) -> dict[str, dict[tuple[object, ...], Any]]:
    """Collect: for each metric its values by the values of their attributes."""
    return {
        name: {tuple((point.attributes or {}).values()): point.value for point in found}  # type: ignore[union-attr] # no histograms here
        for name, found in recorder.metrics().items()
    }


FULL = CacheReading(1, 2, 3, 4, 5, 6, 7, 8, estimated=frozenset({"size_bytes"}))


def test_each_field_of_a_reading_is_a_metric_of_its_own(recorder: Recorder) -> None:
    CacheMetrics(lambda: (NamedReading("parse", "any", FULL),), recorder.meter_provider)

    assert points(recorder) == {
        "codomon.cache.requests": {("parse", "any", "hit"): 1, ("parse", "any", "miss"): 2},
        "codomon.cache.evictions": {("parse", "any"): 3},
        "codomon.cache.expirations": {("parse", "any"): 4},
        "codomon.cache.clears": {("parse", "any"): 5},
        "codomon.cache.entries": {("parse", "any"): 6},
        "codomon.cache.capacity": {("parse", "any"): 7},
        "codomon.cache.size": {("parse", "any", True): 8},
    }


def test_the_attributes_are_those_of_the_table(recorder: Recorder) -> None:
    CacheMetrics(lambda: (NamedReading("parse", "any", FULL),), recorder.meter_provider)

    for name, found in recorder.metrics().items():
        for point in found:
            assert set(point.attributes or {}) <= set(names.METRICS[name].attributes)


def test_what_is_not_known_is_not_reported(recorder: Recorder) -> None:
    CacheMetrics(
        lambda: (NamedReading("parse", "any", CacheReading(entries=0)),), recorder.meter_provider
    )

    assert points(recorder) == {"codomon.cache.entries": {("parse", "any"): 0}}


def test_a_collection_is_one_look(recorder: Recorder) -> None:
    looks = []

    def look() -> tuple[NamedReading, ...]:
        looks.append(1)
        return (NamedReading("parse", "any", FULL._replace(hits=len(looks))),)

    CacheMetrics(look, recorder.meter_provider)

    for collection in range(1, 4):
        assert points(recorder)["codomon.cache.requests"]["parse", "any", "hit"] == collection
        assert len(looks) == collection


def test_a_number_that_telemetry_cannot_carry_is_cut_off(recorder: Recorder) -> None:
    reading = NamedReading("parse", "any", CacheReading(hits=2**70))
    CacheMetrics(lambda: (reading,), recorder.meter_provider)

    assert points(recorder)["codomon.cache.requests"] == {("parse", "any", "hit"): 2**63 - 1}


def test_a_look_that_raises_reports_nothing_and_is_logged_once(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> tuple[NamedReading, ...]:
        raise OSError("planted")

    CacheMetrics(fail, recorder.meter_provider)

    assert points(recorder) == {}
    assert points(recorder) == {}
    assert len([r for r in caplog.records if "codomon.cache.requests" in r.message]) <= 1


def test_one_line_makes_a_cache_visible(observer: CacheObserver, recorder: Recorder) -> None:
    @observing.observe_cache
    @lru_cache(maxsize=8)
    def square(n: int) -> int:
        return n * n

    square(3), square(3)

    name = f"{__name__}:{square.__wrapped__.__qualname__}"
    assert observer.registry.names() == (name,)
    assert points(recorder)["codomon.cache.requests"] == {
        (name, "lru_cache", "hit"): 1,
        (name, "lru_cache", "miss"): 1,
    }


def test_the_decorator_takes_arguments(observer: CacheObserver) -> None:
    @observing.observe_cache(name="square")
    @cache
    def square(n: int) -> int:
        return n * n

    assert square(3) == 9
    assert observer.registry.names() == ("square",)


def test_counters_do_not_go_back_and_silence_is_not_zero(
    observer: CacheObserver, recorder: Recorder
) -> None:
    @lru_cache
    def square(n: int) -> int:
        return n * n

    observing.observe_cache(square, name="square")
    square(1)
    before = points(recorder)
    square.cache_clear()

    after = points(recorder)
    assert before["codomon.cache.requests"]["square", "lru_cache", "miss"] == 1
    assert after["codomon.cache.requests"]["square", "lru_cache", "miss"] == 1
    assert after["codomon.cache.clears"] == {("square", "lru_cache"): 1}

    del square
    assert points(recorder) == {}
    assert observer.registry.names() == ()


def test_the_chosen_provider_takes_over_and_gives_back(recorder: Recorder) -> None:
    observer = CacheObserver()
    observer.use_meter_provider(recorder.meter_provider)
    square = cache(lambda n: n)
    observer.registry.observe(square, name="square")
    assert points(recorder)

    observer.forget_meter_provider()

    assert points(recorder) == {}
    observer.registry.close()


def test_a_cache_that_may_block_is_read_also_in_the_last_collection_of_a_process() -> None:
    program = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from otel_codomon import CacheReading, observe_cache
from otel_codomon.caches import registry

registry.LOOK_SECONDS = registry.COLLECTION_SECONDS = 60.0  # a slow machine takes its time
reader = PeriodicExportingMetricReader(ConsoleMetricExporter(), 3_600_000)
metrics.set_meter_provider(MeterProvider([reader]))

class Told:
    def cache_reading(self):
        return CacheReading(hits=4711)

told = Told()
observe_cache(told, name="told")
"""

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert b"4711" in ended.stdout
    assert ended.stderr == b""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_reports_its_own_look(observer: CacheObserver, recorder: Recorder) -> None:
    square = cache(lambda n: n)
    observer.registry.observe(square, name="square")
    square(1)
    points(recorder)

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        for n in range(10, 15):
            square(n)
        os.write(writing, repr(points(recorder)["codomon.cache.requests"]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)

    assert ast.literal_eval(told) == {
        ("square", "lru_cache", "hit"): 0,
        ("square", "lru_cache", "miss"): 5,
    }


# --- modules ---


def make_module(name: str, source: str) -> types.ModuleType:
    module = types.ModuleType(name)
    exec(source, module.__dict__)  # noqa: S102 - our own source
    return module


SOURCE = """
from functools import cache, lru_cache
from os.path import join
import re
from {other} import elsewhere

class Lazy:
    def __getattr__(self, name):
        raise AssertionError(f"{{name}} of a lazy object was asked for")

lazy = Lazy()

@lru_cache
def plain(n): return n

class Outer:
    @lru_cache(maxsize=3)
    def method(self): return 1

    @staticmethod
    @cache
    def static(): return 1

    @classmethod
    @cache
    def of_class(cls): return 1

    class Inner:
        @cache
        def method(self): return 1

def make(): return cache(lambda: None)

first, second = make(), make()
"""


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    other = make_module("demo_pkg", "from functools import cache\n@cache\ndef elsewhere(): pass")
    monkeypatch.setitem(sys.modules, "demo_pkg", other)
    module = make_module("demo_pkg.part", SOURCE.format(other="demo_pkg"))
    monkeypatch.setitem(sys.modules, "demo_pkg.part", module)
    return module


PART = {
    "demo_pkg.part:plain",
    "demo_pkg.part:Outer.method",
    "demo_pkg.part:Outer.static",
    "demo_pkg.part:Outer.of_class",
    "demo_pkg.part:Outer.Inner.method",
    "demo_pkg.part:make.<locals>.<lambda>",
    "demo_pkg.part:second",
}


def test_a_module_s_caches_are_found_in_its_classes_too(
    observer: CacheObserver, modules: types.ModuleType
) -> None:
    assert set(observing.observe_module(modules)) == PART
    assert observing.observe_module(modules) == ()
    assert len(observer.registry.names()) == len(PART)


@pytest.mark.usefixtures("observer", "modules")
def test_a_package_s_loaded_modules_are_searched() -> None:
    found = observing.observe_all(packages=["demo_pkg"])

    assert "demo_pkg:elsewhere" in found
    assert len(found) == len(PART) + 1


@pytest.mark.usefixtures("observer")
def test_a_package_that_is_not_imported_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'no_such_package': it is not imported"):
        observing.observe_all(packages=["no_such_package"])


@pytest.mark.usefixtures("observer")
def test_the_whole_standard_library_can_be_searched() -> None:
    loaded = sorted({name.partition(".")[0] for name in sys.modules} & sys.stdlib_module_names)

    found = observing.observe_all(packages=loaded)

    assert any(name.startswith(("re:", "re.")) for name in found)


def test_no_cache_library_is_imported_until_one_of_its_caches_is_handed_in() -> None:
    program = """
import sys
from functools import lru_cache
import otel_codomon
otel_codomon.observe_cache(lru_cache(print), name="print")
otel_codomon.read_cache(lru_cache(print))
otel_codomon.cache_findings()
print({"aiocache", "async_lru", "cachetools", "diskcache", "django", "joblib", "redis"}
      & set(sys.modules), "opentelemetry.sdk" in sys.modules)
"""

    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert told.stdout.decode().strip() == "set() False"
