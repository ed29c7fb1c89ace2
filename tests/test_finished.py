"""The caller's own ids, executions that have already ended, and whose summary it is."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from opentelemetry.sdk.metrics.export import HistogramDataPoint
from opentelemetry.trace import StatusCode
from support.history import Past, write_history
from support.journal import Journal
from support.typed import typed

from otel_codomon import (
    ExecutionMonitor,
    InvalidArgumentError,
    MetricsCollector,
    Outcome,
    ResourceMonitor,
    UnknownExecutionError,
    Usage,
    execution,
    names,
)
from otel_codomon.executions.finished import check_id, check_times
from otel_codomon.executions.running import registry
from otel_codomon.journal.reader import JournalReader
from otel_codomon.testing import Recorder

pytestmark = pytest.mark.usefixtures("no_finished_executions")

HOUR = 3600.0
# What Codomyrmex's `execute_code` returns, and what it means.
RESULTS = [
    ({"status": "success", "exit_code": 0, "error_message": None}, Outcome.SUCCESS, 0),
    ({"status": "execution_error", "exit_code": 3, "error_message": "x"}, Outcome.ERROR, 3),
    ({"status": "timeout", "exit_code": -1, "error_message": "x"}, Outcome.TIMEOUT, None),
    ({"status": "setup_error", "exit_code": -1, "error_message": "x"}, Outcome.SETUP_ERROR, None),
]


# --- the caller's own id ---


def test_an_execution_has_the_id_its_caller_gives_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal"):
        monitor = ExecutionMonitor()
        started = monitor.start_execution("job", execution_id="row-17", language="python")
        running = monitor.get_execution_status("row-17")
        ended = monitor.end_execution("row-17", result={"status": "timeout"})
    registry._finished.clear()  # as in another process
    found = ExecutionMonitor().get_execution_status("row-17")

    assert (started.execution_id, running.is_running) == ("row-17", True)
    assert (ended.status.outcome, found.outcome) == (Outcome.TIMEOUT, Outcome.TIMEOUT)


def test_an_id_that_begins_like_another_is_another(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal"):
        monitor = ExecutionMonitor()
        for number, outcome in (("1", "success"), ("10", "timeout")):
            monitor.start_execution("job", execution_id=f"row-{number}")
            monitor.end_execution(f"row-{number}", outcome=outcome)
    registry._finished.clear()

    assert monitor.get_execution_status("row-1").outcome is Outcome.SUCCESS
    with pytest.raises(UnknownExecutionError):
        monitor.get_execution_status("row-")


@pytest.mark.parametrize("stem", ["row-", "4", "0123456789"])
def test_a_whole_id_goes_before_one_that_begins_so(stem: str, tmp_path: Path) -> None:
    newer = [Past(name="other", ago_seconds=ago) for ago in range(1, 40)]
    older = [Past(name=name, execution_id=stem + name, ago_seconds=60) for name in ("1", "10")]
    write_history(tmp_path, [*older, *newer]).forget()
    reader = JournalReader(str(tmp_path))

    found = [reader.find(stem + name) for name in ("1", "10")]

    assert [record.labels.name for record in found if record] == ["1", "10"]


def test_an_id_is_used_once_at_a_time_and_then_again() -> None:
    monitor = ExecutionMonitor()
    monitor.start_execution("job", execution_id="again")

    with pytest.raises(InvalidArgumentError, match="'again' is already running"):
        monitor.start_execution("job", execution_id="again")

    monitor.end_execution("again", outcome="error")
    monitor.start_execution("job", execution_id="again")
    monitor.end_execution("again", outcome="success")
    assert monitor.get_execution_status("again").outcome is Outcome.SUCCESS
    assert MetricsCollector().get_metrics_summary().finished.executions == 2


@pytest.mark.parametrize("execution_id", ["", " x", "a\x1b[31m", "a\u202eb", "x" * 129, 7, b"x"])
def test_an_id_that_cannot_be_shown_is_refused(execution_id: Any) -> None:  # noqa: ANN401 - wrong on purpose
    monitor = ExecutionMonitor()

    for call in (
        lambda: monitor.start_execution("job", execution_id=execution_id),
        lambda: monitor.record_finished("job", 1, 2, "success", execution_id=execution_id),
    ):
        with pytest.raises(InvalidArgumentError, match="invalid execution_id"):
            call()

    assert not registry.running()
    assert not registry.finished()


def test_an_id_that_looks_like_a_secret_is_refused_and_not_repeated() -> None:
    secret = "ghp_" + "aB3" * 12

    with pytest.raises(InvalidArgumentError, match="looks like a secret") as caught:
        ExecutionMonitor().start_execution("job", execution_id=secret)

    assert secret not in str(caught.value)


def test_what_has_ended_is_scrubbed_like_the_rest() -> None:
    secret = "ghp_" + "aB3" * 12

    with Recorder() as recorder:
        ExecutionMonitor().record_finished(
            secret, 1, 2, "error", reason=secret, session_id=secret, attributes={"a": secret}
        )

    [span] = recorder.spans()
    assert secret not in span.to_json()


@given(st.text(st.characters(), max_size=140))
def test_every_id_is_taken_as_it_is_or_refused(text: str) -> None:
    try:
        assert check_id(text) == text
    except InvalidArgumentError:
        assert not (text.isprintable() and text == text.strip() and 0 < len(text) <= 128) or (
            not text.isascii()
        )


@pytest.mark.parametrize(("result", "outcome", "exit_code"), RESULTS)
def test_how_it_ended_is_read_from_its_result(
    result: dict[str, object], outcome: Outcome, exit_code: int | None
) -> None:
    monitor = ExecutionMonitor()
    monitor.start_execution("job", execution_id="one")

    ended = monitor.end_execution("one", result=result)
    recorded = monitor.record_finished("job", 1, 2, result=result)

    assert (ended.status.outcome, ended.exit_code) == (outcome, exit_code)
    assert (recorded.status.outcome, recorded.exit_code) == (outcome, exit_code)


def test_a_word_that_is_no_outcome_ends_nothing() -> None:
    monitor = ExecutionMonitor()
    monitor.start_execution("job", execution_id="one")

    with pytest.raises(InvalidArgumentError, match="invalid outcome 'fine': use one of success"):
        monitor.end_execution("one", outcome="fine")

    assert monitor.get_execution_status("one").is_running
    monitor.end_execution("one", outcome="execution_error")
    assert monitor.get_execution_status("one").outcome is Outcome.ERROR


# --- executions that have already ended ---


def test_what_has_ended_becomes_a_span_with_its_own_times() -> None:
    ended = datetime.now(timezone.utc) - timedelta(hours=2)
    usage = Usage(cpu_seconds=1.5, peak_memory_bytes=1000)

    with Recorder() as recorder:
        told = ExecutionMonitor().record_finished(
            "row",
            ended - timedelta(seconds=4),
            ended,
            "killed",
            execution_id="q-1",
            reason="its worker was lost",
            usage=usage,
            language="python",
            session_id="s",
            attributes={"queue": "q"},
        )

    [span] = recorder.spans()
    attributes = span.attributes or {}
    assert (told.status.execution_id, told.duration_seconds, told.usage) == ("q-1", 4.0, usage)
    assert (span.name, span.status.status_code) == ("row", StatusCode.ERROR)
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time - span.start_time == 4 * 10**9
    assert abs(span.end_time / 1e9 - ended.timestamp()) < 1e-5
    assert attributes[names.EXECUTION_ID] == "q-1"
    assert attributes[names.EXECUTION_OUTCOME] == "killed"
    assert attributes[names.EXECUTION_KIND] == "task"
    assert attributes[names.ERROR_REASON] == "its worker was lost"
    assert attributes[names.USAGE_CPU_TIME] == 1.5
    assert attributes["queue"] == "q"


def test_it_counts_once_with_its_duration() -> None:
    with Recorder() as recorder:
        ExecutionMonitor().record_finished("row", 1000, 1003.5, exit_code=1)

        [point] = recorder.metrics()[names.EXECUTION_DURATION.name]

    assert isinstance(point, HistogramDataPoint)
    assert (point.count, point.sum) == (1, 3.5)
    assert (point.attributes or {})[names.EXECUTION_OUTCOME] == "error"


def test_it_is_listed_when_it_ran_and_not_when_it_was_recorded(tmp_path: Path) -> None:
    now = time.time()
    with Journal(tmp_path / "journal"):
        monitor = ExecutionMonitor()
        monitor.record_finished("old", now - 3 * HOUR, now - 2 * HOUR, "success")
        monitor.record_finished("new", now - 10, now - 5, "success")
    folder = str(tmp_path / "journal")

    recent = typed("list", "--since", "1h", "--format", "csv", "--journal", folder)
    everything = typed("list", "--format", "csv", "--journal", folder)

    assert "new" in recent.stdout
    assert "old" not in recent.stdout
    assert "7200" not in everything.stdout.replace("3600", "")
    assert everything.stdout.index("new") < everything.stdout.index("old")


def test_a_hundred_of_them_share_a_segment(tmp_path: Path) -> None:
    now = time.time()
    folder = tmp_path / "journal"
    with Journal(folder):
        for number in range(100):
            started = now - number % 7 * 3 * HOUR - 2
            ExecutionMonitor().record_finished("row", started, started + 1, "success")
    registry._finished.clear()

    assert len(list(folder.glob("t-*.seg"))) == 1
    assert MetricsCollector().get_metrics_summary().finished.executions == 100


def test_it_is_remembered_where_nothing_is_configured() -> None:
    ExecutionMonitor().record_finished("row", 1, 2, "success", execution_id="kept")

    assert MetricsCollector().collect_metrics("kept").duration_seconds == 1


NOW = time.time()
# Hypothesis wants them without a zone.
FIRST, LAST = (datetime.fromisoformat(day) for day in ("1970-01-02", "2025-01-01"))


@pytest.mark.parametrize(
    ("started", "ended", "part"),
    [
        (2, 1, "it is before started"),
        pytest.param(
            NOW * 1000,
            NOW * 1000 + 5,
            "it is in the future; use seconds since the epoch",
            id="milliseconds",
        ),
        pytest.param(NOW, NOW + HOUR, "it is in the future", id="an hour ahead"),
        (-1, 1, "invalid started -1: use seconds since the epoch"),
        (float("nan"), 1, "invalid started nan"),
        (0, float("inf"), "invalid ended inf"),
        ("yesterday", 1, "invalid started 'yesterday'"),
        (None, 1, "invalid started None"),
        (True, 1, "invalid started True"),
        (datetime(2026, 1, 1), 1, "a datetime with a time zone"),  # noqa: DTZ001 - naive on purpose
    ],
)
def test_a_time_that_is_none_is_refused(started: Any, ended: Any, part: str) -> None:  # noqa: ANN401 - wrong on purpose
    with pytest.raises(InvalidArgumentError, match=part):
        ExecutionMonitor().record_finished("row", started, ended, "success")

    assert registry.finished() == ()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({}, "no outcome"),
        ({"result": {"rows": 3}}, "no outcome"),
        ({"outcome": "fine"}, "invalid outcome 'fine'"),
        ({"outcome": 3}, "invalid outcome 3"),
        ({"exit_code": "1"}, "invalid exit_code '1'"),
        ({"exit_code": True}, "invalid exit_code True"),
        ({"outcome": "success", "usage": {"cpu": 1}}, "pass Usage"),
        ({"outcome": "success", "kind": "no such"}, "invalid kind"),
        ({"outcome": "success", "timeout": -1}, "timeout"),
    ],
)
def test_wrong_arguments_record_nothing(arguments: Any, part: str) -> None:  # noqa: ANN401 - wrong on purpose
    with Recorder() as recorder, pytest.raises(InvalidArgumentError, match=part):
        ExecutionMonitor().record_finished("row", 1, 2, **arguments)

    assert recorder.spans() == ()
    assert registry.finished() == ()


@given(
    st.datetimes(FIRST, LAST),
    st.timedeltas(timedelta(0), timedelta(days=9)),
)
def test_datetimes_are_exact_to_the_microsecond(start: datetime, length: timedelta) -> None:
    started = start.replace(tzinfo=timezone(timedelta(hours=5)))

    started_ns, ended_ns = check_times(started, started + length)

    assert ended_ns - started_ns == length // timedelta(microseconds=1) * 1000


# --- whose summary it is ---

ELSEWHERE = """
import sys
from support.history import Past, write_history
writer = write_history(sys.argv[1], [Past(name="there"), Past(name="runs there", seconds=None)])
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_summary_is_of_this_process_or_of_the_machine(tmp_path: Path) -> None:
    folder = str(tmp_path / "journal")
    with subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with Journal(folder):
            collector, resources = MetricsCollector(), ResourceMonitor()
            with execution("here"):
                pass
            with execution("runs here"):
                here = collector.get_metrics_summary(scope="process")
                everywhere = collector.get_metrics_summary(scope="machine")
                used_here = resources.get_resource_stats(scope="process")
                used_everywhere = resources.get_resource_stats()
        other.communicate()

    assert (set(here.by_name), here.running) == ({"here"}, 1)
    assert (set(everywhere.by_name), everywhere.running) == ({"here", "there"}, 2)
    assert (used_here.finished, used_here.running, used_here.running_elsewhere) == (1, 1, 0)
    assert (used_everywhere.finished, used_everywhere.running_elsewhere) == (2, 1)


@pytest.mark.parametrize("scope", ["", "all", None, 3])
def test_a_scope_that_is_none_is_refused(scope: Any, tmp_path: Path) -> None:  # noqa: ANN401 - wrong on purpose
    write_history(tmp_path / "journal", [Past()]).forget()

    for call in (MetricsCollector().get_metrics_summary, ResourceMonitor().get_resource_stats):
        with pytest.raises(InvalidArgumentError, match="use one of machine, process"):
            call(scope=scope)
