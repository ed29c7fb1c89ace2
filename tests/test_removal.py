"""Directories that untrusted code has filled, whatever their shape."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from otel_codomon import Outcome, names, run
from otel_codomon.sandbox import private_directory, removal
from otel_codomon.sandbox.private_directory import PrivateDirectory
from otel_codomon.sandbox.toolchains import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its directories are Linux's")

_NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda name: b"\0" not in name and b"/" not in name and name not in {b".", b".."}
)
_MODES = st.sampled_from([0, 0o100, 0o200, 0o400, 0o500, 0o700])
_LEAVES = st.sampled_from(["file", "link", "pipe"])
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.tuples(_MODES, st.dictionaries(_NAMES, inner, max_size=4)),
    max_leaves=20,
)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal has the time that a slow machine takes."""
    monkeypatch.setattr(private_directory, "REMOVAL_SECONDS", 600.0)


@pytest.fixture
def private() -> Iterator[PrivateDirectory]:
    made = PrivateDirectory()
    yield made
    made.remove()


def _plant(path: bytes, tree: Any) -> None:  # noqa: ANN401 - recursive
    if tree == "file":
        Path(os.fsdecode(path)).write_text("x")
    elif tree == "link":
        os.symlink("/", path)
    elif tree == "pipe":
        os.mkfifo(path)
    else:
        mode, inner = tree
        os.mkdir(path)
        for name, below in inner.items():
            _plant(path + b"/" + name, below)
        os.chmod(path, mode)


@given(st.tuples(_MODES, st.dictionaries(_NAMES, _TREES, max_size=6)))
def test_a_directory_of_any_shape_is_removed(tree: tuple[int, dict[bytes, Any]]) -> None:
    private = PrivateDirectory()
    mode, inner = tree
    for name, below in inner.items():
        _plant(os.fsencode(private.path) + b"/" + name, below)
    os.chmod(private.path, mode)

    assert private.remove() is None
    assert not os.path.lexists(private.path)


def _dig(private: PrivateDirectory, levels: int) -> None:
    program = f"import os\nfor _ in range({levels}):\n    os.mkdir('d'); os.chdir('d')"
    subprocess.run([sys.executable, "-c", program], cwd=private.path, check=True)


def test_thousands_of_levels_take_a_few_descriptors(private: PrivateDirectory) -> None:
    import resource

    _dig(private, 3000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 6, hard))
    try:
        left = private.remove()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert left is None
    assert not os.path.lexists(private.path)


def test_what_cannot_be_removed_is_told_and_the_rest_goes(
    private: PrivateDirectory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "stays", "z"):
        Path(private.path, name).mkdir()
        Path(private.path, name, "file").write_text("")
    unlink = os.unlink

    def refusing(name: str, *, dir_fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{dir_fd}").endswith("/stays"):
            raise PermissionError(errno.EPERM, "as for an immutable file")
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refusing)
    left = private.remove()
    monkeypatch.setattr(os, "unlink", unlink)

    assert left == (
        f"{private.path}: 1 entry left, such as 'file': it is immutable, or another user's"
    )
    assert os.listdir(private.path) == ["stays"]
    [record] = [record for record in caplog.records if record.name == private_directory.__name__]
    assert record.getMessage() == f"a private directory was not removed: {left}"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_what_is_mounted_in_it_is_not_emptied(private: PrivateDirectory, tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.write_text("")
    mounted = Path(private.path, "deep", "mounted")
    mounted.mkdir(parents=True)
    done = subprocess.run(["mount", "--bind", tmp_path, mounted], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount here: {done.stderr.decode()}")
    try:
        left = private.remove()
    finally:
        subprocess.run(["umount", mounted], check=True)

    assert left == f"{private.path}: 1 entry left, such as 'mounted': something is mounted on it"
    assert treasure.exists()


def test_a_link_that_takes_the_place_of_a_directory_is_not_followed(
    private: PrivateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "treasure").write_text("")
    trap = Path(private.path, "trap")
    trap.mkdir()
    (trap / "file").write_text("")
    opened = os.open

    def swapping(path: str, *args: Any, **options: Any) -> int:
        if path == "trap" and not trap.is_symlink():
            shutil.rmtree(trap)
            trap.symlink_to(tmp_path)
        return opened(path, *args, **options)

    monkeypatch.setattr(os, "open", swapping)
    private.remove()
    monkeypatch.undo()

    assert trap.is_symlink() or not trap.exists()
    assert (tmp_path / "treasure").exists()


def test_a_survivor_that_swaps_links_and_directories_reaches_nothing_outside(
    private: PrivateDirectory, tmp_path: Path
) -> None:
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    for number in range(50):
        (treasure / str(number)).write_text("")
    swapping = """
import os, sys
treasure = sys.argv[1]
print("swapping", flush=True)
while True:
    try:
        os.mkdir("trap")
        open("trap/file", "w").close()
        os.rename("trap", "moved")
        os.symlink(treasure, "trap")
        os.rename("moved", "trap-2")
        os.unlink("trap")
        os.symlink(treasure, "moved")
    except OSError: pass
"""
    survivor = subprocess.Popen(
        [sys.executable, "-c", swapping, str(treasure)], cwd=private.path, stdout=subprocess.PIPE
    )
    try:
        assert survivor.stdout is not None
        survivor.stdout.readline()
        for _ in range(200):
            removing = removal.Removal(private._fd, until=time.monotonic() + 600)
            removing.run()
    finally:
        survivor.kill()
        survivor.communicate()

    assert len(list(treasure.iterdir())) == 50
    assert private.remove() is None


def test_a_directory_that_moves_while_we_are_in_it_is_removed_all_the_same(
    private: PrivateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(private.path, "a", "b", "c").mkdir(parents=True)
    Path(private.path, "elsewhere").mkdir()
    opened = os.open
    moved = False

    def moving(path: str, *args: Any, **options: Any) -> int:
        nonlocal moved
        if path == ".." and not moved:
            moved = True
            Path(private.path, "a", "b").rename(Path(private.path, "elsewhere", "b"))
        return opened(path, *args, **options)

    Path(private.path, "a", "b", "file").write_text("")
    monkeypatch.setattr(os, "open", moving)

    assert private.remove() is None
    assert moved
    assert not os.path.lexists(private.path)


def test_files_that_come_as_fast_as_they_go_end_with_the_time(
    private: PrivateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmdir = os.rmdir

    def filling(path: str, *, dir_fd: int | None = None) -> None:
        if path == "again":
            Path(private.path, "again", "file").write_text("")
        rmdir(path, dir_fd=dir_fd)

    Path(private.path, "again").mkdir()
    monkeypatch.setattr(private_directory, "REMOVAL_SECONDS", 0.1)
    monkeypatch.setattr(os, "rmdir", filling)
    left = private.remove()
    monkeypatch.undo()

    assert left is not None
    assert left.endswith("there was not enough time")


def test_a_directory_is_found_where_the_command_has_moved_it(tmp_path: Path) -> None:
    private = PrivateDirectory()
    Path(private.path, "file").write_text("")
    Path(private.path).rename(tmp_path / "moved")
    Path(private.path).symlink_to(tmp_path)
    try:
        assert private.remove() is None
        assert os.listdir(tmp_path) == []
    finally:
        Path(private.path).unlink()


def test_a_descriptor_that_the_program_closed_is_not_missed(tmp_path: Path) -> None:
    private = PrivateDirectory()
    Path(private.path, "file").write_text("")
    (tmp_path / "treasure").write_text("")
    number = private._fd
    stranger = os.open(tmp_path, os.O_RDONLY)
    os.dup2(stranger, number)
    os.close(stranger)
    try:
        assert private.remove() is None
        assert not os.path.lexists(private.path)
        assert os.listdir(number) == ["treasure"]  # neither emptied nor closed
    finally:
        os.close(number)


def test_an_exception_of_a_signal_handler_waits_until_it_is_gone(
    private: PrivateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(private.path, "file").write_text("")
    unlink = os.unlink
    raised = False

    def interrupted(name: str, *, dir_fd: int) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise SystemExit(3)
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", interrupted)

    with pytest.raises(SystemExit):
        private.remove()
    assert not os.path.lexists(private.path)


def test_where_no_directory_can_be_made_the_way_out_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    with pytest.raises(UnavailableError, match=r"cannot make a private directory: .*; set TMPDIR"):
        PrivateDirectory()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_user_removes_what_was_closed_to_him() -> None:
    """Root enters everything: so this is another user's removal, in a child."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # no thread matters to this child
        child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            private = PrivateDirectory()
            tree = {
                b"none": (0, {b"f": "file"}),
                b"blind": (0o300, {b"\xff": (0o500, {b"f": "file"})}),
            }
            for name, below in tree.items():
                _plant(os.fsencode(private.path) + b"/" + name, below)
            os.chmod(private.path, 0)
            os.write(writer, f"{private.remove()} {os.path.lexists(private.path)}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        assert told.read() == "None False"


# --- through run ---------------------------------------------------------------


def test_source_text_that_digs_deep_has_a_result_and_leaves_nothing() -> None:
    program = (
        "import os; print(os.getcwd())\nfor _ in range(1200):\n    os.mkdir('d'); os.chdir('d')"
    )

    result = run(program, language="python")

    assert (result.outcome, dict(result.attributes)) == (Outcome.SUCCESS, {})
    assert not os.path.lexists(result.stdout.strip())


def test_what_remains_is_on_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_directory, "REMOVAL_SECONDS", 0.0)
    result = run("import os; open('file', 'w'); print(os.getcwd())", language="python")
    folder = result.stdout.strip()

    assert result.succeeded
    assert result.attributes == {
        names.CLEANUP_LEFT: f"{folder}: 1 entry left, such as '.': there was not enough time"
    }
    shutil.rmtree(folder)


def test_without_a_temporary_directory_source_text_is_a_setup_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    result = run("print(1)", language="python")

    assert result.outcome is Outcome.SETUP_ERROR
    assert result.reason == (
        "cannot make a private directory: no such file or directory; "
        "set TMPDIR to a directory that can be written to"
    )
    assert run(["true"]).succeeded
