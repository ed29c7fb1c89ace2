"""What must not disturb the program: processes that are hidden, foreign, or of 10,000 threads."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.held import HOLD_MEMORY, started

from otel_codomon import Kind, Outcome, execution
from otel_codomon.resources import tracked_process
from otel_codomon.resources.sampler import sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_codomon.testing import Recorder

if sys.platform != "linux":  # pragma: no cover - other systems
    pytest.skip("needs Linux and its /proc", allow_module_level=True)

NOBODY = 65534
HANG_SECONDS = 60
_CLONE_NEWNS = 0x00020000
_LIBC = ctypes.CDLL(None, use_errno=True)


def in_a_child(program: Callable[[], str]) -> str:
    """What *program* returns in a forked process, which keeps to itself what it does there."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # no thread matters to this child
        pid = os.fork()
    if not pid:
        signal.alarm(HANG_SECONDS)
        answer = "it raised"
        try:
            answer = program()
        except BaseException as error:  # noqa: BLE001 - it must not go on as a test run
            answer = f"it raised {error!r}"
        finally:
            os.write(writer, answer.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return answer


def become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    # After a change of user the files of a process in /proc are root's, its own too.
    _LIBC.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE


def mount_over_proc(*arguments: str) -> None:
    """Put another file system in the place of ``/proc``, for this process alone."""
    if _LIBC.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", *arguments, "/proc"], check=True)


def may_mount() -> bool:
    def attempt() -> str:
        mount_over_proc("-t", "tmpfs", "tmpfs")
        return "yes"

    return os.geteuid() == 0 and in_a_child(attempt) == "yes"


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


def seen_of(recorder: Recorder, target: int) -> str:
    """What an execution sees that *target* was attached to: processes, transfers, outcome."""
    with execution("seen", kind=Kind.COMMAND) as current:
        current.attach(target)
        sampler.sample(at_all=True)
        latest = current.tracker.latest
        seen = None if latest is None else latest.processes
    run = recorder.executions()[-1]
    transfers = "unknown" if run.usage.disk_read_bytes is None else "known"
    return f"{seen} {transfers} {run.outcome and run.outcome.value}"


@pytest.fixture
def roots(recorder: Recorder) -> Iterator[int]:
    """The pid of a process of this user, which has been looked at once.

    So that whatever is imported late is imported: nobody may not read it.
    """
    with started(HOLD_MEMORY, 1) as child:
        seen_of(recorder, child.pid)
        yield child.pid


@needs_root
def test_another_users_process_is_seen_and_what_is_not_for_us_is_absent(
    recorder: Recorder, roots: int
) -> None:
    def program() -> str:
        become_nobody()
        return seen_of(recorder, roots)

    assert in_a_child(program) == "1 unknown success"


@pytest.mark.parametrize("whose", ["root's", "its own"])
def test_where_proc_hides_others_they_are_absent_and_its_own_are_seen(
    recorder: Recorder, roots: int, whose: str
) -> None:
    release = tuple(int(part) for part in platform.release().split(".")[:2])
    if release < (5, 8):
        pytest.skip("needs Linux 5.8: before, hidepid is of every mount of /proc on the machine")
    if not may_mount():
        pytest.skip("needs root that may mount, as in an unconfined container")

    def program() -> str:
        mount_over_proc("-t", "proc", "-o", "hidepid=2", "proc")
        become_nobody()
        if whose == "root's":
            assert not Path(f"/proc/{roots}").exists()
            return seen_of(recorder, roots)
        with subprocess.Popen(["sleep", "60"]) as own:
            seen = seen_of(recorder, own.pid)
            own.kill()
        return seen

    expected = {"root's": "None unknown success", "its own": "1 known success"}
    assert in_a_child(program) == expected[whose]


def test_where_there_is_no_proc_nothing_is_told_and_nothing_raises(recorder: Recorder) -> None:
    if not may_mount():
        pytest.skip("needs root that may mount, as in an unconfined container")

    def program() -> str:
        mount_over_proc("-t", "tmpfs", "tmpfs")
        with subprocess.Popen(["sleep", "60"]) as child:
            seen = seen_of(recorder, child.pid)
            child.kill()
        return seen

    assert in_a_child(program) == "None unknown success"


# --- threads ------------------------------------------------------------------

THREADS = """
import _thread, os, subprocess, sys, threading
threading.stack_size(65536)
closed = _thread.allocate_lock()
closed.acquire()
started = 0
try:
    while started < int(sys.argv[1]):
        _thread.start_new_thread(closed.acquire, ())
        started += 1
except RuntimeError:
    pass  # no more are allowed here
def last():
    global child
    child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL)
    print(started + 2, flush=True)
    closed.acquire()
_thread.start_new_thread(last, ())
sys.stdin.read()
child.kill()
child.wait()
os._exit(0)
"""


def thread_room() -> int:
    """Half of the threads that may still be started here, as far as files tell."""
    limits = [
        int(Path(path).read_text())
        for path in ("/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max")
    ]
    limits.append(int(Path("/proc/sys/vm/max_map_count").read_text()) // 3)
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    for path in ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"):
        with suppress(OSError, ValueError):  # none here, or "max"
            limits.append(int(Path(path).read_text()))
    return (min(limits) - len(os.listdir("/proc"))) // 2  # noqa: PTH208 - a rough count


@pytest.mark.alone
def test_ten_thousand_threads_are_read_a_few_a_look_and_the_child_of_the_last_is_found(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = max(200, min(10_000, thread_room()))
    command = (sys.executable, "-I", "-S", "-c", THREADS, str(wanted))
    pipe = subprocess.PIPE
    with (
        execution("threads", kind=Kind.COMMAND) as current,
        subprocess.Popen(command, stdin=pipe, stdout=pipe) as child,
    ):
        assert child.stdout is not None
        threads = int(child.stdout.readline())
        current.attach(child)
        # Of who has done nothing since only at every other look.
        for _ in range(2 * (tracked_process._PARTS + 1)):
            sampler.sample(at_all=True)
            latest = current.tracker.latest
            if latest is not None and latest.processes == 2:
                break
        child.communicate()

    with capsys.disabled():
        print(f" ({threads} threads)", end="")
    assert latest is not None
    assert (latest.processes, latest.threads) == (2, threads + 1)
    assert recorder.executions()[-1].outcome is Outcome.SUCCESS
