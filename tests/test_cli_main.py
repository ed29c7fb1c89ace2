from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.typed import typed
from support.unmeasured import UNMEASURED

from otel_codomon import __version__, cli


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


@pytest.mark.usefixtures("deeds")
def test_no_command_is_wrong_usage_and_shows_the_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([]) == 2
    assert "do a deed" in capsys.readouterr().err


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
