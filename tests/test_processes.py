from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import given, strategies as st
from support.descriptors import open_files
from support.held import HOLD_MEMORY, started

from otel_codomon._platform import proc_stat, procfs
from otel_codomon._platform.proc_stat import ProcessStat
from otel_codomon._platform.procfs import OpenFiles
from otel_codomon.resources.available import available_cores, available_memory_bytes
from otel_codomon.resources.process_tree import ProcessTree
from otel_codomon.resources.psutil_tree import PsutilTree

if TYPE_CHECKING:
    from otel_codomon.resources.tracked_process import TrackedProcess

MIB = 1024 * 1024
counts = st.integers(0, 2**40)
Trees = pytest.mark.parametrize("kind", [ProcessTree, PsutilTree])


@given(
    name=st.binary(max_size=15),
    faults=st.tuples(counts, counts),
    ticks=st.tuples(counts, counts, counts, counts),
    rest=st.tuples(counts, counts, counts),
)
def test_whatever_its_name_the_figures_are_found(
    name: bytes,
    faults: tuple[int, int],
    ticks: tuple[int, int, int, int],
    rest: tuple[int, int, int],
) -> None:
    threads, start, pages = rest
    words = ["S", 7, 0, 0, 0, -1, 0, faults[0], 0, faults[1], 0, *ticks]
    words += [20, 0, threads, 0, start, 0, pages, *[0] * 8, 1 << 16, 0]
    text = b"42 (" + name + b") " + " ".join(map(str, words)).encode() + b"\n"

    stat = ProcessStat(text)

    assert (stat.pid, stat.state, stat.parent, stat.is_living) == (42, b"S", 7, True)
    assert (stat.faults, stat.threads, stat.start_ticks) == (sum(faults), threads, start)
    assert stat.cpu_ns == sum(ticks[:2]) * proc_stat.TICK_NS
    assert stat.reaped_cpu_ns == sum(ticks[2:]) * proc_stat.TICK_NS
    assert stat.rss_bytes == pages * proc_stat.PAGE_BYTES
    assert stat.ignores_children  # SIGCHLD is 17


def test_a_kept_file_is_bound_to_the_process_and_not_to_its_number() -> None:
    with started(HOLD_MEMORY, 1) as child:
        file = OpenFiles().file(f"/proc/{child.pid}/stat")
        text = file.read()
    gone = file.read()
    file.close()

    assert text is not None
    assert gone is None


def test_beyond_their_bound_files_are_read_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "_most_open", lambda: 1)
    files = OpenFiles()
    path = os.path.realpath("/proc/self/stat")
    before = open_files(path).keys()

    some = [files.file("/proc/self/stat") for _ in range(5)]

    assert all(file.read() and file.read() for file in some)
    assert len(open_files(path).keys() - before) == 1
    for file in some:
        file.close()
    assert open_files(path).keys() <= before


@Trees
def test_a_tree_is_what_psutil_sees(kind: type[ProcessTree | PsutilTree]) -> None:
    tree = kind()
    with started(HOLD_MEMORY, 32) as child:
        assert tree.add(child.pid)
        reading = tree.read()
        truth = psutil.Process(child.pid).memory_info().rss
    tree.read()

    assert reading is not None
    assert (reading.processes, reading.threads) == (1, 1)
    assert reading.memory_bytes == pytest.approx(truth, rel=0.01)
    assert tree.read() is None
    assert tree.seen == 1
    assert (tree.largest_peak_bytes or 0) >= 32 * MIB
    tree.close()


@Trees
def test_a_tree_is_ended_to_its_last_member(kind: type[ProcessTree | PsutilTree]) -> None:
    tree = kind()
    script = "sleep 60 & setsid sleep 60 & echo; wait"
    with subprocess.Popen(("sh", "-c", script), stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        tree.add(child.pid)
        tree.read()

        assert tree.kill()

        assert child.stdout.read() == b""  # nobody holds the pipe open any more
    assert not tree.kill()
    tree.close()


@Trees
@pytest.mark.parametrize(
    "pid", [os.getpid(), os.getppid(), 1, 2**22 + 1], ids=["itself", "parent", "init", "nobody"]
)
def test_ourselves_those_above_us_and_nobody_are_no_tree(
    kind: type[ProcessTree | PsutilTree], pid: int
) -> None:
    assert not kind().add(pid)


def test_a_number_that_went_to_another_process_is_not_the_member_any_more() -> None:
    tree = ProcessTree()
    with subprocess.Popen(("sleep", "60")) as child:
        tree.add(child.pid)
        member: TrackedProcess = tree._members[child.pid]
        member.stat.start_ticks -= 1
        member._stat_text = None

        assert tree.read() is None
        assert not tree.kill()
        assert child.poll() is None  # and nobody else's process is ended for it
        child.kill()


def test_what_is_available_is_no_more_than_the_machine() -> None:
    assert 0 < (available_memory_bytes() or 0) <= psutil.virtual_memory().total
    assert 0 < (available_cores() or 0) <= (os.cpu_count() or 1)
