"""Cgroups that somebody else made, and attached to an execution."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from support.programs import wait_for

from otel_codomon import Outcome, Thresholds, execution
from otel_codomon._platform import cgroups
from otel_codomon._platform.procfs import OpenFiles
from otel_codomon.resources.cgroup_source import CgroupSource
from otel_codomon.resources.targets import Attached

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from otel_codomon._platform.cgroup_files import CgroupTotals
    from otel_codomon.journal.execution_record import ExecutionRecord
    from otel_codomon.resources.usage import Usage
    from otel_codomon.testing import Recorder

MIB = 1024 * 1024
PYTHON = (sys.executable, "-I", "-S", "-c")
WORKS = "import time\nwhile time.process_time() < 0.3: pass\n"
WAITS_AND_WORKS = f"print(flush=True)\ninput()\n{WORKS}"
HOLDS = "held = b'x' * (100 << 20)\nprint(flush=True)\ninput()\n"


class Sandbox:
    """A cgroup of which nobody but the test knows that we made it."""

    def __init__(self, made: cgroups.Cgroup) -> None:
        self.made = made

    @property
    def seen(self) -> cgroups.Cgroup:
        """It, as everybody else sees it.

        Its path would do for a container, which has the same in all controllers.
        """
        return cgroups.Cgroup(self.made.folders, is_ours=False)

    def start(self, source: str) -> subprocess.Popen[bytes]:
        """Start *source* in it."""
        return subprocess.Popen(
            [*PYTHON, source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=self.made.join,  # noqa: PLW1509 - it writes a file
        )

    def remove(self) -> CgroupTotals:
        """Remove it as an engine does when its last process has ended; its last totals."""
        wait_for(lambda: not self.made.pids() or None, what="an empty cgroup")
        totals = self.made.totals()
        wait_for(lambda: self.made.remove() or None, what="a cgroup that is gone")
        return totals


@contextmanager
def made_sandbox(name: str = "") -> Iterator[Sandbox]:
    made = cgroups.create(name)
    if made is None:
        pytest.skip("no cgroup can be made here: run as root, or in a delegated unit")
    yield Sandbox(made)
    made.kill()
    made.remove()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with made_sandbox() as made:
        yield made


def needs_memory(sandbox: Sandbox) -> None:
    if sandbox.made.totals().peak_memory_bytes is None:
        pytest.skip("no memory controller here")


def the_end(recorder: Recorder) -> ExecutionRecord:
    (ended,) = recorder.executions()
    return ended


def usage_of(recorder: Recorder) -> Usage:
    return the_end(recorder).usage


def idle_since(child: subprocess.Popen[bytes], sandbox: Sandbox) -> int:
    """Wait until *child* waits; what its cgroup has used until then, nanoseconds."""
    assert child.stdout is not None
    child.stdout.readline()
    return sandbox.made.totals().cpu_ns or 0


def test_totals_survive_the_removal_of_the_cgroup(recorder: Recorder, sandbox: Sandbox) -> None:
    with execution("sandboxed", kind="command") as current:
        child = sandbox.start(WAITS_AND_WORKS)
        before_ns = idle_since(child, sandbox)
        current.attach(sandbox.seen)
        child.communicate(b"\n")
        totals = sandbox.remove()

    usage = usage_of(recorder)
    assert totals.cpu_ns is not None
    assert usage.source == "cgroup"
    assert usage.cpu_seconds is not None
    if usage.is_final is None:
        assert usage.cpu_seconds == pytest.approx(
            (totals.cpu_ns - before_ns) / 1e9, rel=0.01, abs=0.01
        )
    else:  # the removal was faster than the watch
        assert usage.is_final is False
        assert usage.cpu_seconds <= totals.cpu_ns / 1e9


def test_the_last_totals_are_read_when_the_last_process_ends(
    recorder: Recorder, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = threading.Event()
    note = CgroupSource.note_exit

    def note_exit(self: CgroupSource, ended: Collection[int]) -> None:
        note(self, ended)
        if not set(self.cgroup.pids()).difference(ended):
            noted.set()

    monkeypatch.setattr(CgroupSource, "note_exit", note_exit)
    with execution("sandboxed", kind="command") as current:
        child = sandbox.start(WAITS_AND_WORKS)
        before_ns = idle_since(child, sandbox)
        current.attach(sandbox.seen)
        child.communicate(b"\n")
        assert noted.wait(60)
        totals = sandbox.remove()

    usage = usage_of(recorder)
    assert usage.is_final is None
    assert totals.cpu_ns is not None
    assert usage.cpu_seconds == pytest.approx((totals.cpu_ns - before_ns) / 1e9, rel=0.01, abs=0.01)


def test_where_the_last_totals_are_missed_the_last_sample_stands(
    recorder: Recorder, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with execution("sandboxed", kind="command") as current:
        child = sandbox.start(WORKS + HOLDS)
        assert child.stdout is not None
        child.stdout.readline()
        current.attach(sandbox.seen)
        child.communicate(b"\n")
        sandbox.remove()

    usage = usage_of(recorder)
    assert usage.source == "cgroup"
    assert usage.is_final is False


def test_several_cgroups_add_up(recorder: Recorder) -> None:
    with ExitStack() as stack:
        several = [stack.enter_context(made_sandbox(name)) for name in ("one", "two")]
        needs_memory(several[0])
        with execution("both", kind="command") as current:
            for sandbox in several:
                current.attach(sandbox.seen)
            children = [sandbox.start(WORKS + HOLDS) for sandbox in several]
            for child in children:
                assert child.stdout is not None
                child.stdout.readline()
            for child in children:
                child.communicate(b"\n")
        totals = [sandbox.made.totals() for sandbox in several]

    usage = usage_of(recorder)
    cpu_ns = sum(one.cpu_ns or 0 for one in totals)
    assert usage.cpu_seconds == pytest.approx(cpu_ns / 1e9, rel=0.02, abs=0.01)
    assert usage.peak_memory_bytes is not None
    assert usage.peak_memory_upper_bytes is not None
    assert usage.peak_memory_bytes >= 100 * MIB
    assert 200 * MIB <= usage.peak_memory_upper_bytes <= 300 * MIB


def test_the_same_twice_and_one_within_another_count_once(
    recorder: Recorder, sandbox: Sandbox
) -> None:
    inner = {name: f"{folder}/inner" for name, folder in sandbox.made.folders.items()}
    for folder in dict.fromkeys(inner.values()):
        os.mkdir(folder)  # noqa: PTH102 - of a control file system
    within = cgroups.Cgroup(inner, is_ours=True)
    try:
        with execution("nested", kind="command") as current:
            for one in (sandbox.seen, sandbox.seen, Sandbox(within).seen):
                current.attach(one)
            Sandbox(within).start(WORKS).communicate()
        totals = sandbox.made.totals()
    finally:
        within.kill()
        wait_for(lambda: within.remove() or None, what="a cgroup that is gone")

    assert totals.cpu_ns is not None
    usage = usage_of(recorder)
    assert usage.cpu_seconds == pytest.approx(totals.cpu_ns / 1e9, rel=0.02, abs=0.01)


@pytest.mark.parametrize("exit_code", [None, 137, 1])
def test_a_kill_for_want_of_memory_is_told(
    recorder: Recorder, sandbox: Sandbox, exit_code: int | None
) -> None:
    if "memory_bytes" not in sandbox.made.limit(memory_bytes=64 * MIB):
        pytest.skip("no memory controller here")
    with execution("greedy", kind="command") as current:
        current.attach(sandbox.seen)
        child = sandbox.start("held = b'x' * (200 << 20)")
        child.communicate()
        if exit_code is not None:
            current.record(exit_code=exit_code)

    assert child.returncode == -signal.SIGKILL
    ended = the_end(recorder)
    assert ended.outcome is Outcome.OOM_KILLED
    assert ended.attributes.get("process.exit.code") == exit_code


def test_a_kill_that_the_caller_knows_of_and_calls_a_success_is_one(
    recorder: Recorder, sandbox: Sandbox
) -> None:
    if "memory_bytes" not in sandbox.made.limit(memory_bytes=64 * MIB):
        pytest.skip("no memory controller here")
    with execution("greedy", kind="command") as current:
        current.attach(sandbox.seen)
        sandbox.start("held = b'x' * (200 << 20)").communicate()
        current.record(outcome="success")

    assert the_end(recorder).outcome is Outcome.SUCCESS


def test_a_threshold_ends_what_is_in_it(recorder: Recorder, sandbox: Sandbox) -> None:
    needs_memory(sandbox)
    thresholds = Thresholds(memory_bytes=50 * MIB, end=True)
    with execution("greedy", kind="command", thresholds=thresholds) as current:
        current.attach(sandbox.seen)
        with sandbox.start(HOLDS) as child:
            child.wait()

    assert child.returncode == -signal.SIGKILL
    assert the_end(recorder).outcome is Outcome.LIMIT_EXCEEDED
    pids_max = f"{sandbox.made.folders.get('pids')}/pids.max"
    if os.path.exists(pids_max):  # noqa: PTH110 - of a control file system
        with open(pids_max) as file:  # noqa: PTH123 - as above
            assert file.read().strip() == "max"  # what others made keeps its limits


def test_a_path_that_is_no_cgroup_is_reported(
    recorder: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with execution("mistaken") as current:
        current.attach(str(tmp_path))

    assert "is not a cgroup; nothing was attached" in caplog.text
    assert the_end(recorder).outcome is Outcome.SUCCESS


def test_nothing_is_left_open_in_a_forked_child(recorder: Recorder, sandbox: Sandbox) -> None:
    child = sandbox.start("input()")
    with execution("sandboxed", kind="command") as current:
        current.attach(sandbox.seen)

        def pidfds() -> int:
            links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))  # noqa: PTH208
            found = (os.readlink(link) for link in links if os.path.lexists(link))  # noqa: PTH115
            return sum("pidfd" in target for target in found)

        wait_for(lambda: pidfds() or None, what="a descriptor of the process")
        pid = os.fork()
        if not pid:
            os._exit(pidfds())
        _, status = os.waitpid(pid, 0)
        child.communicate(b"\n")

    assert os.waitstatus_to_exitcode(status) == 0
    assert the_end(recorder).outcome is Outcome.SUCCESS


def test_an_exit_that_is_seen_after_the_end_opens_nothing(sandbox: Sandbox) -> None:
    cgroup = sandbox.seen
    attached = Attached(time.monotonic_ns(), OpenFiles())
    attached.attach(cgroup)
    attached.close()
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - names are all that is wanted

    attached._note_exit(CgroupSource(cgroup), ())
    cgroup.close()  # what the source itself has opened
    attached._note_exit(attached._cgroups[0], ())

    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208 - as above


@pytest.mark.parametrize("is_known_to_have_ended", [True, False])
def test_a_process_that_has_ended_and_is_still_listed_is_no_member(
    sandbox: Sandbox, *, is_known_to_have_ended: bool
) -> None:
    source = CgroupSource(sandbox.seen)
    with sandbox.start("print(flush=True); input()") as child:  # in place of one not waited for
        idle_since(child, sandbox)
        source.note_exit((child.pid,) if is_known_to_have_ended else ())
        child.communicate(b"\n")
    sandbox.remove()

    assert source.usage().is_final is (None if is_known_to_have_ended else False)
    source.cgroup.close()


INSIDE = """
import subprocess, sys, time
from otel_codomon._platform import cgroups
from otel_codomon._platform.procfs import OpenFiles
from otel_codomon.resources.targets import Attached
outer = dict(one.split("=", 1) for one in sys.argv[1:])
inner = cgroups.Cgroup({name: f"{path}/inner" for name, path in outer.items()}, is_ours=True)
attached = Attached(time.monotonic_ns(), OpenFiles())
attached.attach(cgroups.Cgroup(outer, is_ours=False))
attached.attach(inner)
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, preexec_fn=inner.join)
assert attached.kill()
print(child.wait())
"""


def test_a_cgroup_of_ours_is_ended_also_below_one_that_its_observer_is_in(sandbox: Sandbox) -> None:
    outer = sandbox.made.folders
    for folder in dict.fromkeys(outer.values()):
        os.mkdir(f"{folder}/inner")  # noqa: PTH102 - of a control file system
    try:
        done = subprocess.run(
            [sys.executable, "-c", INSIDE, *(f"{name}={path}" for name, path in outer.items())],
            stdout=subprocess.PIPE,
            preexec_fn=sandbox.made.join,
            check=False,
        )
    finally:
        for folder in dict.fromkeys(outer.values()):
            os.rmdir(f"{folder}/inner")  # noqa: PTH106 - as above

    assert (done.returncode, done.stdout) == (0, b"-9\n")
