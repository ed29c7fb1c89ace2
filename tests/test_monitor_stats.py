from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import given, strategies as st
from support.history import MIB, Past, write_history
from support.needs import needs_cgroup, needs_memory_limits
from support.programs import wait_for
from support.typed import clean_environment, typed, typed_on_terminal

from otel_codomon import names
from otel_codomon._platform import cgroups
from otel_codomon.cli.monitor_stats import samples
from otel_codomon.host.operation import HostSampler
from otel_codomon.live.operation import Monitor, Threshold
from otel_codomon.report.history import STEPS, make_history

if TYPE_CHECKING:
    from pathlib import Path

BUSY = """
import sys, time
block = b"x" * (64 << 20)
print("ready", flush=True)
while True:
    pass
"""


def monitored(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return typed(
        *("monitor-stats", "-i", "0.1", "--duration", "0.2", "--journal", str(folder)), *arguments
    )


def test_the_host_is_seen_as_psutil_sees_it() -> None:
    look = HostSampler()
    look.sample()

    stats = look.sample()

    assert stats.memory is not None
    assert stats.cpu is not None
    assert stats.disk is not None
    assert stats.memory.total_bytes == psutil.virtual_memory().total
    assert len(stats.cpu.per_core_share) == psutil.cpu_count()
    assert stats.disk.space_bytes == psutil.disk_usage("/").total


def test_the_first_look_has_no_rate_and_not_a_rate_of_zero() -> None:
    stats = HostSampler().sample()

    assert stats.cpu is not None
    assert stats.network is not None
    assert stats.cpu.used_share is None
    assert stats.network.total.in_bytes_per_second is None


def test_only_what_was_asked_for_is_looked_at() -> None:
    stats = HostSampler(("memory",)).sample()

    assert (stats.cpu, stats.disk, stats.network) == (None, None, None)
    assert stats.memory is not None


def test_a_running_execution_of_another_process_is_seen_with_what_it_uses(tmp_path: Path) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as child,
        ExitStack() as busy,
    ):
        busy.callback(child.kill)
        assert child.stdout is not None
        child.stdout.readline()
        writer = write_history(
            tmp_path,
            [Past(name="busy", seconds=None, attributes={names.PROCESS_PID: child.pid})],
        )
        monitor = Monitor(journal=str(tmp_path), with_processes=True)
        monitor.look()
        until = time.process_time() + 0.05
        while time.process_time() < until:  # rates need time to pass
            pass
        (found,) = monitor.look().executions
        monitor.close()
    writer.forget()

    assert (found.name, found.pid, found.shared_by, found.process_count) == (
        "busy",
        child.pid,
        1,
        1,
    )
    assert found.memory_bytes is not None
    assert found.memory_bytes >= 64 * MIB
    assert found.cores is not None
    assert [process.pid for process in found.processes] == [child.pid]


SHARED = f"""
import os, sys
held = b"x" * (100 * {MIB})
for _ in range(2):
    os.fork()
print("ready", flush=True)
sys.stdin.read()
"""


@needs_memory_limits
def test_before_a_heartbeat_the_figures_are_those_of_the_cgroup(tmp_path: Path) -> None:
    """The resident sizes of four processes that share their memory are four times as much."""
    writer = write_history(tmp_path, [Past(seconds=None, execution_id="the caller's")])
    monitor = Monitor(journal=str(tmp_path), what=())
    with ExitStack() as stack:
        cgroup = cgroups.create("the caller's")
        assert cgroup is not None
        stack.callback(cgroup.remove)
        stack.callback(cgroup.kill)
        (empty,) = monitor.look().executions
        child = subprocess.Popen(
            [sys.executable, "-c", SHARED],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=cgroup.join,  # noqa: PLW1509 - it writes a file, and no thread matters to that
        )
        stack.enter_context(child)
        stack.callback(child.kill)
        assert child.stdout is not None
        for _ in range(4):
            child.stdout.readline()
        (first,) = monitor.look().executions
        totals = cgroup.totals(live=True)
        (second,) = monitor.look().executions
        monitor.close()
    writer.forget()

    assert (empty.memory_bytes, empty.process_count, empty.cores) == (None, None, None)
    assert (first.process_count, first.shared_by, first.cores) == (4, 1, None)
    assert totals.memory_bytes is not None
    assert first.memory_bytes == pytest.approx(
        totals.memory_bytes - (totals.cache_bytes or 0), rel=0.05
    )
    assert second.cores is not None


OBSERVER = """
import sys
from otel_codomon import configure, run
from otel_codomon.executions import heartbeats
heartbeats.OLD_ENOUGH_SECONDS = 1e9
configure(service_name="observer")
program = "h = b'x' * (100 * 2**20); open(sys.argv[1], 'w').close(); open(sys.argv[2]).close()"
run([sys.executable, "-c", "import sys; " + program, *sys.argv[1:]])
"""


@needs_memory_limits
def test_a_command_without_a_heartbeat_is_found_by_its_id(tmp_path: Path) -> None:
    ready, end, journal = tmp_path / "ready", tmp_path / "end", str(tmp_path / "journal")
    os.mkfifo(end)
    monitor = Monitor(journal=journal, what=())
    with subprocess.Popen(
        [sys.executable, "-c", OBSERVER, str(ready), str(end)],
        env=clean_environment(OTEL_PYTHON_CODOMON_JOURNAL=journal),
    ) as child:
        wait_for(ready.exists, what="the command to hold its memory")
        (found,) = monitor.look().executions
        cgroup = cgroups.made_for(found.execution_id, pid=child.pid)
        assert cgroup is not None
        totals = cgroup.totals(live=True)
        end.write_text("")
    monitor.close()

    assert child.returncode == 0
    assert found.process_count == 1
    assert totals.memory_bytes is not None
    assert found.memory_bytes == pytest.approx(
        totals.memory_bytes - (totals.cache_bytes or 0), rel=0.05
    )


@needs_cgroup
def test_ids_that_are_the_same_in_names_of_cgroups_are_not_confused() -> None:
    made = [cgroups.create(name) for name in ("a/b", "a_b", "c")]
    try:
        found = [cgroups.made_for(name, pid=os.getpid()) for name in ("a/b", "a_b", "c", "d")]
    finally:
        for one in made:
            assert one is not None
            one.remove()

    assert [one is not None for one in found] == [False, False, True, False]
    assert made[2] is not None
    assert found[2] is not None
    assert found[2].folders == made[2].folders


def test_executions_in_one_process_say_that_they_share_it(tmp_path: Path) -> None:
    writer = write_history(tmp_path, [Past(seconds=None), Past(seconds=None)])
    monitor = Monitor(journal=str(tmp_path))

    found = monitor.look().executions

    monitor.close()
    writer.forget()
    assert [one.shared_by for one in found] == [2, 2]
    assert {one.pid for one in found} == {os.getpid()}


def test_a_name_narrows_the_executions(tmp_path: Path) -> None:
    writer = write_history(tmp_path, [Past(name="a", seconds=None), Past(name="b", seconds=None)])
    monitor = Monitor(journal=str(tmp_path), name="a")

    assert [one.name for one in monitor.look().executions] == ["a"]

    monitor.close()
    writer.forget()


def test_what_rises_look_after_look_has_a_trend(tmp_path: Path) -> None:
    monitor = Monitor(journal=str(tmp_path), what=())
    writer = write_history(tmp_path, [])
    for number in range(8):
        write_history(tmp_path, [Past(name=str(number), seconds=None)])
        stats = monitor.look()

    assert stats.trends["executions"].direction == "rising"
    monitor.close()
    writer.forget()


def test_a_threshold_that_is_reached_is_an_alert(tmp_path: Path) -> None:
    thresholds = (Threshold(figure="memory", limit=0.0), Threshold(figure="executions", limit=1))

    stats = Monitor(journal=str(tmp_path), thresholds=thresholds).look()

    assert [alert.figure for alert in stats.alerts] == ["memory"]


@given(st.floats(0.01, 5), st.floats(0.01, 20))
def test_there_are_as_many_looks_as_fit_and_one_at_least(interval: float, duration: float) -> None:
    class Counting:
        def look(self) -> int:
            return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda _seconds: None)
        seen = list(samples(Counting(), interval=interval, duration=duration))  # type: ignore[arg-type] # only its look is used

    # A quotient that is nearly whole may be rounded either way.
    assert (
        len(seen) == max(1, int(duration / interval))
        or abs(duration / interval - len(seen)) < 1.001
    )


# --- the past ---


def test_the_past_is_spread_over_the_life_of_each_execution(tmp_path: Path) -> None:
    attributes = {names.USAGE_CPU_TIME: 30.0, names.USAGE_MEMORY_PEAK: 100 * MIB}
    now = time.time_ns()
    past = Past(ago_seconds=60, seconds=30, attributes=attributes)
    write_history(tmp_path, [past], now_unix_ns=now).forget()

    history = make_history(journal=str(tmp_path), since_seconds=60, now_unix_ns=now)

    assert history.executions == 1
    assert sum(history.figures["cores"].values) * history.step_seconds == pytest.approx(30, rel=0.1)
    assert max(history.figures["memory_bytes"].values) == pytest.approx(100 * MIB)
    assert len(history.figures["running"].values) == STEPS


def test_what_runs_more_and_more_has_a_rising_past(tmp_path: Path) -> None:
    now = time.time_ns()
    past = [Past(ago_seconds=float(ago), seconds=ago - 0.5) for ago in range(1, 60)]
    write_history(tmp_path, past, now_unix_ns=now).forget()

    history = make_history(journal=str(tmp_path), since_seconds=60, now_unix_ns=now)
    trend = history.figures["running"].trend

    assert trend is not None
    assert trend.direction == "rising"


# --- the command ---


def test_through_a_pipe_each_look_is_one_json_object(tmp_path: Path) -> None:
    done = monitored(folder=tmp_path)

    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 2
    assert all(look["host"]["memory"]["total_bytes"] for look in told)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_threshold_sets_the_exit_code(tmp_path: Path) -> None:
    crossed = monitored("--threshold", "memory=0%", "--format", "text", folder=tmp_path)
    held = monitored("--threshold", "memory=100%", folder=tmp_path)

    assert (crossed.returncode, held.returncode) == (3, 0)
    assert crossed.stderr.startswith("memory is at ")


def test_the_file_has_whole_lines_and_grows(tmp_path: Path) -> None:
    target = tmp_path / "stats.jsonl"

    for _ in range(2):
        monitored("--output-file", str(target), folder=tmp_path)

    assert len([json.loads(line) for line in target.read_text().splitlines()]) == 4


def test_the_history_comes_after_a_first_look_and_before_the_rest(tmp_path: Path) -> None:
    write_history(tmp_path, [Past()]).forget()

    done = monitored("--since", "1h", folder=tmp_path)

    first, history, *looks = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["host"]["memory"]
    assert history["history"]["executions"] == 1
    assert len(looks) == 2


def test_on_a_terminal_the_figures_are_refreshed_in_place(tmp_path: Path) -> None:
    writer = write_history(tmp_path, [Past(name="nightly", seconds=None)])

    code, written = typed_on_terminal(
        *("monitor-stats", "-i", "0.1", "--duration", "0.3", "--journal", str(tmp_path))
    )

    writer.forget()
    assert code == 0
    assert "nightly" in written
    assert "\x1b[1A" in written
    assert "▁" in written or "█" in written


def test_ctrl_c_ends_what_goes_on_for_ever(tmp_path: Path) -> None:
    code, written = typed_on_terminal(
        *("monitor-stats", "-i", "0.1", "--duration", "0", "--format", "jsonl"),
        *("--journal", str(tmp_path)),
        ctrl_c_after=b"}",
    )

    assert code == 0
    assert "Traceback" not in written
