"""Which bubblewrap is used, and which is refused, through `run`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.bubblewrap import MISSING

from otel_codomon import Limits, Outcome, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

CANNOT = "cannot isolate with bubblewrap: "
NONE = (
    f"{CANNOT}no bwrap on the PATH, of which only absolute directories that the command cannot "
    "write to are searched; install the package bubblewrap"
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that comes first on our PATH."""
    directory = tmp_path / "first"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    return directory


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def make_script(path: Path) -> None:
    script(path, f"#!/bin/sh\ntouch {path.parent}/ran\n")


def make_directory(path: Path) -> None:
    path.mkdir()


def make_closed(path: Path) -> None:
    shutil.copy(_real(), path)
    path.chmod(0o644)


def make_dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def make_link_to_script(path: Path) -> None:
    make_script(path.parent / "other")
    path.symlink_to(path.parent / "other")


def make_other_program(path: Path) -> None:
    path.symlink_to("/bin/true")


def _real() -> str:
    found = shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (make_script, "is a script or another file that is not a program of this machine"),
        (make_link_to_script, "is a script or another file that is not a program of this machine"),
        (make_directory, "is not a regular file"),
        (make_closed, "may not be executed"),
        (make_dangling, "cannot be read (no such file or directory)"),
        (make_other_program, "does not report its version as bubblewrap does"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bubblewrap_that_cannot_be_used_is_refused_with_the_reason(
    make: object, found: str, place: Path
) -> None:
    make(place / "bwrap")  # type: ignore[operator] # one of the above

    result = run(["true"], isolation="bubblewrap")

    assert (result.outcome, result.reason) == (
        Outcome.SETUP_ERROR,
        f"{CANNOT}'{place}/bwrap' {found}; install the package bubblewrap, 0.8 or later",
    )
    assert not (place / "ran").exists()


def test_one_that_is_too_old_is_refused(place: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here: install gcc")
    source = place / "old.c"
    source.write_text('#include <stdio.h>\nint main(void){puts("bubblewrap 0.7.0");return 0;}\n')
    subprocess.run(["cc", "-o", str(place / "bwrap"), str(source)], check=True)

    result = run(["true"], isolation="bubblewrap")

    assert result.outcome is Outcome.SETUP_ERROR
    assert result.reason == (
        f"{CANNOT}'{place}/bwrap' is too old (bubblewrap 0.7.0); "
        "install the package bubblewrap, 0.8 or later"
    )


def test_a_newer_file_of_the_same_name_is_asked_again(place: Path) -> None:
    (place / "bwrap").symlink_to("/bin/true")
    assert run(["true"], isolation="bubblewrap").outcome is Outcome.SETUP_ERROR

    (place / "bwrap").unlink()
    (place / "bwrap").symlink_to(_real())

    assert run(["true"], isolation="bubblewrap").outcome is Outcome.SUCCESS


def test_a_link_to_the_real_one_works(place: Path) -> None:
    (place / "bwrap").symlink_to(_real())

    assert run(["true"], isolation="bubblewrap").outcome is Outcome.SUCCESS


@pytest.mark.parametrize("way", ["cwd", "relative", "others", "others-above"])
def test_one_within_the_commands_reach_is_not_even_seen(
    way: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_script(place / "bwrap")
    if way == "relative":
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PATH", f"first{os.pathsep}{os.environ['PATH'].partition(':')[2]}")
    elif way == "others":
        place.chmod(0o777)
    elif way == "others-above":
        tmp_path.chmod(0o777)

    result = run(["true"], isolation="bubblewrap", cwd=tmp_path if way == "cwd" else None)

    assert result.outcome is Outcome.SUCCESS
    assert not (place / "ran").exists()


def test_where_the_command_may_write_to_all_of_them_there_is_none(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(_real(), place / "bwrap")
    monkeypatch.setenv("PATH", str(place))

    result = run(["/bin/true"], isolation="bubblewrap", cwd=place)

    assert (result.outcome, result.reason) == (Outcome.SETUP_ERROR, NONE)


def test_the_commands_environment_does_not_reach_bubblewrap(place: Path, tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here: install gcc")
    proof = tmp_path / "proof"
    (place / "e.c").write_text(
        "#include <stdio.h>\n__attribute__((constructor)) static void f(void)"
        f'{{FILE *x = fopen("{proof}", "w"); if (x) fclose(x);}}\n'
    )
    library = place / "e.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, place / "e.c"], check=True)
    make_script(place / "bwrap")

    result = run(
        ["sh", "-c", "echo $LD_PRELOAD"],
        isolation="bubblewrap",
        cwd=place,
        env={"LD_PRELOAD": str(library), "PATH": f"{place}:/usr/bin:/bin"},
    )

    assert (result.outcome, result.stdout) == (Outcome.SUCCESS, f"{library}\n")
    assert not proof.exists()
    assert not (place / "ran").exists()


def test_a_machine_without_user_namespaces_is_a_setup_error() -> None:
    program = (
        "from pathlib import Path\n"
        "from otel_codomon import run\n"
        "Path('/proc/sys/user/max_user_namespaces').write_text('0')\n"
        "result = run(['sh', '-c', 'echo ran'], isolation='bubblewrap')\n"
        "print(result.outcome.value, repr(result.stdout), result.reason)\n"
    )
    # In a namespace of its own, so that the machine keeps what it has.
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.startswith(
        f"setup_error '' {CANNOT}it did not start the command: bwrap: "
    ), done.stderr


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(processes=1), 0),
        (Limits(processes=2), 0),
        (Limits(open_files=6), 0),
        (Limits(memory_bytes=16 * 1024**2), 0),
        (Limits(file_size_bytes=1), 0),
    ],
    ids=str,
)
def test_limits_are_the_commands_and_do_not_hinder_bubblewrap(limits: Limits, code: int) -> None:
    result = run(["sh", "-c", ":"], isolation="bubblewrap", limits=limits)

    assert (result.exit_code, result.reason) == (code, None)


def test_limits_are_set_inside() -> None:
    limits = Limits(cpu_seconds=7, open_files=23, file_size_bytes=3 * 512)

    program = "ulimit -S -t; ulimit -H -t; ulimit -n; ulimit -f; ulimit -c"
    result = run(["sh", "-c", program], isolation="bubblewrap", limits=limits)

    assert result.stdout.split() == ["7", "8", "23", "3", "0"]


def test_more_processes_than_the_limit_are_too_many() -> None:
    program = "sleep 100 & sleep 100 & sleep 100 & wait"

    result = run(["sh", "-c", program], isolation="bubblewrap", limits=Limits(processes=3))

    assert result.outcome is Outcome.LIMIT_EXCEEDED
