from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.bubblewrap import MISSING
from support.escapees import ESCAPEE
from support.needs import needs_toolchain
from support.patience import lines, run_out_of_time
from support.sources import SOURCES

from otel_codomon import Limits, Outcome, SandboxType, names, run
from otel_codomon.sandbox.toolchains import TOOLCHAINS

if TYPE_CHECKING:
    from otel_codomon.sandbox.toolchains import Toolchain
    from otel_codomon.testing import Recorder

pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")


@pytest.mark.parametrize("toolchain", TOOLCHAINS, ids=lambda toolchain: toolchain.language)
def test_source_text_of_each_language_runs_inside(toolchain: Toolchain) -> None:
    needs_toolchain(toolchain)

    result = run(SOURCES[toolchain.language], language=toolchain.language, isolation="bubblewrap")

    assert (result.stdout, result.stderr, result.outcome) == ("42\n", "", Outcome.SUCCESS)


def test_it_says_what_separates_it(recorder: Recorder) -> None:
    run(["true"], isolation="bubblewrap")

    [execution] = recorder.executions()
    assert execution.labels.sandbox_type is SandboxType.BUBBLEWRAP
    assert execution.labels.name == "true"
    assert execution.attributes[names.PROCESS_EXECUTABLE_NAME] == "true"


def test_there_is_no_network() -> None:
    shown = run(["cat", "/proc/net/dev"], isolation="bubblewrap").stdout

    interfaces = [line.split(":")[0].strip() for line in shown.splitlines()[2:]]
    assert interfaces == ["lo"]


def test_the_system_is_read_only_and_tmp_is_private(tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    beside.write_text("secret")

    result = run(
        [
            "sh",
            "-c",
            f"cat {beside}; touch /usr/x /etc/x /x; touch /tmp/mine && ls /tmp",
        ],
        isolation="bubblewrap",
    )

    assert "mine" in result.stdout
    assert "secret" not in result.stdout
    assert result.stderr.count("touch: cannot touch") == 3
    assert not Path("/tmp/mine").exists()  # noqa: S108 - that it is not this one is the point


def test_other_peoples_files_and_secrets_are_not_there() -> None:
    home = Path.home()

    shown = run(["sh", "-c", f"ls -A {home}; cat /etc/shadow; ls /proc"], isolation="bubblewrap")

    assert ".ssh" not in shown.stdout
    assert ".bash" not in shown.stdout
    assert "root:" not in shown.stdout
    assert [int(pid) for pid in shown.stdout.split() if pid.isdigit() and int(pid) > 20] == []


def test_a_folder_that_is_given_can_be_written_to(tmp_path: Path) -> None:
    result = run(["sh", "-c", "pwd; echo x > made"], cwd=tmp_path, isolation="bubblewrap")

    assert result.stdout == f"{tmp_path.resolve()}\n"
    assert (tmp_path / "made").read_text() == "x\n"


def test_a_program_outside_of_the_system_is_found(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho found")
    script.chmod(0o755)

    assert run([script], isolation="bubblewrap").stdout == "found\n"
    python = run(
        [sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"],
        isolation="bubblewrap",
    )
    assert python.stdout == f"{sysconfig.get_path('stdlib')}\n"


def test_exit_codes_and_signals_come_through() -> None:
    assert run(["sh", "-c", "exit 7"], isolation="bubblewrap").exit_code == 7
    killed = run(["sh", "-c", "kill -KILL $$"], isolation="bubblewrap")
    assert (killed.outcome, killed.exit_code, killed.signal) == (Outcome.KILLED, 137, "SIGKILL")


def test_a_limit_by_signal_is_told_through_it(tmp_path: Path) -> None:
    result = run(
        ["dd", "if=/dev/zero", "of=big", "bs=1000", "count=2000"],
        cwd=tmp_path,
        isolation="bubblewrap",
        limits=Limits(file_size_bytes=1024 * 1024),
    )

    assert result.outcome is Outcome.LIMIT_EXCEEDED


def test_a_timeout_and_an_escapee_leave_nothing() -> None:
    marker = f"marker-{os.getpid()}"
    program = ESCAPEE + "\nimport time; time.sleep(1000)"

    result = run_out_of_time(
        [sys.executable, "-c", program, marker], is_ready=lines(1), isolation="bubblewrap"
    )

    assert result.outcome is Outcome.TIMEOUT
    left = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if marker.encode() in _read(path) and path.parent.name != str(os.getpid())
    ]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def test_where_there_is_no_bubblewrap_the_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "true").symlink_to(shutil.which("true") or "/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))

    result = run(["true"], isolation="bubblewrap")

    assert result.outcome is Outcome.SETUP_ERROR
    assert result.reason == (
        "cannot isolate with bubblewrap: no bwrap on the PATH, of which only absolute directories "
        "that the command cannot write to are searched; install the package bubblewrap"
    )


def test_a_script_finds_its_interpreter_and_that_one_its_library(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin" / "python"
    python.symlink_to(sys.executable)
    script = venv / "bin" / "tool"
    script.write_text(f"#!{python}\nimport json\nprint(json.dumps([1]))\n")
    script.chmod(0o755)

    result = run([script], isolation="bubblewrap")

    assert (result.stdout, result.stderr) == ("[1]\n", "")


def test_where_a_program_leads_that_a_command_may_have_made_is_not_shown(tmp_path: Path) -> None:
    private, work = tmp_path / "private", tmp_path / "work"
    (private / "bin").mkdir(parents=True)
    (private / "lib").mkdir()
    (private / "lib" / "secret").write_text("secret")
    (private / "bin" / "sh").symlink_to("/bin/sh")
    (private / "bin" / "own").write_text("#!/bin/sh\ncat ../private/lib/secret\n")
    (private / "bin" / "own").chmod(0o755)
    work.mkdir()
    (work / "link").symlink_to(private / "bin" / "own")
    (work / "script").write_text(f"#!{private}/bin/sh\ncat ../private/lib/secret\n")
    (work / "script").chmod(0o755)

    results = [run([work / name], cwd=work, isolation="bubblewrap") for name in ("link", "script")]

    assert [result.stdout for result in results] == ["", ""]
    assert [result.outcome for result in results] == [Outcome.SETUP_ERROR] * 2
    for result in results:
        assert "an isolated command cannot see the program" in (result.reason or "")


def test_a_program_below_the_working_directory_leaves_that_writable(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "lib").mkdir()
    script = tmp_path / "bin" / "tool"
    script.write_text("#!/bin/sh\necho x > lib/made\n")
    script.chmod(0o755)

    run([script], cwd=tmp_path, isolation="bubblewrap")

    assert (tmp_path / "lib" / "made").read_text() == "x\n"
