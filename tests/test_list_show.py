"""`otel-codomon list` and `show`, as somebody types them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from support.history import Past, write_history
from support.journal import Journal
from support.two_days import two_days
from support.typed import PATIENCE_SECONDS, clean_environment, typed, typed_on_terminal

from otel_codomon import execution, names, run
from otel_codomon.cli.drawing import draw_curve
from otel_codomon.environment_variables import OTEL_PYTHON_CODOMON_JOURNAL
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.reader import JournalReader
from otel_codomon.resources.usage import Curve, Usage

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024
COLOUR = re.compile(r"\x1b\[\d+m")


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
    titles = ["name", "id", "outcome", "started", "duration", "CPU", "memory", "cause"]
    assert head.split() == titles
    assert [(row.split()[:2], row.split()[3]) for row in rows] == [
        (["number", "2"], "error"),
        (["number", "1"], "error"),
        (["number", "0"], "success"),
    ]
    assert rows[0].endswith("failed with exit code 2")


def test_only_those_are_listed_that_were_asked_for(folder: Path) -> None:
    by_name = command(folder, "list", "--name", "number 1", "--format", "jsonl")
    by_outcome = command(folder, "list", "--outcome", "error", "-n", "1", "--format", "jsonl")
    none = command(folder, "list", "--outcome", "timeout")

    assert [json.loads(line)["name"] for line in by_name.stdout.splitlines()] == ["number 1"]
    assert [json.loads(line)["name"] for line in by_outcome.stdout.splitlines()] == ["number 2"]
    assert none.stdout == (
        "no execution matches (3 recorded): leave out --since, --until or --outcome\n"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("numbr 2", "no execution is named 'numbr 2' (3 recorded; did you mean 'number 2'?)\n"),
        ("x*", "no execution is named 'x*' (3 recorded)\n"),
    ],
)
def test_a_name_that_nothing_has_is_answered_with_what_there_is(
    folder: Path, name: str, said: str
) -> None:
    done = command(folder, "list", "--name", name)

    assert (done.returncode, done.stdout) == (0, said)


def test_a_pattern_stands_for_names(folder: Path) -> None:
    done = command(folder, "list", "--name", "number [12]", "--format", "jsonl")

    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == [
        "number 2",
        "number 1",
    ]


def test_a_journal_that_is_named_has_to_exist(tmp_path: Path) -> None:
    done = command(tmp_path / "none", "list")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"otel-codomon: no journal in '{tmp_path}/none': ")


def test_the_times_of_both_ends_and_the_order_are_those_asked_for(tmp_path: Path) -> None:
    past = [
        Past(name=name, ago_seconds=ago, seconds=seconds)
        for name, ago, seconds in (("a", 7200, 3), ("b", 3600, 9), ("c", 1800, 5), ("d", 60, 1))
    ]
    write_history(tmp_path, past).forget()

    done = command(
        tmp_path,
        *("list", "--since", "90m", "--until", "10m", "--sort", "duration", "--format", "jsonl"),
    )

    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["b", "c"]


def test_a_tree_has_each_execution_below_the_one_it_ran_in(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal"), execution("outer"), execution("inner"):
        with execution("innermost"):
            pass
        with execution("second"):
            pass

    done = command(tmp_path / "journal", "list", "--tree")

    names = [row[: row.index("  ", 5)].rstrip() for row in done.stdout.splitlines()[1:]]
    assert names == ["outer", "  inner", "    innermost", "    second"]


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_a_row_is_one_line_on_any_terminal(tmp_path: Path, columns: int) -> None:
    write_history(tmp_path, two_days()).forget()

    code, text = typed_on_terminal("list", "--all", "--journal", str(tmp_path), columns=columns)

    screen = text.splitlines()
    assert (code, len(screen)) == (0, 489)
    assert max(len(COLOUR.sub("", line.rstrip())) for line in screen) <= columns
    assert all("  " in line for line in screen)


def test_a_list_is_data_too(folder: Path) -> None:
    as_json = json.loads(command(folder, "list", "--all", "--format", "json").stdout)["executions"]
    as_csv = csv.DictReader(io.StringIO(command(folder, "list", "--format", "csv").stdout))

    assert [row["name"] for row in as_json] == ["number 2", "number 1", "number 0"]
    assert [row["name"] for row in as_csv] == ["number 2", "number 1", "number 0"]


def test_json_has_iso_times_and_only_what_is_known(tmp_path: Path) -> None:
    writer = write_history(tmp_path, [Past(seconds=None)])

    (line,) = json.loads(command(tmp_path, "list", "--format", "json").stdout)["executions"]
    writer.forget()

    started = datetime.fromisoformat(line["started"].replace("Z", "+00:00"))
    assert abs(datetime.now(timezone.utc) - started) < timedelta(hours=1)
    assert line["outcome"] == "running"
    assert None not in line.values()
    assert "duration_seconds" not in line


@pytest.mark.parametrize("count", ["0", "-3", "many"])
def test_a_count_that_means_nothing_is_wrong_usage(folder: Path, count: str) -> None:
    done = command(folder, "list", f"--limit={count}")

    assert done.returncode == 2
    assert "use a whole number of 1 or more" in done.stderr


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
    assert "duration" in done.stdout
    assert current.execution_id in done.stdout
    assert "8 MiB │" in done.stdout
    assert "█" in done.stdout
    assert "process_tree" in done.stdout
    assert "cores in use" in done.stdout
    assert r"red\x1b[31m" in done.stdout
    assert "\x1b" not in done.stdout


def run_recorded(folder: Path, *words: str) -> str:
    """Run a command as `otel-codomon run` does; the id of its execution."""
    typed(
        "run",
        "-q",
        "--",
        *words,
        env=clean_environment(**{OTEL_PYTHON_CODOMON_JOURNAL: os.fspath(folder)}),
    )
    return next(JournalReader(os.fspath(folder)).executions()).execution_id


def test_a_command_is_shown_as_it_was_typed_without_its_secrets(tmp_path: Path) -> None:
    script = tmp_path / "nightly job.sh"
    script.write_text("exit 3\n")
    token = "ghp_" + "a1B2" * 9
    shown_id = run_recorded(tmp_path / "journal", "sh", str(script), "--token", token)

    done = command(tmp_path / "journal", "show", shown_id)

    # A script in the directory of temporary files gives no name: each may be new.
    assert done.stdout.startswith("sh (command): failed with exit code 3\n")
    assert f"sh '{script}' --token '[redacted]'" in done.stdout
    assert token not in done.stdout


def test_the_words_of_a_command_of_the_api_are_shown_and_in_no_span(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        result = run(["sh", "-c", "true", "the words"])
        done = command(journal.folder, "show", result.execution_id)
        (found,) = JournalReader(os.fspath(journal.folder)).executions()

    assert "sh -c true 'the words'" in done.stdout
    assert "the words" not in str(found.attributes)


def test_the_executions_within_one_are_shown_with_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        with execution("outer") as outer:
            with execution("first"):
                pass
            with execution("second"):
                pass
        done = command(journal.folder, "show", outer.execution_id)

    _, _, after = done.stdout.partition("2 executions within it\n")
    first, second, *_ = after.splitlines()
    assert re.fullmatch(r"  [0-9a-f]{8}  first +success, .*s", first)
    assert re.fullmatch(r"  [0-9a-f]{8}  second +success, .*s", second)


def test_others_that_ended_in_the_same_way_are_counted(tmp_path: Path) -> None:
    died = Outcome.OOM_KILLED
    past = [
        Past(name="job", outcome=died, ago_seconds=40 * 3600),
        Past(name="job", outcome=died, ago_seconds=7200, execution_id="a" * 32),
        Past(name="job", ago_seconds=5400),
        Past(name="job", outcome=died, ago_seconds=3600, execution_id="b" * 32),
        Past(name="job", outcome=died, ago_seconds=60, execution_id="c" * 32),
    ]
    write_history(tmp_path, past).forget()

    done = command(tmp_path, "show", "cccc")

    first, *_ = done.stdout.splitlines()
    assert first.startswith("job (command): out of memory: killed by the kernel after 1 s; ")
    assert re.search(r"; 2 more like it since \d\d:\d\d \(bbbbbbbb, aaaaaaaa\)$", first)


def test_processes_that_samples_saw_are_the_least_there_were(tmp_path: Path) -> None:
    seen = {names.USAGE_PROCESSES: 3, names.LIMIT_PROCESSES: 20}
    write_history(tmp_path, [Past(attributes=seen, execution_id="a" * 32)]).forget()

    shown = command(tmp_path, "show", "aaaa").stdout

    assert re.search(r"processes +at least 3\n", shown)
    assert re.search(r"process limit used +at least 15 % \(3 of 20\)\n", shown)


def test_the_faults_of_pages_are_shown_when_asked_for(tmp_path: Path) -> None:
    shown_id = run_recorded(tmp_path, "true")

    assert "page faults" not in command(tmp_path, "show", shown_id).stdout
    assert "minor page faults" in command(tmp_path, "show", shown_id, "-v").stdout


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_what_is_shown_fits_the_terminal(columns: int, tmp_path: Path) -> None:
    write_history(tmp_path, two_days()).forget()
    env = clean_environment(OTEL_PYTHON_CODOMON_JOURNAL=str(tmp_path), LC_ALL="C.UTF-8")
    found = JournalReader(os.fspath(tmp_path)).executions()
    worst = next(one for one in found if one.outcome is Outcome.OOM_KILLED)

    for words in (("show", worst.execution_id), ("list", "--name", "thumb"), ("cache-info",)):
        code, text = typed_on_terminal(*words, columns=columns, env=env)

        screen = [COLOUR.sub("", line.rstrip()) for line in text.splitlines()]
        assert code == 0
        assert max(map(len, screen)) <= columns, words


def test_one_execution_is_data_too(folder: Path) -> None:
    (first, *_) = json.loads(command(folder, "list", "--format", "json").stdout)["executions"]

    told = json.loads(command(folder, "show", first["execution_id"], "--format", "json").stdout)

    assert told["line"]["name"] == "number 2"
    assert told["attributes"]["process.exit.code"] == 2


def test_an_unknown_id_is_an_error_that_says_what_to_do(folder: Path) -> None:
    done = command(folder, "show", "nothing")

    assert done.returncode == 1
    assert done.stderr == (
        f"otel-codomon: no execution has the id 'nothing' in {folder}; "
        "`otel-codomon list` shows what there is\n"
    )


def test_a_running_execution_is_listed_and_shown(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal, execution("long") as current:
        listed = command(journal.folder, "list", "--outcome", "running")
        shown = command(journal.folder, "show", current.execution_id)

    assert "running" in listed.stdout
    assert shown.stdout.startswith("long (function): running\n")


def test_a_limit_is_a_line_across_where_the_values_came_near() -> None:
    near, far = (
        draw_curve((1, 2), (4.0, 8.0), write=str, width=4, height=2, limit=limit)
        for limit in (16.0, 160.0)
    )

    assert near == [" limit 16.0 │┄┄┄┄", "          0 │▄▄▄█", "            └0 s2 s"]
    assert "limit" not in "".join(far)


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
