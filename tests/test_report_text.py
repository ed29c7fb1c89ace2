"""`otel-codomon report` as text and as Markdown, typed at a terminal and through pipes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from support.history import MIB, Past, write_history
from support.two_days import two_days
from support.typed import clean_environment, typed, typed_on_terminal

from otel_codomon import Kind, Outcome, names

if TYPE_CHECKING:
    from pathlib import Path

COLOUR = re.compile(r"\x1b\[\d+m")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("journal")
    write_history(folder, two_days()).forget()
    return folder


def at(folder: Path) -> dict[str, str]:
    return clean_environment(OTEL_PYTHON_CODOMON_JOURNAL=str(folder), LC_ALL="C.UTF-8")


def test_the_worst_problem_is_named_first_with_a_step_to_paste(service: Path) -> None:
    done = typed("report", env=at(service))

    details, strip, _, *lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert details.startswith("8 problems in ")
    assert details.endswith("; worst: worker, out of memory")
    assert re.fullmatch(r"failures: 1d ago [▁-█ ]{48} now", strip)
    assert lines[0].startswith("1. worker: 3 of ")
    assert "of 512 MiB" in lines[3]
    assert lines[5].startswith("   $ otel-codomon show ")
    step = lines[5].removeprefix("   $ otel-codomon ").split()
    assert typed(*step, env=at(service)).stdout.startswith("worker (command): ")
    assert sum(bool(re.match(r"\d\. ", line)) for line in lines) == 5
    assert "pyhton (setup error); see them with -v" in lines[-1]


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
@pytest.mark.parametrize("more", [(), ("-v",)], ids=["short", "verbose"])
def test_nothing_is_wider_than_the_terminal(
    service: Path, columns: int, more: tuple[str, ...]
) -> None:
    code, text = typed_on_terminal("report", *more, columns=columns, env=at(service))

    screen = [COLOUR.sub("", line.rstrip()) for line in text.splitlines()]
    assert code == 0
    assert max(map(len, screen)) <= columns
    assert any(line.startswith("1. worker: ") for line in screen)
    assert more == () or any("thumbnail" in line and "%" in line for line in screen)


def test_where_nothing_is_wrong_one_line_says_so(tmp_path: Path) -> None:
    write_history(tmp_path, [Past(), Past()]).forget()

    details, _strip = typed("report", env=at(tmp_path)).stdout.splitlines()

    assert details == "no problems found: 2 executions, all succeeded"


def test_failures_that_are_no_problem_are_counted_all_the_same(tmp_path: Path) -> None:
    failed = Past(name="once", kind=Kind.COMMAND, outcome=Outcome.ERROR)
    write_history(tmp_path, [Past(), failed]).forget()

    details = typed("report", env=at(tmp_path)).stdout.splitlines()[0]

    assert details == "no recurring problem: 1 of 2 executions failed"


def test_markdown_is_a_task_list_that_names_do_not_break(tmp_path: Path) -> None:
    limit = {names.USAGE_MEMORY_PEAK: 9 * MIB, names.LIMIT_MEMORY: 9 * MIB}
    past = Past(name="a*b", execution_id="x`y", outcome=Outcome.OOM_KILLED, attributes=limit)
    write_history(tmp_path, [past]).forget()

    done = typed("report", "--format", "markdown", env=at(tmp_path))

    task = done.stdout.splitlines()[-1]
    assert task.startswith(r"- [ ] **a\*b**: 1 of 1 ran out of memory (limit 9 MiB")
    assert task.endswith("See ``otel-codomon show 'x`y'``")


def test_the_journal_that_was_named_is_in_the_next_step(service: Path) -> None:
    done = typed("report", "--journal", str(service))

    steps = [line for line in done.stdout.splitlines() if line.startswith("   $ ")]
    assert len(steps) == 5
    assert all(step.endswith(f" --journal {service}") for step in steps)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("workr", "no execution is named 'workr' (488 recorded; did you mean 'worker'?)\n"),
        ("x*", "no execution is named 'x*' (488 recorded)\n"),
    ],
)
def test_a_name_that_nothing_has_is_answered_as_list_does(
    service: Path, name: str, said: str
) -> None:
    done = typed("report", "--name", name, env=at(service))

    assert (done.returncode, done.stdout) == (0, said)


def test_a_pattern_stands_for_names(service: Path) -> None:
    done = typed("report", "--name", "work*", env=at(service))

    assert done.stdout.startswith("1 problem in ")


def test_a_journal_that_is_named_has_to_exist(tmp_path: Path) -> None:
    done = typed("report", "--journal", str(tmp_path / "none"))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"otel-codomon: no journal in '{tmp_path}/none': ")


def test_before_anything_ran_the_first_step_is_named(tmp_path: Path) -> None:
    done = typed("report", env=at(tmp_path))

    assert done.stdout == ("no executions recorded yet: `otel-codomon run -- true` records one\n")


def test_a_period_in_which_nothing_ran_is_told_from_an_empty_journal(service: Path) -> None:
    done = typed("report", "--since", "3s", env=at(service))

    assert done.stdout == "no execution matches (488 recorded): use a longer --since, such as 7d\n"


def test_a_crowd_of_processes_is_counted_in_short_numbers(service: Path) -> None:
    done = typed("report", "--name", "crawler", env=at(service))

    assert "each starts 160 processes or more, 17.8 per second (medians)" in done.stdout


def test_the_page_is_written_where_its_directory_is(service: Path, tmp_path: Path) -> None:
    page, nowhere = tmp_path / "report.html", tmp_path / "not" / "there" / "report.html"

    done, failed = (
        typed("report", "--html", str(path), env=at(service)) for path in (page, nowhere)
    )

    assert (done.returncode, done.stderr) == (0, f"Wrote {page}\n")
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert failed.returncode == 1
    assert "cannot write the page to" in failed.stderr
    assert not nowhere.parent.exists()
