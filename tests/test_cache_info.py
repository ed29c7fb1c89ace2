from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.typed import clean_environment, typed, typed_on_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Has two caches, and takes requests to empty them whenever it is told to collect.
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
provider = MeterProvider([reader], Resource({"service.name": "shop"}), shutdown_on_exit=False)
process_caches.use_meter_provider(provider)

@observe_cache(name="shop:parse")
@lru_cache(maxsize=64)
def parse(n): return n

provider.force_flush()
for n in range(300):
    parse(n % 100)
provider.force_flush()
print("ready", flush=True)
sys.stdin.read()
provider.shutdown()
"""


@contextmanager
def owner(folder: Path) -> Iterator[int]:
    """A process that has a cache; its id."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield child.pid
        child.communicate()


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Path]:
    with owner(tmp_path):
        yield tmp_path


def info(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return typed("cache-info", "--journal", str(folder), *arguments)


def caches(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done.stdout)["caches"]
    return found


def test_a_cache_of_another_process_is_shown_in_every_form(shown: Path) -> None:
    told = info(shown, "--format", "json")
    lines = info(shown, "--format", "jsonl")
    rows = info(shown, "--format", "csv")
    text = info(shown)

    (cache,) = caches(told)
    assert (cache["name"], cache["kind"], cache["service"]) == ("shop:parse", "lru_cache", "shop")
    assert (cache["hits"], cache["misses"], cache["hit_share"]) == (0, 300, 0.0)
    assert (cache["entries"], cache["capacity"]) == (64, 64)
    assert [json.loads(line) for line in lines.stdout.splitlines()] == [cache]
    (row,) = csv.DictReader(io.StringIO(rows.stdout))
    assert (row["name"], row["misses"]) == ("shop:parse", "300")
    assert "shop:parse" in text.stdout


@pytest.mark.parametrize(("what", "count"), [("function", 1), ("module", 0), ("all", 1)])
def test_what_narrows_the_caches(what: str, count: int, shown: Path) -> None:
    assert len(caches(info(shown, what, "--format", "json"))) == count


def test_a_process_narrows_the_caches(shown: Path) -> None:
    assert caches(info(shown, "--pid", "1", "--format", "json")) == []


def test_without_statistics_the_names_are_left(shown: Path) -> None:
    (cache,) = caches(info(shown, "--no-show-stats", "--format", "json"))

    assert cache.keys() == {"name", "kind", "pid", "service"}


def test_nobody_at_a_terminal_is_not_asked(shown: Path) -> None:
    done = info(shown, "--clear-cache")

    assert done.returncode == 2
    assert done.stderr.endswith("this is no terminal; say --yes\n")


def test_who_says_no_at_the_terminal_empties_nothing(shown: Path) -> None:
    code, written = typed_on_terminal(
        "cache-info", "--clear-cache", "--journal", str(shown), keys=b"n\n"
    )

    assert code == 1
    assert "empty these 1 caches? [y/N]" in written


def test_a_process_that_takes_no_requests_empties_nothing_and_it_is_said_why(shown: Path) -> None:
    done = info(shown, "--clear-cache", "parse", "--yes", "--timeout", "0.2")

    assert done.returncode == 1
    assert "OTEL_PYTHON_CODOMON_CONTROL=clear" in done.stdout


def test_a_name_that_no_cache_has_empties_nothing(tmp_path: Path) -> None:
    done = info(tmp_path, "--clear-cache", "nothing", "--yes")

    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing was emptied" in done.stderr


def test_what_is_wrong_with_a_cache_is_in_the_report(shown: Path) -> None:
    done = typed("report", "--journal", str(shown), "--format", "json")

    (problem,) = json.loads(done.stdout)["caches"]
    assert (problem["name"], problem["rule"]) == ("shop:parse", "never_hit")
    assert "cache shop:parse" in typed("report", "--journal", str(shown)).stdout
