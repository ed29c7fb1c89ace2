from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_codomon import names, run
from otel_codomon._platform.executable_name import executable_name

if TYPE_CHECKING:
    from otel_codomon.testing import Recorder

_SLEEP = shutil.which("sleep") or ""
_OWN = Path(os.path.realpath("/proc/self/exe")).name


def _script(folder: Path, first_line: str, mode: int = 0o755) -> str:
    path = folder / "script"
    path.write_text(f"{first_line}\nexit 0\n")
    path.chmod(mode)
    return str(path)


def test_a_process_is_named_by_its_file_and_not_by_what_it_is_called() -> None:
    with subprocess.Popen(["pretender", "60"], executable=_SLEEP) as child:
        name = executable_name(child.pid)
        child.kill()

    assert name == Path(os.path.realpath(_SLEEP)).name


def test_a_process_whose_file_is_gone_keeps_its_name(tmp_path: Path) -> None:
    copy = tmp_path / "copied"
    shutil.copy(os.path.realpath(_SLEEP), copy)
    with subprocess.Popen([copy, "60"]) as child:
        copy.unlink()
        name = executable_name(child.pid)
        child.kill()

    assert name == "copied"


def test_of_a_process_that_has_ended_the_file_says_it(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(_SLEEP)
    with subprocess.Popen([link, "0"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet waited for

        name = executable_name(child.pid, [str(tmp_path / "missing"), str(link)])

    assert name == Path(os.path.realpath(_SLEEP)).name


@pytest.mark.parametrize(
    ("first_line", "mode", "expected"),
    [
        ("#!/bin/sh", 0o755, Path(os.path.realpath("/bin/sh")).name),
        (f"#! {sys.executable} -I", 0o755, Path(os.path.realpath(sys.executable)).name),
        ("#!", 0o755, None),
        ("#!/does/not/exist", 0o755, None),
        ("no interpreter", 0o755, None),
        ("#!/bin/sh", 0o644, None),
    ],
)
def test_a_script_is_named_by_its_interpreter(
    tmp_path: Path, first_line: str, mode: int, expected: str | None
) -> None:
    assert executable_name(None, [_script(tmp_path, first_line, mode)]) == expected


def test_scripts_that_interpret_one_another_are_nobody(tmp_path: Path) -> None:
    path = _script(tmp_path, f"#!{tmp_path / 'script'}")

    assert executable_name(None, [path]) is None


def test_the_command_of_an_execution_is_named_so(recorder: Recorder, tmp_path: Path) -> None:
    script = _script(tmp_path, f"#!{sys.executable}")
    Path(script).write_text(f"#!{sys.executable}\nimport os; print(os.readlink('/proc/self/exe'))")

    seen = run([script]).stdout

    [execution] = recorder.executions()
    assert execution.attributes[names.PROCESS_EXECUTABLE_NAME] == Path(seen.strip()).name == _OWN
    assert execution.labels.name == "script"


def test_otel_codomon_run_names_its_command_so(tmp_path: Path) -> None:
    script = _script(tmp_path, f"#!{sys.executable}")
    Path(script).write_text(f"#!{sys.executable}\n")
    run_script = [sys.executable, "-m", "otel_codomon", "run", "-q", "--session-id", "s-1", script]
    journal = tmp_path / "journal"

    subprocess.run(
        run_script, env={**os.environ, "OTEL_PYTHON_CODOMON_JOURNAL": str(journal)}, check=True
    )

    written = b"".join(path.read_bytes() for path in journal.glob("*.seg")).decode("latin-1")
    assert f'"{names.PROCESS_EXECUTABLE_NAME}":"{_OWN}"' in written
    assert f'"{names.SESSION_ID}":"s-1"' in written
