"""`otel-codomon list` and `show`, as somebody types them."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from support.journal import Journal
from support.typed import PATIENCE_SECONDS

from otel_codomon import execution
from otel_codomon.cli.drawing import draw_curve
from otel_codomon.values.usage import Curve, Usage

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Journal(tmp_path / "journal"):
        for index in range(3):
            with execution(f"number {index}", language="python") as current:
                current.record(exit_code=index)
    return tmp_path / "journal"


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-m", "otel_codomon", *arguments, "--journal", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**clean, "LC_ALL": "C.UTF-8"},
        timeout=PATIENCE_SECONDS,
    )


def test_the_newest_are_listed_first(folder: Path) -> None:
    done = command(folder, "list")

    head, *rows = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert head.split() == ["id", "name", "outcome", "started", "took", "CPU", "memory"]
    assert [row.split()[1:4] for row in rows] == [
        ["number", "2", "error"],
        ["number", "1", "error"],
        ["number", "0", "success"],
    ]


def test_only_those_are_listed_that_were_asked_for(folder: Path) -> None:
    by_name = command(folder, "list", "--name", "number 1", "--format", "jsonl")
    by_outcome = command(folder, "list", "--outcome", "error", "-n", "1", "--format", "jsonl")
    none = command(folder, "list", "--outcome", "timeout")

    assert [json.loads(line)["name"] for line in by_name.stdout.splitlines()] == ["number 1"]
    assert [json.loads(line)["name"] for line in by_outcome.stdout.splitlines()] == ["number 2"]
    assert none.stdout.startswith("no executions recorded in ")


def test_a_list_is_data_too(folder: Path) -> None:
    as_json = json.loads(command(folder, "list", "--all", "--format", "json").stdout)
    as_csv = csv.DictReader(io.StringIO(command(folder, "list", "--format", "csv").stdout))

    assert [row["name"] for row in as_json] == ["number 2", "number 1", "number 0"]
    assert [row["name"] for row in as_csv] == ["number 2", "number 1", "number 0"]


@pytest.mark.parametrize("count", ["0", "-3", "many"])
def test_a_count_that_means_nothing_is_wrong_usage(folder: Path, count: str) -> None:
    done = command(folder, "list", f"--limit={count}")

    assert done.returncode == 2
    assert "it is no number above 0" in done.stderr


def test_one_execution_is_shown_with_its_curve(tmp_path: Path) -> None:
    curve = Curve(
        seconds=(0.5, 1.0, 1.5), cores=(0.5, 2.0, 1.0), memory_bytes=(MIB, 8 * MIB, 4 * MIB)
    )
    with (
        Journal(tmp_path / "journal"),
        execution("drawn", attributes={"colour": "red\x1b[31m"}) as current,
    ):
        current.record(usage=Usage(source="process_tree", cpu_seconds=1.5, curve=curve))

    done = command(tmp_path / "journal", "show", current.execution_id[:8])

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("drawn (function): success\n")
    assert current.execution_id in done.stdout
    assert "8 MiB │" in done.stdout
    assert "█" in done.stdout
    assert "process_tree" in done.stdout
    assert r"red\x1b[31m" in done.stdout
    assert "\x1b" not in done.stdout


def test_one_execution_is_data_too(folder: Path) -> None:
    (first, *_) = json.loads(command(folder, "list", "--format", "json").stdout)

    told = json.loads(command(folder, "show", first["execution_id"], "--format", "json").stdout)

    assert told["line"]["name"] == "number 2"
    assert told["attributes"]["process.exit.code"] == 2


def test_an_unknown_id_is_an_error_that_says_what_to_do(folder: Path) -> None:
    done = command(folder, "show", "nothing")

    assert done.returncode == 1
    assert done.stderr == (
        "otel-codomon: cannot find execution 'nothing': it neither runs in this process nor is "
        f"in {folder}; list what there is with `otel-codomon list`\n"
    )


def test_a_running_execution_is_listed_and_shown(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal, execution("long") as current:
        listed = command(journal.folder, "list", "--outcome", "running")
        shown = command(journal.folder, "show", current.execution_id)

    assert "running" in listed.stdout
    assert shown.stdout.startswith("long (function): running\n")


def test_a_curve_is_as_high_as_its_largest_value() -> None:
    lines = draw_curve((1, 2), (4.0, 8.0), write=str, width=8, height=2, end_seconds=4)

    assert lines == [
        " 8.0 │   █████",
        "   0 │████████",
        "     └0 s  4 s",
    ]


@given(
    st.lists(st.floats(0, 1e12), min_size=1, max_size=60),
    st.integers(8, 100),
    st.integers(1, 20),
    st.booleans(),
)
def test_a_curve_never_leaves_its_frame(
    values: list[float],
    width: int,
    height: int,
    is_unicode: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    seconds = [float(index) for index in range(len(values))]

    lines = draw_curve(
        seconds,
        values,
        write=lambda value: f"{value:.2g}",
        width=width,
        height=height,
        is_unicode=is_unicode,
    )

    assert len(lines) == height + 1
    margin = max(len(line) for line in lines) - width
    assert all(len(line) <= margin + width for line in lines)
    assert is_unicode or all(line.isascii() for line in lines)


def test_nothing_to_draw_is_no_picture() -> None:
    assert draw_curve((), (), write=str) == []
