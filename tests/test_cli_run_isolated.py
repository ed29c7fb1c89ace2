"""`otel-codomon run --isolation bubblewrap`, with real commands inside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.bubblewrap import MISSING
from support.sources import SOURCES
from support.typed import clean_environment

from otel_codomon import Outcome, SandboxType
from otel_codomon.journal.reader import JournalReader

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

COMMAND = [sys.executable, "-m", "otel_codomon", "run", "-q", "--isolation", "bubblewrap"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that the user is in."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def isolated(
    folder: Path, *arguments: str, descriptors: tuple[int, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(
        OTEL_PYTHON_CODOMON_JOURNAL=str(folder.parent / "journal"), **variables
    )
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
        pass_fds=descriptors,
    )


def outcomes(folder: Path) -> list[tuple[Outcome | None, SandboxType]]:
    found = JournalReader(str(folder.parent / "journal")).executions()
    return [(each.outcome, each.labels.sandbox_type) for each in found]


@pytest.mark.parametrize(
    ("program", "code", "outcome"),
    [
        ("exit 0", 0, Outcome.SUCCESS),
        ("exit 5", 5, Outcome.ERROR),
        ("exit 1", 1, Outcome.ERROR),
        ("kill -KILL $$", 137, Outcome.KILLED),
    ],
)
def test_the_exit_code_is_the_commands(
    program: str, code: int, outcome: Outcome, folder: Path
) -> None:
    done = isolated(folder, "--", "sh", "-c", program)

    assert (done.returncode, done.stderr) == (code, "")
    assert outcomes(folder) == [(outcome, SandboxType.BUBBLEWRAP)]


def test_it_sees_the_working_folder_and_may_not_write(folder: Path) -> None:
    (folder / "input").write_text("seen\n")

    done = isolated(folder, "--", "sh", "-c", "cat input; pwd; echo x > made")

    assert done.stdout == f"seen\n{folder.resolve()}\n"
    assert "Read-only" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["input"]


def test_it_writes_where_the_user_says(folder: Path) -> None:
    beside = folder.parent / "beside"
    beside.mkdir()

    done = isolated(
        folder, "--writable", ".", "--writable=../beside", "--", "sh", "-c",
        f"echo 1 > here; echo 2 > {beside}/there",
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert [(folder / "here").read_text(), (beside / "there").read_text()] == ["1\n", "2\n"]


def test_it_has_no_network_and_no_descriptors_of_ours(folder: Path) -> None:
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        done = isolated(
            folder, "--", "sh", "-c", "grep -c : /proc/net/dev; exec ls /proc/self/fd",
            descriptors=(descriptor,),
        )  # fmt: skip
    finally:
        os.close(descriptor)

    interfaces, *descriptors = done.stdout.split()
    assert interfaces == "1"  # the loopback
    assert descriptors == ["0", "1", "2", "3"]  # the last is that of the listing


def test_it_gets_few_variables_and_those_that_are_named(folder: Path) -> None:
    done = isolated(
        folder, "--allow-env", "WANTED_*", "--", "env",
        API_KEY="secret", WANTED_ONE="1", OTEL_SERVICE_NAME="ours",
        TRACEPARENT=f"00-{'a' * 32}-{'b' * 16}-01",
    )  # fmt: skip

    learnt = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert "WANTED_ONE" in learnt
    assert not learnt & {"API_KEY", "OTEL_SERVICE_NAME", "TRACEPARENT"}


def test_it_reports_when_that_is_said(folder: Path) -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"

    done = isolated(
        folder, "--propagate", "full", "--", "printenv", "TRACEPARENT", TRACEPARENT=parent
    )

    assert done.stdout.startswith(f"00-{'a' * 32}-")


@pytest.mark.parametrize("language", ["python", "c"])
def test_source_text_is_compiled_and_run_inside(language: str, folder: Path) -> None:
    if language == "c" and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler here; install gcc")
    source = folder / "source"
    source.with_suffix(f".{language}").write_text(SOURCES[language])

    done = isolated(folder, "--language", language, f"source.{language}")

    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")


def test_a_compiler_does_not_see_more_than_the_command(folder: Path) -> None:
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler here; install gcc")
    secret = folder.parent / "secret.h"
    secret.write_text("int main(void) { return 0; }\n")
    (folder / "thief.c").write_text(f'#include "{secret}"\n')

    done = isolated(folder, "--language", "c", "thief.c")

    assert done.returncode == 1
    assert "secret.h" in done.stderr
    assert outcomes(folder) == [(Outcome.ERROR, SandboxType.BUBBLEWRAP)] * 2


def test_a_timeout_leaves_nothing_of_it(folder: Path) -> None:
    done = isolated(folder, "--timeout", "0.3", "--grace", "0.1", "--", "sleep", "1000")

    assert done.returncode == 124
    assert outcomes(folder) == [(Outcome.TIMEOUT, SandboxType.BUBBLEWRAP)]


def test_a_bubblewrap_that_is_a_script_is_a_setup_error(folder: Path) -> None:
    broken = folder.parent / "bwrap"
    broken.write_text('#!/bin/sh\nexec "$@"\n')
    broken.chmod(0o755)
    path = f"{broken.parent}{os.pathsep}{os.environ['PATH']}"

    done = isolated(folder, "--", "true", PATH=path)

    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr == (
        f"otel-codomon run: cannot isolate with bubblewrap: '{broken}' is a script or another file "
        "that is not a program of this machine; install the package bubblewrap, 0.8 or later\n"
    )
    assert outcomes(folder) == [(Outcome.SETUP_ERROR, SandboxType.BUBBLEWRAP)]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--", "no-such-program-here"], 127, "cannot run 'no-such-program-here': no such file"),
        (["--", "/etc/passwd"], 126, "cannot run '/etc/passwd': permission denied"),
        (["--writable", "no-such", "--", "true"], 2, "cannot make 'no-such' writable"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    arguments: list[str], code: int, said: str, folder: Path
) -> None:
    done = isolated(folder, *arguments)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert said in done.stderr


def test_the_home_folder_is_not_shown_by_accident(folder: Path) -> None:
    done = isolated(folder, "--", "true", HOME=str(folder / "home"))

    assert done.returncode == 2
    assert "it would show the home directory" in done.stderr
    assert outcomes(folder) == []


def test_without_bubblewrap_the_way_out_is_told(folder: Path) -> None:
    programs = folder.parent / "programs"
    programs.mkdir()
    (programs / "true").symlink_to(shutil.which("true") or "/bin/true")

    done = isolated(folder, "--", "true", PATH=str(programs))

    assert done.returncode == 126
    assert done.stderr == (
        "otel-codomon run: cannot isolate with bubblewrap: no bwrap on the PATH, of which only "
        "absolute directories that the command cannot write to are searched; "
        "install the package bubblewrap\n"
    )
    assert outcomes(folder) == [(Outcome.SETUP_ERROR, SandboxType.BUBBLEWRAP)]
