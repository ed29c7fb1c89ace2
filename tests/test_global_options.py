from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.history import Past, write_history
from support.typed import clean_environment, typed, typed_on_terminal

from otel_codomon.journal.execution_record import Outcome

if TYPE_CHECKING:
    from pathlib import Path


def environment(folder: Path, **more: str) -> dict[str, str]:
    return clean_environment(OTEL_PYTHON_CODOMON_JOURNAL=str(folder), **more)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "journal"
    folder.mkdir(mode=0o700)
    write_history(folder, [Past(), Past(outcome=Outcome.ERROR)]).forget()
    return environment(folder)


@pytest.mark.parametrize("option", ["-v", "--verbose"])
def test_verbose_means_the_same_before_and_after_the_command(
    option: str, env: dict[str, str]
) -> None:
    before, after = typed(option, "list", env=env), typed("list", option, env=env)
    plain = typed("list", env=env)

    assert before.stdout == after.stdout
    assert len(before.stdout) > len(plain.stdout)


def test_a_verbose_status_of_the_journal_has_more_lines(env: dict[str, str]) -> None:
    plain, verbose = (typed(*more, "journal", "status", env=env).stdout for more in ((), ("-v",)))

    assert "rejected" not in plain
    assert "rejected  0 dead letters" in verbose


def test_what_follows_the_command_of_run_belongs_to_it(env: dict[str, str]) -> None:
    echo = typed("run", "-q", "echo", "-v", "-i", "2", env=env)
    dashes = typed("-v", "run", "--", "echo", "-i", env=env)

    assert (echo.stdout, echo.stderr) == ("-v -i 2\n", "")
    assert dashes.stdout == "-i\n"
    assert ", user " in dashes.stderr  # more detail in our own line


def test_short_options_before_the_command_can_share_a_dash(env: dict[str, str]) -> None:
    code, shown = typed_on_terminal("-vi", "0.05", "list", env=env, ctrl_c_after=b"outcome")

    assert code == 130
    assert "outcome" in shown


@pytest.mark.parametrize("words", [["-i", "1", "run", "--", "echo", "x"], ["-i", "run", "list"]])
def test_an_interval_that_cannot_be_is_wrong_usage_and_runs_nothing(
    words: list[str], env: dict[str, str]
) -> None:
    done = typed(*words, env=env)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--format", "csv"],
        ["list", "--format", "json"],
        ["cache-info"],
        ["journal", "status", "--format", "json"],
    ],
    ids=" ".join,
)
def test_an_answer_goes_into_a_file_instead(
    words: list[str], env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "answer"
    file.write_text("older, and longer than a line\n" * 100)

    into_file = typed(*words, "-o", str(file), env=env)
    shown = typed(*words, env=env)

    assert (into_file.returncode, into_file.stdout, into_file.stderr) == (0, "", "")
    assert file.read_text() == shown.stdout
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["answer"]


def test_a_file_is_left_alone_where_there_is_no_answer(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "answer"
    file.write_text("older")

    done = typed("show", "ffffffff", "--output-file", str(file), env=env)

    assert done.returncode == 1
    assert file.read_text() == "older"


def test_a_file_that_cannot_be_written_is_explained(env: dict[str, str], tmp_path: Path) -> None:
    done = typed("list", "-o", str(tmp_path / "none" / "answer"), env=env)

    assert done.returncode == 1
    assert "cannot write the answer to" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_a_pipe_gets_the_answer_too(env: dict[str, str]) -> None:
    reader, writer = os.pipe()
    try:
        subprocess.run(
            [sys.executable, "-m", "otel_codomon", "list", "-o", f"/dev/fd/{writer}"],
            pass_fds=[writer],
            env=env,
            check=True,
        )
        assert b"outcome" in os.read(reader, 65536)
    finally:
        os.close(reader)
        os.close(writer)


def test_the_status_can_be_asked_for_with_the_global_options(env: dict[str, str]) -> None:
    verbose, plain = typed("-v", env=env), typed(env=env)

    assert (verbose.returncode, verbose.stdout) == (0, plain.stdout)
    assert plain.stdout.count("\n") == 3


def test_help_names_the_global_options() -> None:
    shown = typed("--help").stdout

    assert "--verbose" in shown
    assert "--interval" in shown
