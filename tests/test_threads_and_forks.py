"""The registry of what is ours in a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.forked import die_of_a_hang
from support.programs import wait_for
from support.user_program import Program

from otel_codomon._platform import threads_and_forks
from otel_codomon._platform.threads_and_forks import (
    OwnThread,
    PausableThread,
    Wake,
    own_threads_ns,
    thread_clock_ns,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.collector import Collector

HANG_SECONDS = 120


@pytest.fixture
def hooks() -> Iterator[list[str]]:
    """What the hooks of two parts did, the other parts left out."""
    before = dict(threads_and_forks._hooks)
    yield []
    threads_and_forks._hooks.clear()
    threads_and_forks._hooks.update(before)


def test_the_clock_of_a_thread_is_its_cpu_time() -> None:
    mine = threading.get_native_id()
    before_ns = time.thread_time_ns()

    seen_ns = thread_clock_ns(mine)

    assert seen_ns is not None
    assert before_ns <= seen_ns <= time.thread_time_ns()


def test_a_thread_that_is_gone_has_no_clock() -> None:
    gone = threading.Thread(target=lambda: None)
    gone.start()
    gone.join()
    native_id = gone.native_id
    assert native_id is not None

    # Python lets go of a thread a moment before the kernel does.
    wait_for(lambda: thread_clock_ns(native_id) is None, what="the kernel to end the thread")


def test_what_our_threads_used_is_known_after_their_end() -> None:
    before_ns = own_threads_ns()

    def work() -> None:
        while time.thread_time_ns() < 20_000_000:
            pass

    thread = OwnThread(work, name="any name")
    thread.start()
    thread.join()

    assert 20_000_000 <= own_threads_ns() - before_ns < 2_000_000_000


def test_a_wake_wakes_before_and_after_it_is_waited_for() -> None:
    wake, woken = Wake(), threading.Event()

    def wait() -> None:
        if wake.wait(HANG_SECONDS):
            woken.set()

    wake.set()
    assert wake.wait(0)
    assert wake.wait(0), "it stays set until it is cleared"
    wake.clear()
    assert not wake.wait(0)
    waiter = threading.Thread(target=wait)
    waiter.start()
    wake.set()
    assert woken.wait(HANG_SECONDS)
    waiter.join()


def test_a_signal_handler_may_set_a_wake_that_its_thread_is_just_setting() -> None:
    program = (
        "import signal, sys\n"
        "from otel_codomon._platform.threads_and_forks import Wake\n"
        "wake = Wake()\n"
        "hits = 0\n"
        "def handler(*_):\n"
        "    global hits\n"
        "    hits += 1\n"
        "    wake.set(); wake.clear(); wake.set()\n"
        "signal.signal(signal.SIGALRM, handler)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)\n"
        "while hits < 500:\n"
        "    wake.set(); wake.wait(0); wake.clear()\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "print('done')\n"
    )

    shown = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=HANG_SECONDS,
    )

    assert shown.stdout == "done\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_fork_hooks_run_in_one_order_and_back(hooks: list[str]) -> None:
    threads_and_forks._hooks.clear()
    for part in ("sender", "writer", "telling"):  # not the order that counts
        threads_and_forks.on_fork(
            part,
            before=lambda part=part: hooks.append(f"before {part}"),  # type: ignore[misc] # a default argument
            in_parent=lambda part=part: hooks.append(f"parent {part}"),  # type: ignore[misc] # as above
            in_child=lambda part=part: hooks.append(f"child {part}"),  # type: ignore[misc] # as above
        )
    reading, writing = os.pipe()

    pid = os.fork()
    if not pid:
        die_of_a_hang(HANG_SECONDS)
        os.write(writing, " ".join(hooks[3:]).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as child:
        in_child = child.read()

    assert in_child == "child telling child writer child sender"
    assert hooks[:3] == ["before telling", "before writer", "before sender"]
    assert hooks[3:] == ["parent sender", "parent writer", "parent telling"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_a_hook_that_fails_keeps_no_other_from_its_turn(
    hooks: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError

    threads_and_forks._hooks.clear()
    threads_and_forks.on_fork("telling", before=fail)
    threads_and_forks.on_fork("writer", before=lambda: hooks.append("writer"))

    pid = os.fork()
    if not pid:
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)

    assert hooks == ["writer"]
    assert "a fork hook failed" in caplog.text


def test_a_part_without_a_place_in_the_order_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown part 'somewhere'"):
        threads_and_forks.on_fork("somewhere")


def test_nothing_else_registers_fork_hooks_or_starts_nameless_threads() -> None:
    package = Path(threads_and_forks.__file__).parents[1]
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "register_at_fork" in path.read_text()
    }

    assert found == {"_platform/threads_and_forks.py"}


_FORKS = """
import os, sys, time
at_fork = []
# Registered first, so that it runs last.
os.register_at_fork(before=lambda: at_fork.append(os.stat("/proc/self/task").st_nlink - 2))
from otel_codomon._platform import threads_and_forks as ours
ours.WARNS_OF_THREADS or ours.on_fork(
    "threads", before=ours._pause, in_parent=ours._resume, in_child=ours._resuming.clear
)
from otel_codomon import configure, execution
made = configure(exit_timeout=60)
for number in range(5):
    with execution(f"parent {number}"):
        while not any(t.name == "otel_codomon sampler" for t in ours._living.values()):
            time.sleep(0.001)
        pid = os.fork()
        if not pid:
            with execution(f"child {number}"):
                pass
            made.force_flush(60)
            os._exit(0)
        os.waitpid(pid, 0)
print(at_fork, made.force_flush(60))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_no_thread_of_ours_is_there_at_a_fork_and_all_are_back_after_it(
    tmp_path: Path, collector: Collector
) -> None:
    program = Program(tmp_path, collector.environment())

    done = program.run(_FORKS)

    assert (done.stdout, done.stderr) == ("[1, 1, 1, 1, 1] True\n", "")
    names = sorted(span.name for span in collector.spans())
    assert names == sorted(f"{where} {n}" for where in ("parent", "child") for n in range(5))


class Worker:
    """Counts how often it was woken, in a thread that pauses for forks."""

    def __init__(self) -> None:
        self.wake, self.go, self.rounds = Wake(), threading.Event(), 0
        self.go.set()
        self.thread = PausableThread(self.run, name="codomon-test", wake=self.wake.set)

    def run(self) -> None:
        while not self.thread.is_ending:
            self.wake.wait()
            self.wake.clear()
            self.go.wait(HANG_SECONDS)
            self.rounds += 1

    def wait_for_round(self, number: int) -> None:
        until = time.monotonic() + HANG_SECONDS
        while self.rounds < number and time.monotonic() < until:
            time.sleep(0.001)
        assert self.rounds >= number


def test_a_pausable_thread_ends_before_a_fork_and_starts_again_after_it() -> None:
    worker = Worker()
    assert worker.thread.pause_for_fork() is None  # there is none yet
    assert worker.thread.start()

    resume = worker.thread.pause_for_fork()
    was_there = worker.thread.is_there
    assert resume is not None
    resume()
    is_there = worker.thread.is_there
    rounds = worker.rounds
    worker.wake.set()
    worker.wait_for_round(rounds + 1)
    worker.thread.stop()
    worker.thread.join(HANG_SECONDS)

    assert (was_there, is_there) == (False, True)
    assert not worker.thread.start()  # stopped for good


def test_a_pausable_thread_that_is_busy_at_a_fork_works_on_after_it() -> None:
    worker = Worker()
    worker.go.clear()
    assert worker.thread.start()
    worker.wake.set()

    resume = worker.thread.pause_for_fork()  # gives up: it waits for us
    assert resume is not None
    resume()
    worker.go.set()
    worker.wait_for_round(1)
    worker.thread.stop()

    assert worker.thread.join(HANG_SECONDS)
