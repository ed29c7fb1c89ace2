from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from support.typed import clean_environment, typed, typed_on_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Has a cache, and says how many entries that holds whenever it is given a line.
# It collects when its program says so, or all the time, as often as argument two says.
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
reader = PeriodicExportingMetricReader(JournalMetricExporter(writer), float(sys.argv[2]))
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
for _ in sys.stdin:
    print(parse.cache_info().currsize, flush=True)
provider.shutdown()
"""


@dataclass(frozen=True)
class Owner:
    """A process that has a cache."""

    child: subprocess.Popen[str]

    def tell(self) -> str:
        """What it says next."""
        assert self.child.stdout is not None
        return self.child.stdout.readline().rstrip()

    def entries(self) -> int:
        """How many entries its cache holds now, as it says itself."""
        assert self.child.stdin is not None
        self.child.stdin.write("?\n")
        self.child.stdin.flush()
        return int(self.tell())


@contextmanager
def owner(
    folder: Path, *, collects_every_ms: float = math.inf, control: str = ""
) -> Iterator[Owner]:
    """A process that has a cache, and takes the requests that *control* allows."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), str(collects_every_ms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(OTEL_PYTHON_CODOMON_CONTROL=control),
    ) as child:
        process = Owner(child)
        assert process.tell() == "ready"
        yield process
        child.communicate()


@pytest.fixture
def willing(tmp_path: Path) -> Iterator[Owner]:
    """A process that empties its cache when it is asked to, at its next collection."""
    with owner(tmp_path, collects_every_ms=10, control="clear") as process:
        yield process


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
    assert done.stderr.endswith("standard input and error are not a terminal; use --yes\n")


def test_who_says_no_at_the_terminal_empties_nothing(shown: Path) -> None:
    code, written = typed_on_terminal(
        "cache-info", "--clear-cache", "--journal", str(shown), keys=b"n\n"
    )

    assert code == 1
    assert "empty 1 cache? [y/N]" in written


def test_a_process_that_takes_no_requests_empties_nothing_and_it_is_said_why(shown: Path) -> None:
    done = info(shown, "--clear-cache", "parse", "--yes", "--timeout", "0.2")

    assert done.returncode == 1
    assert "OTEL_PYTHON_CODOMON_CONTROL=clear" in done.stdout


def test_a_process_that_allows_it_empties_its_cache_and_it_is_said_what_was_freed(
    willing: Owner, tmp_path: Path
) -> None:
    held = willing.entries()

    done = info(tmp_path, "--clear-cache", "parse", "--yes")

    assert (held, willing.entries()) == (64, 0)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"shop:parse: emptied by process {willing.child.pid}; "
        "it held 64 entries at its last collection\n"
    )


def test_who_says_yes_at_the_terminal_empties_it(willing: Owner, tmp_path: Path) -> None:
    code, written = typed_on_terminal(
        "cache-info", "--clear-cache", "--journal", str(tmp_path), keys=b"y\n"
    )

    assert (code, willing.entries()) == (0, 0)
    asked, emptied = (written.index(text) for text in ("[y/N]", "emptied by process"))
    assert asked < emptied
    assert f"shop:parse of process {willing.child.pid}" in written


def test_only_the_process_that_was_named_empties_its_cache(willing: Owner, tmp_path: Path) -> None:
    with owner(tmp_path, collects_every_ms=10, control="clear") as other:
        pid = str(other.child.pid)

        done = info(tmp_path, "--clear-cache", "--yes", "--pid", pid, "--format", "json")

        assert (willing.entries(), other.entries()) == (64, 0)
        assert json.loads(done.stdout)["caches"] == [
            {
                "name": "shop:parse",
                "pid": other.child.pid,
                "freed_entries": 64,
            }
        ]


def test_a_clear_from_outside_is_counted_and_no_count_is_lost(
    willing: Owner, tmp_path: Path
) -> None:
    assert info(tmp_path, "--clear-cache", "--yes").returncode == 0

    def cache() -> dict[str, Any]:
        (found,) = caches(info(tmp_path, "--format", "json"))
        return found

    while cache()["clears"] == 0:
        pass  # until the next collection has told of it
    assert {name: cache()[name] for name in ("hits", "misses", "entries", "clears")} == {
        "hits": 0,
        "misses": 300,
        "entries": 0,
        "clears": 1,
    }
    assert willing.entries() == 0


def test_a_name_that_no_cache_has_empties_nothing(tmp_path: Path) -> None:
    done = info(tmp_path, "--clear-cache", "nothing", "--yes")

    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing was emptied" in done.stderr


def test_what_is_wrong_with_a_cache_is_in_the_report(shown: Path) -> None:
    done = typed("report", "--journal", str(shown), "--format", "json")

    (problem,) = json.loads(done.stdout)["caches"]
    assert (problem["name"], problem["rule"]) == ("shop:parse", "never_hit")
    assert "cache shop:parse" in typed("report", "--journal", str(shown)).stdout
