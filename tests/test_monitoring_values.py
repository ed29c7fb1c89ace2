"""What the monitors answer, made of records and samples alone."""

from __future__ import annotations

from dataclasses import replace

from otel_codomon.journal.execution_record import ExecutionRecord, Outcome
from otel_codomon.monitoring.values import (
    ExecutionMetrics,
    Metrics,
    MetricsSummary,
    ResourceStats,
    ResourceUsage,
)
from otel_codomon.resources.labels import Kind, Labels
from otel_codomon.resources.sample import Sample
from otel_codomon.resources.usage import Usage

SECOND = 10**9
RUNNING = ExecutionRecord(
    execution_id="a" * 32,
    labels=Labels("job", Kind.COMMAND),
    trace_id="",
    span_id="",
    started_unix_ns=SECOND,
)
ENDED = replace(
    RUNNING,
    execution_id="b" * 32,
    ended_unix_ns=3 * SECOND,
    outcome=Outcome.SUCCESS,
    usage=Usage(source="cgroup", cpu_seconds=1.5, peak_memory_bytes=100),
)
SAMPLE = Sample(taken_ns=1, cpu_seconds=2.0, cores=0.5, memory_bytes=70, processes=3)


def test_what_ended_while_it_was_looked_at_uses_nothing_now() -> None:
    assert ResourceUsage.of(ENDED, SAMPLE) == ResourceUsage(
        execution_id=ENDED.execution_id, is_running=False, total=ENDED.usage
    )


def test_what_runs_is_told_by_its_sample() -> None:
    now = ResourceUsage.of(RUNNING, SAMPLE)

    assert (now.is_running, now.cores, now.memory_bytes, now.threads) == (True, 0.5, 70, None)
    assert now.total == Usage(cpu_seconds=2.0)


def test_what_runs_lasts_until_now_and_what_ended_until_its_end() -> None:
    now = 11 * SECOND

    assert ExecutionMetrics.of(RUNNING, now_unix_ns=now).duration_seconds == 10
    assert Metrics.of(ENDED, now_unix_ns=now).duration_seconds == 2


def test_the_clock_set_back_makes_no_negative_duration() -> None:
    assert Metrics.of(RUNNING, now_unix_ns=0).duration_seconds == 0


def test_what_nobody_saw_is_absent_and_not_zero() -> None:
    stats = ResourceStats.of([], [None])

    assert (stats.running, stats.finished) == (1, 0)
    assert (stats.cores, stats.memory_bytes, stats.processes) == (None, None, None)
    assert (stats.cpu_seconds, stats.peak_memory_bytes) == (None, None)


def test_a_summary_adds_up_by_language_and_name() -> None:
    failed = replace(ENDED, outcome=Outcome.ERROR, labels=Labels("job", Kind.COMMAND, "bash"))

    summary = MetricsSummary.of([ENDED, failed], running=1)

    assert (summary.running, summary.finished.executions, summary.finished.success_rate) == (
        1,
        2,
        0.5,
    )
    assert summary.by_outcome == {Outcome.SUCCESS: 1, Outcome.ERROR: 1}
    assert {name: group.executions for name, group in summary.by_language.items()} == {
        "bash": 1,
        "unknown": 1,
    }
    assert [*summary.by_name] == ["job"]
