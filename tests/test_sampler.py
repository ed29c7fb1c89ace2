"""The one thread: that it starts, ends, forks, and ends what is beyond its marks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from support.descriptors import open_files
from support.held import HOLD_MEMORY, started

from otel_codomon import Kind, Outcome, Thresholds, execution, names
from otel_codomon._platform import never_raises
from otel_codomon.resources.sampler import Sampler, sampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.testing import Recorder

MIB = 1024 * 1024
HANG_SECONDS = 120


def wait_until(true: Callable[[], object]) -> None:
    """Wait for what must come; the deadline guards against a hang, no more."""
    deadline = time.monotonic() + HANG_SECONDS
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


def events(recorder: Recorder) -> list[tuple[str, object, object]]:
    return [
        (
            event.name,
            (event.attributes or {})[names.LIMIT_TYPE],
            (event.attributes or {})[names.LIMIT_VALUE],
        )
        for event in recorder.spans()[-1].events
    ]


def test_beyond_a_threshold_an_event_is_on_the_span_once(recorder: Recorder) -> None:
    marks = Thresholds(memory_bytes=32 * MIB)
    watched = execution("large", kind=Kind.COMMAND, thresholds=marks)
    with watched as current, started(HOLD_MEMORY, 64) as child:
        current.attach(child)
        sampler.sample(at_all=True)
        sampler.sample(at_all=True)

    assert events(recorder) == [("codomon.threshold.crossed", "memory", 32 * MIB)]
    assert recorder.executions()[-1].outcome is Outcome.SUCCESS


def test_a_threshold_may_end_the_whole_tree(recorder: Recorder) -> None:
    marks = Thresholds(processes=2, end=True)
    program = (
        "import os, signal\n"
        "for _ in range(4):\n"
        "    if not os.fork(): os.setsid(); signal.pause()\n"
        "signal.pause()\n"
    )
    command = [sys.executable, "-I", "-S", "-c", program]
    watched = execution("many", kind=Kind.COMMAND, thresholds=marks)
    with watched as current, subprocess.Popen(command) as child:
        current.attach(child)
        current.record(exit_code=child.wait(HANG_SECONDS))

    [run] = recorder.executions()
    assert (run.outcome, run.attributes["process.exit.code"]) == (Outcome.LIMIT_EXCEEDED, 137)
    assert run.attributes["codomon.execution.reason"] == "ended beyond its processes threshold"
    assert events(recorder) == [("codomon.threshold.crossed", "processes", 2)]


def test_what_is_attached_beyond_a_threshold_is_ended_for_it(recorder: Recorder) -> None:
    marks = Thresholds(wall_seconds=1e-9, end=True)
    watched = execution("late", kind=Kind.COMMAND, thresholds=marks)
    with watched as current, started(HOLD_MEMORY, 1) as child:
        sampler.sample(at_all=True)
        current.attach(child)
        sampler.sample(at_all=True)
        current.record(exit_code=child.wait(HANG_SECONDS))

    assert recorder.executions()[-1].outcome is Outcome.LIMIT_EXCEEDED
    assert events(recorder) == [("codomon.threshold.crossed", "wall", 1e-9)]


def test_what_runs_in_this_process_is_told_of_and_not_ended(recorder: Recorder) -> None:
    with execution("slow", thresholds=Thresholds(wall_seconds=1e-9, end=True)):
        pass

    assert events(recorder) == [("codomon.threshold.crossed", "wall", 1e-9)]
    assert recorder.executions()[-1].outcome is Outcome.SUCCESS


def test_the_thread_ends_after_the_last_execution() -> None:
    own = Sampler()
    own._start()
    [thread] = [t for t in threading.enumerate() if t is own._thread]

    own.stop()

    thread.join(HANG_SECONDS)
    assert not thread.is_alive()


def test_a_look_is_measured(recorder: Recorder) -> None:
    with execution("looked at"):
        sampler.sample(at_all=True)

    [point] = recorder.metrics()["codomon.sampler.duration"]
    assert point.count >= 1  # type: ignore[union-attr] # a histogram


@pytest.mark.usefixtures("recorder")
def test_a_forked_child_watches_its_own_and_not_its_parents() -> None:
    with execution("parent", kind=Kind.COMMAND) as current, started(HOLD_MEMORY, 1) as child:
        current.attach(child)
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            inherited = len(sampler._trackers)
            with execution("child"):
                alone = len(sampler._trackers)
                sampler.sample(at_all=True)
            thread = sampler._thread
            is_own = thread is not None and thread.is_alive()
            os.write(writer, f"{inherited} {alone} {is_own}".encode())
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(writer)
        told = os.read(reader, 100)
        os.close(reader)

    assert told == b"0 1 True"


def test_a_fork_in_the_middle_of_a_look_leaves_both_at_work(recorder: Recorder) -> None:
    with execution("busy", kind=Kind.COMMAND) as current, started(HOLD_MEMORY, 1) as child:
        current.attach(child)
        stop = threading.Event()

        def look() -> None:
            while not stop.is_set():
                sampler.sample(at_all=True)

        looking = threading.Thread(target=look)
        looking.start()
        codes = []
        for _ in range(20):
            pid = os.fork()
            if not pid:
                with execution("child"):
                    sampler.sample(at_all=True)
                os._exit(0)
            codes.append(os.waitpid(pid, 0)[1])
        stop.set()
        looking.join(HANG_SECONDS)

    assert codes == [0] * 20
    assert recorder.executions()[-1].usage.peak_memory_bytes is not None


def test_a_fork_waits_until_a_look_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The locks of an SDK that a thread holds in a fork are held in the child for ever."""
    monkeypatch.setattr(never_raises, "_FORK_SECONDS", HANG_SECONDS)
    lock, is_in, may_leave = threading.Lock(), threading.Event(), threading.Event()

    def tell(_seconds: float) -> None:
        with lock:
            is_in.set()
            may_leave.wait(HANG_SECONDS)

    class Fine:
        due = started = 0.0

        def sample(self) -> None:
            return

    own, codes = Sampler(), []
    own._trackers = {1: Fine()}  # type: ignore[dict-item] # stands in for a watch
    own.on_sample = tell

    def fork() -> None:
        pid = os.fork()
        if not pid:
            os._exit(lock.locked())
        codes.append(os.waitpid(pid, 0)[1])

    looking, forking = threading.Thread(target=own.sample), threading.Thread(target=fork)
    looking.start()
    is_in.wait(HANG_SECONDS)
    forking.start()
    forking.join(0.2)  # a fork that does not wait is over by then, mostly: this may not hurt
    may_leave.set()
    for thread in (looking, forking):
        thread.join(HANG_SECONDS)

    assert codes == [0]


def test_after_many_executions_the_host_is_as_it_was(recorder: Recorder) -> None:
    me = psutil.Process()

    @execution
    def work() -> None:
        return None

    for _ in range(200):
        work()
    descriptors, threads = me.num_fds(), me.num_threads()
    for _ in range(10_000):
        work()
    recorder.clear()

    # What has leaked stays; others of this process may hold one for a moment.
    wait_until(lambda: me.num_fds() <= descriptors)
    # The sampler's may have ended and started.
    wait_until(lambda: me.num_threads() <= threads + 1)
    assert len(sampler._trackers) == 0


@pytest.mark.usefixtures("recorder")
def test_descriptors_come_back_when_an_execution_ends() -> None:
    with started(HOLD_MEMORY, 1) as child:
        for _ in range(100):
            with execution("again", kind=Kind.COMMAND) as current:
                current.attach(child.pid)
                assert open_files(f"/proc/{child.pid}")

        assert open_files(f"/proc/{child.pid}") == {}


def test_thousands_of_ids_make_no_series_of_their_own(recorder: Recorder) -> None:
    @execution
    def work() -> None:
        return None

    for _ in range(2_500):
        work()
    points = recorder.metrics()

    assert len(points["codomon.execution.duration"]) == 1
    assert not any(
        "otel.metric.overflow" in (point.attributes or {})
        for metric in points.values()
        for point in metric
    )


def test_a_look_that_breaks_is_told_and_the_other_executions_are_looked_at(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(never_raises, "_told", set())  # what other tests have had told

    class Broken:
        due = 0.0
        started = 0.0

        def sample(self) -> None:
            raise RuntimeError("broken on purpose")

    class Fine(Broken):
        looks = 0

        def sample(self) -> None:
            self.looks += 1

    fine, own = Fine(), Sampler()
    own._trackers = {1: Broken(), 2: fine}  # type: ignore[dict-item] # stand in for watches

    own.sample(at_all=True)

    assert fine.looks == 1
    ours = [record for record in caplog.records if record.name.startswith("otel_codomon")]
    assert [record.levelname for record in ours] == ["ERROR"]
