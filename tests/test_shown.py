"""What of the host may be shown to an isolated command."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from support.bubblewrap import MISSING

from otel_codomon import InvalidArgumentError, run
from otel_codomon.sandbox.bubblewrap import is_within
from otel_codomon.sandbox.shown import can_be_covered, exposed_homes, resolve_shown

isolating = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

OWN_HOME = os.path.realpath(pwd.getpwuid(os.getuid()).pw_dir)
names = st.text(st.sampled_from("ab"), min_size=1, max_size=2)
paths = st.lists(names, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(paths, paths)
def test_within_is_by_components(path: str, directory: str) -> None:
    assert is_within(path, directory) == Path(path).is_relative_to(directory)


@pytest.mark.parametrize(
    ("path", "shows"),
    [
        ("/", "the whole machine"),
        ("/usr/..", "the whole machine"),
        (OWN_HOME, f"the home directory {OWN_HOME!r}"),
        ("/proc/self", "the kernel's own files"),
        ("/sys/fs", "the kernel's own files"),
        ("/dev", "the kernel's own files"),
        ("/dev/shm", "the kernel's own files"),  # noqa: S108 - refused
        ("/etc", "a whole directory of the system"),
        ("/tmp", "a whole directory of the system"),  # noqa: S108 - refused
    ],
)
def test_what_shows_too_much_is_refused_with_home_unset(path: str, shows: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"it would show {shows} to the command"):
        resolve_shown(path, argument="cwd", environ={})


def test_a_directory_above_a_home_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="it would show the home directory"):
        resolve_shown(str(tmp_path), argument="cwd", environ={"HOME": str(tmp_path / "a/home")})


def test_a_link_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    link, good = tmp_path / "link", tmp_path / "good"
    good.mkdir()
    (tmp_path / "fine").symlink_to(good)
    link.symlink_to("/")

    with pytest.raises(InvalidArgumentError, match=r"\(a link to '/'\)"):
        resolve_shown(str(link), argument="cwd", environ={})

    shown = resolve_shown(str(tmp_path / "fine"), argument="cwd", environ={})
    assert shown == str(good.resolve())


def test_a_link_into_a_home_is_refused_and_one_within_it_is_not(tmp_path: Path) -> None:
    home = tmp_path / "home"
    keys = home / "keys"
    keys.mkdir(parents=True)
    (tmp_path / "job").symlink_to(keys)
    (home / "job").symlink_to(keys)
    (tmp_path / "alias").symlink_to(home)
    environ = {"HOME": str(tmp_path / "alias")}

    with pytest.raises(InvalidArgumentError, match="it would show a part of the home directory"):
        resolve_shown(str(tmp_path / "job"), argument="cwd", environ=environ)

    for named in (home / "job", tmp_path / "alias" / "keys", keys):
        assert resolve_shown(str(named), argument="cwd", environ=environ) == str(keys.resolve())


def test_a_directory_whose_name_only_begins_like_a_home_is_shown(tmp_path: Path) -> None:
    beside = tmp_path / "home-of-others"

    shown = resolve_shown(str(beside), argument="cwd", environ={"HOME": str(tmp_path / "home")})

    assert shown == str(beside.resolve())


def test_homes_within_what_is_shown_are_covered(tmp_path: Path) -> None:
    home = tmp_path / "opt" / "app"
    home.mkdir(parents=True)

    def covered(place: Path) -> bool:
        return str(home) in exposed_homes({"HOME": str(home)}, shown=("/usr", str(place)))

    assert [covered(tmp_path / "opt"), covered(tmp_path / "op")] == [True, False]


@pytest.mark.parametrize("home", ["/", "/usr", "/usr/bin", "/proc/1", "/etc", "", "relative"])
def test_a_home_that_hides_the_system_is_not_covered(home: str) -> None:
    assert not can_be_covered(home, shown=())


@isolating
def test_run_refuses_a_working_directory_that_shows_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOME", raising=False)

    with pytest.raises(InvalidArgumentError, match="it would show the whole machine") as caught:
        run(["cat", "/etc/shadow"], cwd="/", isolation="bubblewrap")

    assert caught.value.argument == "cwd"


@isolating
def test_the_home_of_the_password_database_is_not_shown_with_home_unset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOME", raising=False)

    shown = run(["ls", "-A", OWN_HOME], isolation="bubblewrap")

    assert shown.stdout == ""


@isolating
def test_a_directory_below_the_home_that_is_named_is_shown_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    work = home / "projects" / "work"
    work.mkdir(parents=True)
    (home / "secret").touch()
    (home / "projects" / "other").touch()
    (work / "mine").touch()
    monkeypatch.setenv("HOME", str(home))

    shown = run(["find", str(home), "-mindepth", "1"], cwd=work, isolation="bubblewrap")

    assert sorted(shown.stdout.split()) == sorted(
        map(str, (home / "projects", work, work / "mine"))
    )


def test_a_directory_with_files_of_the_kernel_below_it_is_refused(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can mount")
    (tmp_path / "a root" / "proc").mkdir(parents=True)
    program = (
        "import subprocess, sys\n"
        "from otel_codomon.sandbox.shown import resolve_shown\n"
        "subprocess.run(['mount', '-t', 'proc', 'proc', sys.argv[1] + '/proc'], check=True)\n"
        "resolve_shown(sys.argv[1], argument='cwd', environ={})\n"
    )

    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", program, str(tmp_path / "a root")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"the kernel's own files, mounted on '{tmp_path}/a root/proc'" in done.stderr
