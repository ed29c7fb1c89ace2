"""Readings reach other processes through the journal, and so do requests to clear."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from otel_codomon.caches.control import ClearRequests
from otel_codomon.caches.operation import by_module, cache_info, clear_caches
from otel_codomon.caches.statistics import CacheReading, Counts
from otel_codomon.journal import control_files, folder as folders
from otel_codomon.journal.control_files import Address
from otel_codomon.journal.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_codomon.caches.operation import CacheState

# Collects each time it is told to, on a journal of its own, as `configure` does.
OWNER = """
import sys
from functools import lru_cache
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from otel_codomon import observe_cache
from otel_codomon.caches.observing import process_caches
from otel_codomon.journal import folder
from otel_codomon.journal.metrics import JournalMetricExporter
from otel_codomon.journal.writer import Writer

writer = Writer(sys.argv[1], stream=folder.METRICS)
reader = PeriodicExportingMetricReader(JournalMetricExporter(writer), float("inf"))
resource = Resource.create({"service.name": "owner"})
provider = MeterProvider([reader], resource, shutdown_on_exit=False)
process_caches.use_meter_provider(provider)

@observe_cache(name="shop:parse")
@lru_cache(maxsize=64)
def parse(n): return n

@observe_cache(name="shop:render")
@lru_cache(maxsize=None)
def render(n): return n

for line in sys.stdin:
    for n in range(int(line)):
        parse(n % 100)
        render(n)
    provider.force_flush()
    print("collected", parse.cache_info().currsize, flush=True)
provider.shutdown()
"""


@dataclass
class Owner:
    """A process that has caches."""

    child: subprocess.Popen[str]

    def collect(self, *, lookups: int = 0) -> str:
        """Have it look up and collect; what it says then."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(f"{lookups}\n")
        self.child.stdin.flush()
        return self.child.stdout.readline().strip()


@contextmanager
def owner(folder: Path, **environ: str) -> Iterator[Owner]:
    child = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error", **environ},
    )
    try:
        yield Owner(child)
    finally:
        child.communicate()
    assert child.returncode == 0


def only(states: tuple[CacheState, ...], name: str) -> CacheState:
    [state] = [state for state in states if state.name == name]
    return state


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_the_caches_of_a_running_process_are_seen_from_another(
    tmp_path: Path, temporality: str
) -> None:
    with owner(tmp_path, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=temporality) as process:
        process.collect(lookups=100)
        before_unix_ns = time.time_ns()
        process.collect(lookups=3000)
        after_unix_ns = time.time_ns()
        states = cache_info(str(tmp_path))

    parse = only(states, "shop:parse")
    assert [state.name for state in states] == ["shop:parse", "shop:render"]
    assert (parse.pid, parse.service, parse.kind) == (process.child.pid, "owner", "lru_cache")
    assert parse.reading == CacheReading(
        hits=0,
        misses=3100,
        evictions=3036,
        clears=0,
        entries=64,
        capacity=64,
        estimated=frozenset({"evictions"}),
    )
    assert before_unix_ns <= parse.taken_unix_ns <= after_unix_ns
    assert {finding.rule for finding in parse.findings} == {"never_hit", "thrashing"}
    assert {finding.rule for finding in only(states, "shop:render").findings} == {
        "growing_without_limit"
    }


def test_caches_are_summed_by_module(tmp_path: Path) -> None:
    with owner(tmp_path) as process:
        process.collect(lookups=100)
        states = cache_info(str(tmp_path))

    [shop] = by_module(states)
    assert shop.name == "shop"
    assert shop.reading.counts == Counts(0, 200, 36, None, 0)
    assert (shop.reading.entries, shop.reading.capacity) == (164, None)


def test_a_process_that_ended_has_no_caches(tmp_path: Path) -> None:
    with owner(tmp_path) as process:
        process.collect(lookups=10)
        assert len(cache_info(str(tmp_path))) == 2

    assert cache_info(str(tmp_path)) == ()


def test_where_there_is_no_journal_there_are_no_caches(tmp_path: Path) -> None:
    assert cache_info(str(tmp_path / "none")) == ()


def test_a_cache_is_cleared_from_another_process_where_that_is_allowed(tmp_path: Path) -> None:
    with owner(tmp_path, OTEL_PYTHON_CODOMON_CONTROL="clear") as process:
        assert process.collect(lookups=100) == "collected 64"
        states = cache_info(str(tmp_path), name="parse")

        outcomes = clear_caches(
            str(tmp_path), states, timeout_seconds=600, wait=lambda _: process.collect()
        )

        assert [(outcome.cache.name, outcome.failure) for outcome in outcomes] == [
            ("shop:parse", None)
        ]
        assert process.collect() == "collected 0"
        after = only(cache_info(str(tmp_path)), "shop:parse")
        assert (after.reading.misses, after.reading.clears) == (100, 1)
    assert list((tmp_path / "control").iterdir()) == []


def test_nothing_is_cleared_where_that_was_not_allowed(tmp_path: Path) -> None:
    with owner(tmp_path) as process:
        process.collect(lookups=100)
        states = cache_info(str(tmp_path))

        outcomes = clear_caches(str(tmp_path), states, timeout_seconds=0.5)

        assert process.collect() == "collected 64"
    assert all("OTEL_PYTHON_CODOMON_CONTROL=clear" in (o.failure or "") for o in outcomes)
    assert list((tmp_path / "control").iterdir()) == [], "the request was left behind"


# --- requests that are none ---


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(str(tmp_path), stream=folders.METRICS)
    yield writer
    writer.forget()


def taker(cleared: list[str]) -> ClearRequests:
    def clear(name: str) -> str | None:
        cleared.append(name)
        return None if name == "parse" else "planted"

    return ClearRequests(
        clear, lambda: ("parse", "stuck"), {"OTEL_PYTHON_CODOMON_CONTROL": "clear"}
    )


def test_each_cache_has_an_answer_of_its_own(tmp_path: Path, writer: Writer) -> None:
    body = {"action": "clear", "caches": ["parse", "stuck", "unknown", "parse"]}
    address = control_files.post(str(tmp_path), writer.session, body)
    cleared: list[str] = []

    taker(cleared).take()

    assert cleared == ["parse", "stuck"]
    assert control_files.fetch(str(tmp_path), address) == {
        "caches": {
            "parse": None,
            "stuck": "planted",
            "unknown": "no cache of this name is observed",
        }
    }


def readable_by_others(path: Path) -> None:
    path.write_text('{"action": "clear", "caches": ["parse"]}')
    path.chmod(0o644)


def a_link(path: Path) -> None:
    target = path.with_name("target")
    target.write_text('{"action": "clear", "caches": ["parse"]}')
    target.chmod(0o600)
    path.symlink_to(target)


def a_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def private(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.touch(mode=0o600)
        path.write_text(text)

    return write


@pytest.mark.parametrize(
    "plant",
    [
        readable_by_others,
        a_link,
        a_pipe,
        private("no json"),
        private("[" * 100_000),
        private("[]"),
        private('{"action": "clear"}'),
        private('{"action": "clear", "caches": [1]}'),
        private('{"action": "stop", "caches": ["parse"]}'),
        private(json.dumps({"action": "clear", "caches": ["parse"], "x": "x" * 1_000_000})),
    ],
)
def test_what_cannot_be_trusted_or_understood_clears_nothing(
    tmp_path: Path, writer: Writer, plant: Callable[[Path], None]
) -> None:
    address = Address(writer.session, "token")
    control_files.post(str(tmp_path), b"somebody", {})  # makes the folder
    path = tmp_path / "control" / f"{address.stem}.request"
    plant(path)
    cleared: list[str] = []

    taker(cleared).take()

    assert cleared == []
    assert not path.exists()
    assert control_files.fetch(str(tmp_path), address) == {
        "refused": "this process does not understand the request"
    }


def test_a_request_to_another_process_is_left_alone(tmp_path: Path, writer: Writer) -> None:
    body = {"action": "clear", "caches": ["parse"]}
    control_files.post(str(tmp_path), bytes(8), body)
    cleared: list[str] = []

    taker(cleared).take()

    assert writer.session != bytes(8)
    assert cleared == []
    assert len(list((tmp_path / "control").iterdir())) == 1


def test_requests_are_private_in_a_folder_that_others_can_reach(tmp_path: Path) -> None:
    control = tmp_path / "control"
    control.mkdir()
    control.chmod(0o777)

    control_files.post(str(tmp_path), bytes(8), {})

    assert control.stat().st_mode & 0o777 == 0o777
    assert [path.stat().st_mode & 0o777 for path in control.iterdir()] == [0o600]


def test_what_nobody_fetched_is_swept_away(tmp_path: Path) -> None:
    address = control_files.post(str(tmp_path), bytes(8), {})
    old = tmp_path / "control" / f"{address.stem}.request"
    os.utime(old, (0, 0))

    control_files.post(str(tmp_path), bytes(8), {})

    assert not old.exists()


def test_a_wrong_permission_allows_nothing_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    ClearRequests(lambda _: None, tuple, {"OTEL_PYTHON_CODOMON_CONTROL": "everything"}).take()

    assert "OTEL_PYTHON_CODOMON_CONTROL" in caplog.text
    assert "requests are refused" in caplog.text


def test_no_thread_is_needed_to_take_requests() -> None:
    before = set(threading.enumerate())

    ClearRequests(lambda _: None, tuple, {}).take()

    assert set(threading.enumerate()) <= before  # one of an earlier test may end meanwhile
