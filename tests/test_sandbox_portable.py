"""Commands where there is no supervisor, as in a frozen program or on macOS."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest
from support.escapees import NamedPipe, is_alive, wait_until_dead

from otel_codomon import Limits, Outcome, arun, run
from otel_codomon.sandbox import command_runner, own_cgroup, portable

if TYPE_CHECKING:
    from pathlib import Path

    from otel_codomon.testing import Recorder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="its programs are those of POSIX")

MIB = 1024 * 1024

# Says its process id on the named pipe, and ignores SIGTERM in its parent's session.
DEAF_CHILD = """
import os, signal, sys, time
reader, writer = os.pipe()
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(writer, b"x")
    with open(sys.argv[1], "w") as told:
        print(os.getpid(), file=told)
    time.sleep(1000)
os.read(reader, 1)
"""
STAYING = DEAF_CHILD + "time.sleep(1000)\n"


@pytest.fixture(autouse=True)
def _no_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (command_runner, own_cgroup):
        monkeypatch.setattr(module, "has_supervisor", lambda: False)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hears of its end, and what is left to read, has the time of a slow machine."""
    monkeypatch.setattr(portable, "GRACE_SECONDS", 120.0)


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not hear of its end is not waited for as long."""
    monkeypatch.setattr(portable, "GRACE_SECONDS", 0.5)


@pytest.fixture(autouse=True)
def _tell_again() -> None:
    portable._report_not_held.cache_clear()


def test_what_it_writes_and_how_it_ends_is_told() -> None:
    result = run(["sh", "-c", "echo out; echo err >&2; exit 3"])

    assert (result.outcome, result.exit_code) == (Outcome.ERROR, 3)
    assert (result.stdout, result.stderr, result.truncated) == ("out\n", "err\n", False)


def test_a_signal_is_told_by_its_name() -> None:
    result = run(["sh", "-c", "kill -SEGV $$"])

    assert (result.outcome, result.exit_code, result.signal) == (Outcome.KILLED, 139, "SIGSEGV")


def test_a_program_that_cannot_be_started_is_a_setup_error(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(b"\x7fELF and nothing else")
    script.chmod(0o755)

    result = run([script])

    assert (result.outcome, result.exit_code) == (Outcome.SETUP_ERROR, 126)
    assert (result.pid, result.reason) == (None, "Exec format error")


def test_it_reads_what_it_is_given_and_output_beyond_the_limit_is_counted() -> None:
    data = os.urandom(3 * MIB)

    whole = run(["cat"], stdin=data, limits=Limits(output_bytes=4 * MIB))
    part = run(["cat"], stdin=data, limits=Limits(output_bytes=1000))

    assert whole.output.kept == data
    assert (part.output.kept, part.output.total_bytes) == (data[:1000], 3 * MIB)
    assert part.truncated


def test_a_stop_of_this_process_does_not_cost_what_is_left_to_read() -> None:
    may_read = threading.Event()

    class Reading(threading.Thread):
        """Has no turn until the first wait for it has ended."""

        def run(self) -> None:
            may_read.wait(120)

        def join(self, timeout: float | None = None) -> None:
            if may_read.is_set():
                super().join(timeout)
            may_read.set()

    reading = Reading()
    reading.start()

    portable._outlast(reading)

    assert not reading.is_alive()


def test_a_program_that_does_not_read_ends_all_the_same() -> None:
    assert run(["true"], stdin=b"x" * 8 * MIB).succeeded


def test_a_command_that_runs_out_of_time_is_told_by_what_it_ended() -> None:
    result = run(["sleep", "1000"], timeout=0.1)

    assert (result.outcome, result.signal) == (Outcome.TIMEOUT, "SIGTERM")


@pytest.mark.usefixtures("impatience")
def test_who_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    children = []

    def until_told(*_: object) -> tuple[bool, bool]:
        children.append(told.number())
        return True, False

    monkeypatch.setattr(portable, "_wait", until_told)
    with NamedPipe(tmp_path / "told") as told:
        result = run([sys.executable, "-c", STAYING, tmp_path / "told"])

    assert result.outcome is Outcome.TIMEOUT
    for child in children:
        wait_until_dead(child)


@pytest.mark.usefixtures("impatience")
def test_who_is_left_in_its_session_ends_with_it(tmp_path: Path) -> None:
    with NamedPipe(tmp_path / "told") as told:
        result = run([sys.executable, "-c", DEAF_CHILD, tmp_path / "told"])
        child = told.number()

    assert result.succeeded
    wait_until_dead(child)


def test_strangers_who_have_got_its_number_are_left_alone() -> None:
    with subprocess.Popen(
        ["sh", "-c", "sleep 1000 & echo $!; wait"], start_new_session=True, stdout=subprocess.PIPE
    ) as strangers:
        try:
            assert strangers.stdout is not None
            child = int(strangers.stdout.readline())
            tree = portable._Tree(strangers)
            assert [each.pid for each in tree._session()] == [child]

            tree._root = psutil.Process()  # so the one of this number is not who was started
            assert list(tree._session()) == []
        finally:
            os.killpg(strangers.pid, signal.SIGKILL)


@pytest.mark.usefixtures("impatience")
def test_a_task_that_is_cancelled_ends_the_tree(tmp_path: Path) -> None:
    async def cancel_when_it_runs() -> int:
        with NamedPipe(tmp_path / "told") as told:
            task = asyncio.create_task(arun([sys.executable, "-c", STAYING, tmp_path / "told"]))
            child = await asyncio.to_thread(told.number)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return child

    wait_until_dead(asyncio.run(cancel_when_it_runs()))


def test_an_exception_while_it_is_started_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pids = []

    def interrupted(tree: portable._Tree) -> int:
        pids.append(tree._process.pid)
        return end(tree)

    end = portable._Tree.end
    monkeypatch.setattr(portable._Tree, "end", interrupted)
    monkeypatch.setattr(portable, "_wait", lambda *_: signal.raise_signal(signal.SIGINT))

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(["sleep", "1000"])
    finally:
        signal.signal(signal.SIGINT, before)

    assert [is_alive(pid) for pid in pids] == [False]


def test_limits_that_nobody_holds_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(memory_bytes=500 * MIB, processes=100, output_bytes=1000)

    assert run(["true"], limits=limits).succeeded
    assert run(["true"], limits=limits).succeeded

    [record] = [record for record in caplog.records if record.name == portable.__name__]
    assert record.getMessage().startswith("cannot enforce memory_bytes, processes here")


def test_isolation_that_cannot_be_had_is_a_setup_error() -> None:
    result = run(["true"], isolation="bubblewrap")

    assert result.outcome is Outcome.SETUP_ERROR
    assert result.reason is not None
    assert result.reason.startswith("cannot isolate with bubblewrap: ")


def test_its_figures_are_not_those_of_a_cgroup_that_it_is_not_in(recorder: Recorder) -> None:
    run(["true"])

    [execution] = recorder.executions()
    assert execution.usage.source != "cgroup"
