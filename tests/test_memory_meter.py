"""Memory of a tree where no cgroup counts it, against programs that hold a known amount."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from otel_codomon.sandbox import fork_bombs
from otel_codomon.sandbox.held_files import HeldFiles
from otel_codomon.sandbox.memory_meter import MemoryMeter
from otel_codomon.sandbox.private_tmpfs import PrivateTmpfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
MIB = 1024 * 1024
NO_LIMIT = 2**62  # below it the rough figure is enough
EXACT = 0  # above it what is shared is counted once

ANONYMOUS = f"block = b'x' * {64 * MIB}"
MEMFD = f"""
import os
held = os.memfd_create("held")
for _ in range(32):
    os.write(held, b"x" * {MIB})
"""
MAPPED_MEMFD = f"""{MEMFD}
import mmap
mapped = mmap.mmap(held, {32 * MIB})
read = mapped[:]  # maps the pages
del read
"""
FORKED = f"""
import os
block = b"x" * {64 * MIB}
for _ in range(3):
    if not os.fork():
        os.close(0)
        import signal
        signal.pause()
"""
DELETED = f"""
import os, sys
held = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
os.write(held, b"x" * {4 * MIB})
os.fsync(held)
os.unlink(sys.argv[1])
"""


READY = "\nprint('ready', flush=True)\nimport sys; sys.stdin.read()\n"

# In a process of its own: programs of other tests may run below this one.
METER = """
import os, subprocess, sys
from otel_codomon.sandbox.memory_meter import MemoryMeter
with subprocess.Popen(
    [sys.executable, "-I", "-S", "-c", sys.argv[1]],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    start_new_session=True,
) as child:
    assert child.stdout.readline() == b"ready\\n"
    print(*(MemoryMeter(int(limit)).seen() for limit in sys.argv[2:]))
    os.killpg(child.pid, 9)
"""


def metered(program: str, *limits: int) -> list[int]:
    """What a meter with each of *limits* sees where *program* is all there is, bytes."""
    done = subprocess.run(
        [sys.executable, "-c", METER, program + READY, *map(str, limits)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(word) for word in done.stdout.split()]


@contextmanager
def held_by(program: str, *arguments: str) -> Iterator[int]:
    """The process that holds what *program* makes, until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program + READY, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # pytest's own is a file without a name
        start_new_session=True,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            yield child.pid
        finally:
            os.killpg(child.pid, 9)


@pytest.mark.parametrize("limit_bytes", [NO_LIMIT, EXACT])
def test_memory_of_its_own_is_counted(limit_bytes: int) -> None:
    (seen,) = metered(ANONYMOUS, limit_bytes)

    assert 60 * MIB <= seen <= 100 * MIB


@pytest.mark.parametrize("program", [MEMFD, MAPPED_MEMFD], ids=["not mapped", "mapped"])
def test_a_memfd_counts_once_whether_it_is_mapped_or_not(program: str) -> None:
    with held_by(program) as pid:
        held = HeldFiles([pid])
    (exact,) = metered(program, EXACT)

    assert list(held.memfds.values()) == [32 * MIB]
    assert held.deleted == {}
    assert 32 * MIB <= exact <= 60 * MIB


def test_pages_that_forked_workers_share_count_once_where_it_matters() -> None:
    roughly, exact = metered(FORKED, NO_LIMIT, EXACT)

    assert roughly >= 3 * 64 * MIB
    assert exact <= 100 * MIB


def test_a_file_without_a_name_that_is_open_counts_as_disk(tmp_path: Path) -> None:
    with held_by(DELETED, str(tmp_path / "held")) as pid:
        held = HeldFiles([pid])

    assert held.memfds == {}
    assert [size // MIB for size in held.deleted.values()] == [4]


def test_of_a_process_that_is_gone_nothing_is_held() -> None:
    held = HeldFiles([2**22 + 1])

    assert (held.memfds, held.deleted) == ({}, {})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a tmpfs")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare here: install util-linux")
def test_what_is_in_a_tmpfs_that_only_the_tree_sees_is_memory(tmp_path: Path) -> None:
    place = tmp_path / "a tmpfs"  # a blank is written as \040 in the table of mounts
    place.mkdir()
    script = (
        'mount -t tmpfs none "$1" && dd if=/dev/zero of="$1/held" bs=1M count=8 2>/dev/null'
        " && echo ready && cat"
    )
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        if line != b"ready\n":
            pytest.skip("no tmpfs can be mounted here: run in a container that may")
        tmpfs = PrivateTmpfs()
        tmpfs.find([child.pid])
        tmpfs.find([child.pid])  # nothing new
        used, devices = tmpfs.used_bytes(), tmpfs.devices
        exact = MemoryMeter(EXACT).seen()
        assert child.stdin is not None
        child.stdin.close()
    tmpfs.find([])

    assert len(devices) == 1
    assert used == 8 * MIB
    assert exact >= 8 * MIB
    assert (tmpfs.devices, tmpfs.used_bytes()) == (set(), 0)


def test_the_threads_of_this_user_are_counted_for_the_bound_of_a_fork_bomb() -> None:
    stay = threading.Event()
    threads = [threading.Thread(target=stay.wait) for _ in range(50)]
    for thread in threads:
        thread.start()

    during = fork_bombs._tasks_of_user()
    stay.set()
    for thread in threads:
        thread.join()

    assert during >= 51
