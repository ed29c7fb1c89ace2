from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st
from support.collector import PATIENCE_SECONDS, Collector
from support.history import Past, write_history
from support.typed import clean_environment

from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.delivery.state import load_state
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.heartbeats import (
    HeartbeatWriter,
    RunningHeartbeats,
    remove_of_dead,
    usage_so_far,
)
from otel_codomon.journal.reader import JournalReader
from otel_codomon.journal.retention import evict
from otel_codomon.journal.writer import Writer
from otel_codomon.live.operation import Monitor
from otel_codomon.resources.heartbeat import Heartbeat, last_usage
from otel_codomon.resources.usage import Curve, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1024 * 1024
SPAN = "00f067aa0ba902b7"

numbers = st.none() | st.integers(0, 2**50)
curves = st.integers(1, 60).flatmap(
    lambda n: st.builds(
        Curve,
        seconds=st.lists(st.floats(0, 1e6), min_size=n, max_size=n).map(tuple),
        cores=st.lists(st.floats(0, 64), min_size=n, max_size=n).map(tuple),
        memory_bytes=st.lists(st.integers(0, 2**50), min_size=n, max_size=n).map(tuple),
    )
)
beats = st.builds(
    Heartbeat,
    span_id=st.binary(min_size=8, max_size=8).map(bytes.hex),
    age_seconds=st.integers(0, 10**6).map(float),
    totals=st.builds(
        Usage,
        source=st.sampled_from(["cgroup", "process_tree", "thread"]),
        cpu_seconds=st.none() | st.floats(0, 1e9),
        peak_memory_bytes=numbers,
        processes=numbers,
        is_final=st.just(False),  # noqa: FBT003 - a value, no switch
        curve=st.none() | curves,
    ),
    cores=st.none() | st.floats(0, 64),
    memory_bytes=numbers,
    processes=numbers,
    pids=st.lists(st.tuples(st.integers(1, 2**22), st.integers(0, 2**50)), max_size=32).map(tuple),
    cgroup=st.none() | st.text(max_size=40),
)
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)


@given(beats)
def test_what_is_written_is_read_back(beat: Heartbeat) -> None:
    assert Heartbeat.of_json(json.loads(json.dumps(beat.as_json()))) == beat


@given(st.sampled_from(["span", "age", "totals", "cores", "pids", "cgroup", "curve"]), anything)
def test_a_strange_heartbeat_is_refused_or_read_and_nothing_else(key: str, value: object) -> None:
    told = {**Heartbeat(span_id=SPAN, age_seconds=1.0).as_json(), key: value}

    try:
        Heartbeat.of_json(told)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return


def beat(
    age: float, *, memory: int = 10, cpu: float = 1.0, curve: Curve | None = None
) -> Heartbeat:
    totals = Usage(source="process_tree", cpu_seconds=cpu, peak_memory_bytes=memory, curve=curve)
    return Heartbeat(
        span_id=SPAN, age_seconds=age, totals=totals, cores=0.5, memory_bytes=memory, processes=1
    )


def test_the_last_totals_stand_and_each_heartbeat_continues_the_curve() -> None:
    curve = Curve(seconds=(1.0, 2.0), cores=(0.1, 0.2), memory_bytes=(1, 2))

    used = last_usage([beat(1), beat(2, curve=curve), beat(3, memory=7), beat(4, memory=5, cpu=9)])

    assert (used.cpu_seconds, used.peak_memory_bytes) == (9, 5)
    assert used.curve == Curve(
        seconds=(1.0, 2.0, 3.0, 4.0), cores=(0.1, 0.2, 0.5, 0.5), memory_bytes=(1, 2, 7, 5)
    )


class Source:
    """What runs, as a test has it; and with what it was asked."""

    def __init__(self) -> None:
        self.running: list[Heartbeat] = [beat(1)]
        self.asked: list[bool] = []

    def __call__(self, with_curves: bool) -> list[Heartbeat]:  # noqa: FBT001 - see `Source`
        self.asked.append(with_curves)
        return self.running


class Beating(HeartbeatWriter):
    """A writer for which a second passes at each call."""

    def beat(self) -> None:
        self._last = float("-inf")
        super().beat()


@pytest.fixture
def folder_fd(tmp_path: Path) -> Iterator[int]:
    descriptor = folders.open_folder(str(tmp_path))
    yield descriptor
    os.close(descriptor)


def heartbeat_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("h-*.seg"))


def test_a_process_keeps_a_few_records_however_long_it_runs(tmp_path: Path) -> None:
    source = Source()
    writer = Beating(str(tmp_path), source)

    largest = 0
    for _ in range(5000):
        writer.beat()
        largest = max(largest, heartbeat_bytes(tmp_path))

    assert 0 < largest < MIB
    assert 1 < sum(source.asked) < 50, "curves are told now and then"
    source.running = []
    writer.beat()
    assert heartbeat_bytes(tmp_path) == 0, "what ran has ended, and told more at its end"


def test_a_second_has_to_pass_between_two(tmp_path: Path) -> None:
    source = Source()
    writer = HeartbeatWriter(str(tmp_path), source)

    writer.beat()
    writer.beat()

    assert len(source.asked) == 1


def test_a_forked_child_begins_its_own(tmp_path: Path, folder_fd: int) -> None:
    writer = Beating(str(tmp_path), Source())
    writer.beat()
    [parents] = tmp_path.glob("h-*.seg")

    child = os.fork()
    if child == 0:
        writer.beat()
        os._exit(len(list(tmp_path.glob("h-*.seg"))))
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 2
    assert RunningHeartbeats().read(folder_fd).keys() == {SPAN}, "the parent's lock is still held"
    assert parents.exists()


def test_heartbeats_evict_no_record_and_are_evicted_beyond_their_own_cap(
    tmp_path: Path, folder_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_history(tmp_path, [Past()]).forget()
    for _ in range(4):
        writer = Writer(str(tmp_path), stream=folders.HEARTBEATS, takes_over=False)
        writer.append(segments.HEARTBEAT, bytes(1000))
        writer.forget()
    monkeypatch.setattr(folders, "MAX_HEARTBEATS_BYTES", 2500)

    evicted = evict(folder_fd, load_state(folder_fd))

    assert (evicted.segments, evicted.undelivered) == (0, 0)
    assert len(list(tmp_path.glob("h-*.seg"))) == 2
    assert len(folders.segment_names(folder_fd)) == 1


def test_the_heartbeats_of_the_dead_are_read_and_removed_and_not_those_of_the_living(
    tmp_path: Path, folder_fd: int
) -> None:
    dead = Writer(str(tmp_path), stream=folders.HEARTBEATS, takes_over=False)
    dead.append(segments.HEARTBEAT, json.dumps({"executions": [beat(1).as_json(), 7]}).encode())
    dead.append(segments.HEARTBEAT, json.dumps({"executions": [beat(2).as_json()]}).encode())
    dead.append(segments.HEARTBEAT, b"{" * 100_000)
    dead.forget()
    living = Beating(str(tmp_path), Source())
    living.beat()

    used = usage_so_far(folder_fd)
    remove_of_dead(folder_fd)

    assert used[SPAN].cpu_seconds == 1.0
    assert len(list(tmp_path.glob("h-*.seg"))) == 1
    assert RunningHeartbeats().read(folder_fd).keys() == {SPAN}


PROGRAM = """
import subprocess, sys, threading
from otel_codomon import configure, run

configure()
holding = "block = b'x' * 40_000_000\\nprint(flush=True)\\nimport time\\nwhile True: time.sleep(1)"
for name, program in (("large", holding), ("small", "import time; time.sleep(1000)")):
    threading.Thread(
        target=run, args=([sys.executable, "-c", program],), kwargs={"name": name}, daemon=True
    ).start()
print("started", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def observer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with two commands that were both started a while ago."""
    environ = clean_environment(OTEL_PYTHON_CODOMON_JOURNAL=str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    ) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            yield child
        finally:
            child.kill()


def wait_for_heartbeats(folder: Path) -> dict[str, Any]:
    """The two executions as another process sees them, once both have a heartbeat."""
    monitor = Monitor(journal=str(folder), what=())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        seen = {one.name: one for one in monitor.look().executions}
        large = seen.get("large")
        is_own = len(seen) == 2 and all(
            one.shared_by == 1 and one.memory_bytes is not None for one in seen.values()
        )
        if is_own and large is not None and (large.memory_bytes or 0) > 40_000_000:
            return seen
        time.sleep(0.05)
    pytest.fail("no heartbeats came")


def wait_for_curve(folder: Path) -> None:
    """Wait until the journal has a heartbeat of the large one, its curve included."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        folder_fd = os.open(folder, os.O_RDONLY)
        found = usage_so_far(folder_fd).values()
        os.close(folder_fd)
        curves = [usage.curve.memory_bytes for usage in found if usage.curve is not None]
        if any(max(curve, default=0) > 40_000_000 for curve in curves):
            return
        time.sleep(0.05)
    pytest.fail("no heartbeats came")


def test_executions_of_one_process_are_shown_each_with_its_own_figures(
    tmp_path: Path, observer: subprocess.Popen[str]
) -> None:
    seen = wait_for_heartbeats(tmp_path)

    assert observer.poll() is None
    assert {one.shared_by for one in seen.values()} == {1}
    assert seen["small"].memory_bytes < 40_000_000 <= seen["large"].memory_bytes
    assert (seen["small"].process_count, seen["large"].process_count) == (1, 1)


def test_the_executions_of_a_killed_process_keep_their_size_and_curve(
    tmp_path: Path, observer: subprocess.Popen[str]
) -> None:
    wait_for_curve(tmp_path)
    observer.kill()
    observer.wait()

    found = {one.labels.name: one for one in JournalReader(str(tmp_path)).executions()}

    assert {one.outcome for one in found.values()} == {Outcome.HOST_DIED}
    usage = found["large"].usage
    assert (usage.peak_memory_bytes or 0) >= 40_000_000
    assert usage.is_final is False
    assert usage.curve is not None
    assert max(usage.curve.memory_bytes) >= 40_000_000


def test_they_keep_it_on_the_span_that_is_delivered(
    tmp_path: Path, observer: subprocess.Popen[str], collector: Collector
) -> None:
    wait_for_curve(tmp_path)
    observer.kill()
    observer.wait()

    subprocess.run(
        [sys.executable, "-m", "otel_codomon", "journal", "send", "--journal", str(tmp_path)],
        env=clean_environment(**collector.environment()),
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=PATIENCE_SECONDS,
    )

    spans = {span.name: span.attributes for span in collector.spans()}
    assert spans["large"]["codomon.execution.outcome"] == "host_died"
    assert spans["large"]["codomon.usage.memory.peak"] >= 40_000_000
    assert spans["large"]["codomon.usage.final"] is False
    assert len(spans["large"]["codomon.usage.curve.memory"]) >= 1
    assert heartbeat_bytes(tmp_path) == 0


def test_a_command_of_the_shell_has_heartbeats_too(tmp_path: Path) -> None:
    environ = clean_environment(OTEL_PYTHON_CODOMON_JOURNAL=str(tmp_path))
    command = [sys.executable, "-m", "otel_codomon", "run", "--quiet", "--", "sleep", "1000"]
    with subprocess.Popen(command, env=environ) as child:
        monitor = Monitor(journal=str(tmp_path), what=())
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not heartbeat_bytes(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)

        [seen] = monitor.look().executions
        child.terminate()
        child.wait(PATIENCE_SECONDS)

    assert (seen.name, seen.process_count) == ("sleep", 1)
    assert heartbeat_bytes(tmp_path) == 0
