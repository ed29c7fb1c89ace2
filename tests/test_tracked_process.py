"""What rests is not read again, and nothing that happens to it is missed for that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from otel_codomon._platform.proc_stat import TICK_NS
from otel_codomon.resources import process_tree, tracked_process
from otel_codomon.resources.process_tree import ProcessTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

if not process_tree.is_available():  # pragma: no cover - other systems
    pytest.skip("needs a kernel that lists the children of a thread", allow_module_level=True)

MIB = 1024 * 1024
HANG_SECONDS = 60
# Whichever turn it is when something happens.
LOOKS = process_tree._FULL_LOOKS + 1
# Does what each line of its input says, and answers.
OBEDIENT = """
import os, sys, time
kept, children = [], []
def burn():
    end = time.process_time() + 0.04
    while time.process_time() < end: pass
def fork():
    pid = os.fork()
    if not pid:
        while True: time.sleep(60)
    children.append(pid)
    return pid
def burn_and_fork():
    pid = os.fork()
    if not pid:
        burn(); os.write(1, b"burnt\\n")
        while True: time.sleep(60)
for line in sys.stdin:
    answer = eval(line)
    if answer != "no answer": print(answer, flush=True)
for pid in children:
    os.kill(pid, 9); os.waitpid(pid, 0)
"""


class Child:
    """A process that does what it is told."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.pid = popen.pid
        self._popen = popen

    def told(self, what: str) -> str:
        """Its answer, which comes when it is done."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        print(what, file=self._popen.stdin, flush=True)
        return self._popen.stdout.readline().strip()


@contextmanager
def obedient() -> Iterator[Child]:
    pipe = subprocess.PIPE
    command = (sys.executable, "-I", "-S", "-c", OBEDIENT)
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as popen:
        yield Child(popen)
        assert popen.stdin is not None
        popen.stdin.close()


@pytest.fixture(params=[True, False], ids=["runs are counted", "runs are not counted"])
def tree(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessTree]:
    if request.param and not tracked_process._counts_runs():
        pytest.skip("this kernel does not count runs: CONFIG_SCHED_INFO")
    monkeypatch.setattr(tracked_process, "_counts_runs", lambda: request.param)
    made = ProcessTree()
    yield made
    made.close()


def wait_until(true: Callable[[], object]) -> None:
    """Wait for what must come; the deadline guards against a hang, no more."""
    deadline = time.monotonic() + HANG_SECONDS
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, or waits for a parent that never asks."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def cpu_ns(pid: int) -> int:
    times = psutil.Process(pid).cpu_times()
    return round((times.user + times.system) * 1e9)


def test_what_a_sleeper_uses_when_it_wakes_is_in_the_next_look(tree: ProcessTree) -> None:
    with obedient() as child:
        tree.add(child.pid)
        for _ in range(LOOKS):
            tree.read()
            child.told("burn()")
            reading = tree.read()

            assert reading is not None
            assert reading.cpu_ns == pytest.approx(cpu_ns(child.pid), abs=2 * TICK_NS)


def test_whom_a_sleeper_starts_when_it_wakes_is_in_the_next_look(tree: ProcessTree) -> None:
    with obedient() as child:
        tree.add(child.pid)
        for started in range(1, LOOKS + 1):
            tree.read()
            child.told("fork()")
            reading = tree.read()

            assert reading is not None
            assert reading.processes == 1 + started


def test_what_a_sleeper_opens_when_it_wakes_is_in_the_next_count(tree: ProcessTree) -> None:
    with obedient() as child:
        tree.add(child.pid)
        for opened in range(1, LOOKS + 1):
            tree.read()
            child.told("kept.append(open('/dev/null'))")
            tree._slow_ns = -process_tree._SLOW_FACTS_NS  # a second later
            reading = tree.read()

            assert reading is not None
            assert reading.file_descriptors == 3 + opened


def test_memory_that_is_taken_from_a_sleeper_is_missed_in_time(
    tree: ProcessTree, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.write_bytes(b"x" * (32 * MIB))
    with obedient() as child:
        child.told(f"kept.append(__import__('mmap').mmap(os.open({str(shared)!r}, os.O_RDWR), 0))")
        child.told("kept[0][::4096].count(b'x')")
        tree.add(child.pid)
        for _ in range(LOOKS):
            before = tree.read()
        os.truncate(shared, 0)  # which takes its pages out of the memory of all who hold them
        for _ in range(process_tree._FULL_LOOKS):
            reading = tree.read()
        truth = psutil.Process(child.pid).memory_info().rss

    assert before is not None
    assert reading is not None
    assert (before.memory_bytes or 0) >= 32 * MIB
    assert reading.memory_bytes == pytest.approx(truth, rel=0.05)
    assert truth < 32 * MIB


def test_a_sleeper_whose_parent_dies_keeps_an_account_of_its_own(tree: ProcessTree) -> None:
    with obedient() as child:
        child.told("'no answer' if burn_and_fork() is None else ''")
        [orphan] = psutil.Process(child.pid).children()
        tree.add(child.pid)
        tree.read()
        while tree._looks % process_tree._FULL_LOOKS:
            tree.read()
        used_ns = cpu_ns(orphan.pid)
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        tree.read()
        os.kill(orphan.pid, signal.SIGKILL)
        wait_until(lambda: has_ended(orphan))
        tree.read()

    # Its parent's account, which never got it, is told by who waited for that.
    assert tree.outside_cpu_ns(frozenset((child.pid,))) >= used_ns


def test_children_beyond_the_first_page_of_them_are_found(tree: ProcessTree) -> None:
    many = 4096 // len("1234 ") + 50
    with obedient() as child:
        if not child.told(f"[fork() for _ in range({many})]"):
            pytest.skip(
                f"needs to start {many} processes: raise `ulimit -u` or the cgroup's pids.max"
            )
        tree.add(child.pid)
        reading = tree.read()

    assert reading is not None
    assert reading.processes == 1 + many
