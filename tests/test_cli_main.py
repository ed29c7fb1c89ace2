from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.history import Past, write_history
from support.typed import clean_environment, typed, typed_on_terminal
from support.unmeasured import UNMEASURED

from otel_codomon import Outcome, __version__, cli

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def deeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "COMMANDS", {"deed": ("support.commands", "do a deed")})


def test_version_is_printed_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"otel-codomon {__version__}\n"


@pytest.mark.usefixtures("deeds")
def test_help_lists_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    sys.modules.pop("support.commands", None)

    assert cli.main(["--help"]) == 0
    assert "do a deed" in capsys.readouterr().out
    assert "support.commands" not in sys.modules


def in_journal(folder: Path) -> dict[str, str]:
    return clean_environment(OTEL_PYTHON_CODOMON_JOURNAL=str(folder), LC_ALL="C.UTF-8")


def test_without_a_command_three_lines_say_what_there_is_and_what_is_next(tmp_path: Path) -> None:
    failed = [Past(ago_seconds=2 * 86400), Past(), Past(outcome=Outcome.ERROR)]
    write_history(tmp_path / "some", failed).forget()

    some, none = (typed(env=in_journal(tmp_path / name)) for name in ("some", "none"))
    off = typed(env=clean_environment(OTEL_PYTHON_CODOMON_JOURNAL="off"))

    assert (some.returncode, some.stderr) == (0, "")
    ran, where, following = some.stdout.splitlines()
    assert ran == "2 executions in the last day, 1 failed"
    assert where == f"kept in {tmp_path / 'some'}; not sent: no OTLP endpoint is set"
    assert following.startswith("next: otel-codomon report (")
    assert none.stdout.startswith("no executions in the last day\n")
    assert "next: otel-codomon run -- true (" in none.stdout
    assert off.stdout.startswith("nothing is recorded: OTEL_PYTHON_CODOMON_JOURNAL is off\n")


def test_where_it_is_sent_is_told_without_a_command(tmp_path: Path) -> None:
    environ = {
        **in_journal(tmp_path),
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:word@localhost:1",
    }

    shown = typed(env=environ).stdout

    assert "sent to http://localhost:1/v1/" in shown
    assert "word" not in shown


@pytest.mark.parametrize(
    "words",
    [
        ("-v", "doctor"),
        ("doctor", "-v"),
        ("--verbose", "doctor", "--timeout", "1"),
    ],
)
def test_verbose_stands_before_or_after_the_command(words: tuple[str, ...], tmp_path: Path) -> None:
    assert "opentelemetry-sdk" in typed(*words, env=in_journal(tmp_path)).stdout


def test_an_answer_is_given_again_and_again(tmp_path: Path) -> None:
    write_history(tmp_path, [Past(name="again")]).forget()

    for words in (("-i", "0.01", "list"), ("list", "--interval=0.01"), ("-i0.01", "list")):
        code, text = typed_on_terminal(*words, env=in_journal(tmp_path), ctrl_c_after=b"again")

        assert code == 130
        assert "again" in text


def test_an_answer_is_written_into_a_file(tmp_path: Path) -> None:
    write_history(tmp_path, [Past(name="written")]).forget()
    file, nowhere = tmp_path / "answer.json", tmp_path / "not" / "there"

    done = typed("list", "-o", str(file), "--format", "json", env=in_journal(tmp_path))
    failed = typed("list", "--output-file", str(nowhere), env=in_journal(tmp_path))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(file.read_text())["executions"][0]["name"] == "written"
    assert failed.returncode == 1
    assert "cannot write the answer to" in failed.stderr
    assert not nowhere.parent.exists()


def test_an_option_of_the_command_that_is_run_is_its_own(tmp_path: Path) -> None:
    done = typed("run", "-q", "--", "echo", "-v", "-i", "3", env=in_journal(tmp_path))

    assert done.stdout == "-v -i 3\n"


def test_a_verbose_summary_has_more_figures(tmp_path: Path) -> None:
    short, verbose = (
        typed("run", *more, "--", "true", env=in_journal(tmp_path)).stderr for more in ((), ("-v",))
    )

    assert ", system " not in short
    assert ", system " in verbose


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("--limit-memory", "must be 1M or more (did you mean 512M?)"),
        ("--limit-disk", "must be 1M or more (did you mean 512M?)"),
        ("--limit-file-size", "must be 1M or more (did you mean 512M?)"),
    ],
)
def test_a_limit_without_its_unit_is_refused_with_what_was_meant(option: str, hint: str) -> None:
    done = typed("run", option, "512", "--", "true")

    assert done.returncode == 2
    assert hint in done.stderr


@pytest.mark.usefixtures("deeds")
def test_an_unknown_command_is_wrong_usage_and_names_the_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["dead"]) == 2
    assert "deed" in capsys.readouterr().err


@pytest.mark.usefixtures("deeds")
@pytest.mark.parametrize(
    ("deed", "code", "out", "err"),
    [
        ("succeed", 0, "done\n", ""),
        ("fail", 1, "", "otel-codomon: cannot do it: there is nothing; make some\n"),
        ("misuse", 2, "", "otel-codomon: cannot do it: wrong; say it right\n"),
        ("interrupt", 130, "", ""),
    ],
)
def test_how_a_command_ends_is_its_exit_code_and_one_line(
    deed: str, code: int, out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["deed", deed]) == code
    assert capsys.readouterr() == (out, err)


@pytest.mark.usefixtures("deeds")
def test_wrong_usage_of_a_command_is_one_line_that_says_what_is_accepted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["deed", "nothing"]) == 2

    said = capsys.readouterr().err
    assert said.startswith("otel-codomon deed: argument what: invalid choice: 'nothing'")
    assert "succeed" in said
    assert said.count("\n") == 1


@pytest.mark.usefixtures("deeds")
def test_help_of_a_command_ends_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["deed", "--help"]) == 0
    assert capsys.readouterr().out.endswith("examples:\n  otel-codomon deed succeed\n")


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    program = (
        "from otel_codomon import cli\n"
        "cli.COMMANDS = {'deed': ('support.commands', '')}\n"
        "raise SystemExit(cli.main(['deed', 'flood']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": "tests"},
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.read(1)
        command.stdout.close()
        said = command.stderr.read()

    assert (command.returncode, said) == (141, b"")


def test_python_dash_m_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "otel_codomon", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == f"otel-codomon {__version__}\n"


def test_the_skeleton_imports_nothing_that_is_slow() -> None:
    program = "import sys, otel_codomon.cli; print(*sorted(sys.modules))"

    loaded = subprocess.run(
        [sys.executable, "-I", "-c", program],
        env={**os.environ, **UNMEASURED},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert {"typing", "argparse", "dataclasses", "subprocess", "opentelemetry"}.isdisjoint(loaded)


@pytest.mark.parametrize("command", ["list", "report", "monitor-stats"])
@pytest.mark.parametrize("since", ["1e300d", "99999999d", "0s", "-1h", "nanm", "soon", "5"])
def test_a_period_that_is_none_is_refused_in_one_line(command: str, since: str) -> None:
    done = typed(command, f"--since={since}")

    assert (done.returncode, done.stdout) == (2, "")
    assert f"invalid time '{since}': use 90s, 15m, 2d or 1w" in done.stderr
