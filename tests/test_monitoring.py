from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from otel_codomon import (
    ExecutionMonitor,
    InvalidArgumentError,
    MetricsCollector,
    Outcome,
    ResourceMonitor,
    UnknownExecutionError,
    execution,
)
from otel_codomon.executions.running import registry

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("no_finished_executions")


def test_a_run_that_no_block_holds_is_started_and_ended_by_its_id() -> None:
    monitor = ExecutionMonitor()

    started = monitor.start_execution("detached", language="python")
    running = monitor.get_execution_status(started.execution_id)
    ended = monitor.end_execution(started.execution_id, exit_code=3)

    assert (running.is_running, running.outcome, running.name) == (True, None, "detached")
    assert (ended.status.is_running, ended.status.outcome) == (False, Outcome.ERROR)
    assert (ended.exit_code, ended.language, ended.kind) == (3, "python", "function")
    assert ended.duration_seconds >= 0


def test_executions_of_this_process_are_seen_where_nothing_is_configured() -> None:
    collector = MetricsCollector()

    with execution("seen") as current:
        running = collector.collect_metrics(current.execution_id)
    finished = collector.collect_metrics(current.execution_id)

    assert (running.outcome, finished.outcome) == (None, Outcome.SUCCESS)


def test_the_summary_counts_by_outcome_language_and_name() -> None:
    collector = MetricsCollector()
    for number in range(4):
        with execution("job", language="python" if number else None) as current:
            current.record(exit_code=number % 2)

    summary = collector.get_metrics_summary()

    assert summary.running == 0
    assert summary.by_outcome == {Outcome.SUCCESS: 2, Outcome.ERROR: 2}
    assert {name: group.executions for name, group in summary.by_language.items()} == {
        "python": 3,
        "unknown": 1,
    }
    assert summary.by_name["job"].success_rate == 0.5
    assert summary.finished.duration_seconds is not None
    assert summary.finished.duration_seconds.count == 4


def test_nothing_seen_is_no_rate_and_no_duration() -> None:
    summary = MetricsCollector().get_metrics_summary()

    assert (summary.finished.success_rate, summary.finished.duration_seconds) == (None, None)


def test_finished_executions_of_another_process_are_found_through_the_journal(
    tmp_path: Path,
) -> None:
    program = (
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from otel_codomon import execution\n"
        "from otel_codomon.journal import records as light\n"
        "from otel_codomon.journal.processor import JournalSpanProcessor\n"
        "trace.set_tracer_provider(TracerProvider())\n"
        "processor = JournalSpanProcessor(light.open_writer())\n"
        "trace.get_tracer_provider().add_span_processor(processor)\n"
        "with execution('elsewhere') as current:\n"
        "    print(current.execution_id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    execution_id = done.stdout.strip()

    status = ExecutionMonitor().get_execution_status(execution_id)
    summary = MetricsCollector(journal=str(tmp_path / "journal")).get_metrics_summary()

    assert (status.name, status.outcome) == ("elsewhere", Outcome.SUCCESS)
    assert summary.by_name["elsewhere"].executions == 1


def test_what_a_running_tree_uses_now_is_seen_when_asked() -> None:
    monitor = ResourceMonitor()
    held = 64 * 1024 * 1024
    program = f"block = b'x' * {held}; print('ready', flush=True); input()"

    with (
        execution("holds") as current,
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child,
    ):
        current.attach(child)
        assert child.stdout is not None
        child.stdout.readline()
        seen = monitor.track_resources(current.execution_id)
        together = monitor.get_resource_stats()
        child.communicate("\n")
    after = monitor.track_resources(current.execution_id)

    assert seen.is_running
    assert seen.processes == 1
    assert seen.memory_bytes is not None
    assert seen.memory_bytes >= held
    assert (together.running, together.processes) == (1, 1)
    assert not after.is_running
    assert after.memory_bytes is None
    assert after.total.peak_memory_bytes is not None
    assert after.total.peak_memory_bytes >= held


def test_resources_of_nothing_are_not_known_and_not_zero() -> None:
    stats = ResourceMonitor().get_resource_stats()

    assert (stats.running, stats.cores, stats.memory_bytes) == (0, None, None)
    assert (stats.finished, stats.cpu_seconds, stats.peak_memory_bytes) == (0, None, None)


@pytest.mark.parametrize("execution_id", ["", "0" * 32, "no such id"])
def test_an_unknown_id_is_an_error_that_names_the_journal(
    execution_id: str, tmp_path: Path
) -> None:
    with pytest.raises(UnknownExecutionError, match=str(tmp_path / "journal")) as caught:
        ExecutionMonitor().monitor_execution(execution_id)

    assert isinstance(caught.value, LookupError)


def test_what_does_not_run_here_cannot_be_ended() -> None:
    with pytest.raises(UnknownExecutionError, match="this process, running"):
        ExecutionMonitor().end_execution("0" * 32)


def test_wrong_arguments_start_nothing() -> None:
    with pytest.raises(InvalidArgumentError, match="invalid kind 'no such'"):
        ExecutionMonitor().start_execution("x", kind="no such")

    assert registry.running() == ()
