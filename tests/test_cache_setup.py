"""Caches that are set up wrong are found before anything is looked up in them; repeats replace."""

from __future__ import annotations

import importlib
import subprocess
import sys
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import pytest
from cachetools import LRUCache, TTLCache, cached

from otel_codomon import CacheNameTakenError, cache_findings, count_lookups, observe_cache
from otel_codomon.caches.adapters.lookup import read_cache
from otel_codomon.caches.observing import process_caches

if TYPE_CHECKING:
    from pathlib import Path


class Report:
    """Has caches on its methods."""

    @lru_cache(maxsize=8)  # noqa: B019 - what is found
    def total(self, year: int) -> int:
        return year

    @staticmethod
    @lru_cache(maxsize=8)
    def of(year: int) -> int:
        return year

    @cached_property
    def name(self) -> str:
        return "x"


def keyed(self: int) -> int:
    """No method, whatever its argument is called."""
    return self


SETUPS: dict[str, tuple[Any, set[str]]] = {
    "fine": (lru_cache(maxsize=8)(keyed), set()),
    "capacity 0": (lru_cache(maxsize=0)(keyed), {"no_capacity"}),
    "capacity 0 of cachetools": (cached(LRUCache(0), info=True)(keyed), {"no_capacity"}),
    "lifetime 0": (cached(TTLCache(8, ttl=0), info=True)(keyed), {"no_lifetime"}),
    "lifetime": (cached(TTLCache(8, ttl=60), info=True)(keyed), set()),
    "no limit": (cache(keyed), {"unbounded"}),
    "no limit needed": (cache(lambda: 1), set()),
    "a mapping": (count_lookups({}), {"unbounded"}),
    "a counted lifetime of 0": (count_lookups(TTLCache(8, ttl=0)), {"no_lifetime"}),
    "on a method": (Report.total, {"keeps_instances"}),
    "on a static method": (Report.of, set()),
}


@pytest.mark.parametrize(("target", "rules"), SETUPS.values(), ids=SETUPS)
def test_a_cache_is_judged_by_its_setup_before_any_use(target: Any, rules: set[str]) -> None:  # noqa: ANN401 - any cache
    observe_cache(target, name="subject")
    try:
        found = [finding for finding in cache_findings() if finding.name == "subject"]
    finally:
        process_caches.registry.forget("subject")

    assert {finding.rule for finding in found} == rules
    assert all("{" not in str(finding) for finding in found)


def test_one_that_grows_is_reported_for_that_alone() -> None:
    target = cache(keyed)
    observe_cache(target, name="subject")
    try:
        for key in range(2000):
            target(key)
        rules = {finding.rule for finding in cache_findings() if finding.name == "subject"}
    finally:
        process_caches.registry.forget("subject")

    assert "growing_without_limit" in rules
    assert "unbounded" not in rules


# --- what is observed again ------------------------------------------------------------

_CELL = """
from functools import lru_cache
from otel_codomon import observe_cache
{decorator}
@lru_cache
def parse(x):
    return x
first = parse
observe_cache(lru_cache(repr), name="named"){more}
"""


@pytest.mark.parametrize("decorator", ["@observe_cache", "@observe_cache()"])
def test_a_cell_that_is_run_again_replaces_its_caches_and_goes_on_from_their_counts(
    decorator: str,
) -> None:
    cell = compile(_CELL.format(decorator=decorator, more=""), "<cell>", "exec")
    module = f"notebook{len(decorator)}"
    space: dict[str, Any] = {"__name__": module}
    kept = []
    try:
        for _ in range(3):
            exec(cell, space)  # noqa: S102 - what a notebook does
            space["parse"](1)
            kept.append(space["parse"])  # the one before is still in use somewhere
        readings = {name: reading for name, _, reading in process_caches.registry.readings()}
    finally:
        for name in (f"{module}:parse", "named"):
            process_caches.registry.forget(name)

    assert readings[f"{module}:parse"].misses == 3


def test_an_edited_cell_replaces_its_caches() -> None:
    space: dict[str, Any] = {"__name__": "notebook"}
    try:
        for number in range(2):  # each text of a cell has a file name of its own
            text = "\n" * number + _CELL.format(decorator="@observe_cache", more="")
            exec(compile(text, f"cell-{number}.py", "exec"), space)  # noqa: S102 - as above
    finally:
        for name in ("notebook:parse", "named"):
            process_caches.registry.forget(name)


def test_a_module_that_is_loaded_again_replaces_its_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "reloaded_module.py"
    path.write_text(_CELL.format(decorator="@observe_cache", more=""))
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        module = importlib.import_module("reloaded_module")
        path.write_text("\n\n" + path.read_text())  # its lines have moved
        importlib.reload(module)
    finally:
        sys.modules.pop("reloaded_module", None)
        for name in ("reloaded_module:parse", "named"):
            process_caches.registry.forget(name)


def test_two_caches_of_one_run_cannot_have_one_name() -> None:
    text = _CELL.format(
        decorator="@observe_cache", more='\nobserve_cache(lru_cache(ascii), name="named")'
    ).replace("observe_cache(lru_cache(repr)", "kept = observe_cache(lru_cache(repr)")
    try:
        with pytest.raises(CacheNameTakenError, match="another cache has this name"):
            exec(compile(text, "<cell>", "exec"), {"__name__": "notebook"})  # noqa: S102 - as above
    finally:
        for name in ("notebook:parse", "named"):
            process_caches.registry.forget(name)


# --- what is counted of a mapping ---------------------------------------------------------


def test_an_eviction_is_no_lookup() -> None:
    counted: LRUCache[int, int] = count_lookups(LRUCache(2))

    for key in range(10):
        counted[key] = key

    assert read_cache(counted).counts[:3] == (0, 0, 8)


def test_pop_raises_and_returns_as_the_mapping_does() -> None:
    mappings: list[Any] = [{}, LRUCache(2)]
    for mapping in mappings:
        counted = count_lookups(mapping)
        with pytest.raises(KeyError, match="'gone'"):
            counted.pop("gone")
        assert counted.pop("gone", 3) == 3
        counted["here"] = None
        assert counted.pop("here") is None
        assert read_cache(counted).counts[:2] == (1, 2)


# --- from another process, at once ----------------------------------------------------------

_PROGRAM = """
import sys
from functools import lru_cache
from otel_codomon import configure, observe_cache
configure()
sys.stdin.readline()
@observe_cache
@lru_cache(maxsize=8)
def parse(x): return x
parse(1)
print("observed", flush=True)
sys.stdin.read()
"""


def test_the_caches_of_a_program_without_an_endpoint_are_shown_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_CODOMON_JOURNAL", str(tmp_path / "journal"))
    show = [sys.executable, "-m", "otel_codomon", "cache-info", "--format", "json"]
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        # Long after the first collection, and long before the next: a minute.
        while not list((tmp_path / "journal").glob("m-*.seg")):
            assert program.poll() is None
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.stdout.readline() == "observed\n"
        shown = ""
        while "parse" not in shown:
            shown = subprocess.run(show, capture_output=True, text=True, check=False).stdout
            assert program.poll() is None
        program.stdin.close()
