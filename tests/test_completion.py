from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.history import Past, write_history
from support.typed import PATIENCE_SECONDS, TAKE_TERMINAL, clean_environment, typed

if TYPE_CHECKING:
    from collections.abc import Callable

    Complete = Callable[[tuple[str, ...], Path, dict[str, str]], str]

pytest.importorskip("shtab", reason="pip install 'otel-codomon[completion]'")

# What readline does when Tab is pressed after the words.
TAB = """
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$(complete -p otel-codomon | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""
HOSTILE = "$(touch pwned)", "`touch pwned`", "; touch pwned", "--all", "a b"

# What is typed before the Tab, and what is among the words that are offered.
CASES = [
    (("rep",), "report"),
    (("monitor-stats", "mem"), "memory"),
    (("report", "--format", "j"), "json"),
    (("list", "--name", "night"), "nightly"),
    (("show", "0a"), "0a0a0a0a"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a journal, and with the command on a path."""
    place: Path = tmp_path_factory.mktemp("completion")
    journal = place / "journal"
    journal.mkdir(mode=0o700)
    history = [Past(name=name) for name in HOSTILE]
    write_history(journal, [Past(name="nightly", execution_id="0a" * 16), *history]).forget()
    (place / "bin").mkdir()
    command = place / "bin" / "otel-codomon"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m otel_codomon "$@"\n')
    command.chmod(0o755)
    return place


@pytest.fixture(scope="module")
def env(place: Path) -> dict[str, str]:
    return clean_environment(
        OTEL_PYTHON_CODOMON_JOURNAL=str(place / "journal"),
        PATH=f"{place / 'bin'}:{os.environ['PATH']}",
        PYTHONPATH=str(Path.cwd()),
        HOME=str(place),
        TERM="xterm",
    )


def script_for(shell: str, place: Path) -> Path:
    path = place / shell
    if not path.exists():
        path.write_text(typed("completion", shell).stdout)
    return path


def needs(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


def in_bash(words: tuple[str, ...], place: Path, env: dict[str, str]) -> str:
    shell = needs("bash")
    done = subprocess.run(
        [shell, "-c", TAB, "tab", str(script_for("bash", place)), "otel-codomon", *words],
        capture_output=True,
        text=True,
        env=env,
        cwd=place,
        check=True,
    )
    return done.stdout


def in_fish(words: tuple[str, ...], place: Path, env: dict[str, str]) -> str:
    shell = needs("fish")
    script = script_for("fish", place)
    line = " ".join(("otel-codomon", *words))
    done = subprocess.run(
        [shell, "--no-config", "-c", f"source {script}; complete --do-complete '{line}'"],
        capture_output=True,
        text=True,
        env=env,
        cwd=place,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def in_zsh(words: tuple[str, ...], place: Path, env: dict[str, str]) -> str:
    startup = """PS1='READY '; autoload -Uz compinit; compinit -u -D; eval "$(cat {script})"\n"""
    # So that the terminal is neither coloured nor asked anything.
    return press_tab("zsh", {".zshrc": startup}, words, place, {**env, "TERM": "dumb"})


def in_tcsh(words: tuple[str, ...], place: Path, env: dict[str, str]) -> str:
    startup = {".tcshrc": "source {script}\nset prompt = 'READY '\n"}
    return press_tab("tcsh", startup, words, place, env)


def press_tab(
    name: str,
    startup: dict[str, str],
    words: tuple[str, ...],
    place: Path,
    env: dict[str, str],
) -> str:
    """What a shell on a terminal has in its line after Tab: it completes what is unambiguous."""
    shell = needs(name)
    for file, text in startup.items():
        (place / file).write_text(text.format(script=script_for(name, place)))
    line = " ".join(("otel-codomon", *words))
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, shell, "-i"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**env, "ZDOTDIR": str(place)},
        cwd=place,
        start_new_session=True,
    ) as process:
        os.close(slave)
        try:
            read_until(master, "READY ")
            os.write(master, f"{line}\t".encode())
            # The word is complete when the shell has put a blank behind it.
            return read_until(master, line, " ").split()[-1]
        finally:
            process.kill()
            os.close(master)


def read_until(master: int, *marks: str) -> str:
    """Read until the marks were written, in this order; what was before the last one."""
    written, at = "", 0
    for mark in marks:
        while (found := written.find(mark, at)) < 0:
            assert select.select([master], [], [], PATIENCE_SECONDS)[0], written
            written += os.read(master, 65536).decode(errors="replace")
        at = found + len(mark)
    return written[:at]


@pytest.mark.parametrize(("words", "offered"), CASES, ids=str)
@pytest.mark.parametrize("complete", [in_bash, in_fish, in_tcsh, in_zsh])
def test_a_real_shell_completes_commands_options_values_names_and_ids(
    complete: Complete,
    words: tuple[str, ...],
    offered: str,
    place: Path,
    env: dict[str, str],
) -> None:
    assert offered in complete(words, place, env).split()


@pytest.mark.parametrize("complete", [in_bash, in_fish])
def test_a_name_that_a_shell_would_run_is_not_offered(
    complete: Complete, place: Path, env: dict[str, str]
) -> None:
    offered = complete(("list", "--name", ""), place, env)

    assert "nightly" in offered
    assert "touch" not in offered
    assert not (place / "pwned").exists()


def test_without_a_journal_there_are_no_words_and_no_message(tmp_path: Path) -> None:
    for journal in ("off", str(tmp_path / "none")):
        done = typed(
            "completion",
            "--words",
            "ids",
            env=clean_environment(OTEL_PYTHON_CODOMON_JOURNAL=journal),
        )

        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("words", [[], ["powershell"]])
def test_no_shell_or_an_unknown_one_is_wrong_usage_and_names_the_known(words: list[str]) -> None:
    done = typed("completion", *words)

    assert done.returncode == 2
    assert "fish" in done.stderr
