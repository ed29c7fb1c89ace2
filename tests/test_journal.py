"""The journal from end to end on disk: processor, exporter, reader."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags
from support.journal import Journal

from otel_codomon import execution, names
from otel_codomon.executions import providers
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.metrics import JournalMetricExporter, preferred_temporality
from otel_codomon.journal.processor import JournalSpanProcessor
from otel_codomon.journal.reader import JournalReader
from otel_codomon.journal.segments import Record, decode
from otel_codomon.journal.writer import Writer
from otel_codomon.resources.tracker import THREAD_FLOOR_NS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal") as opened:
        yield opened


def test_an_execution_is_on_disk_when_its_call_returns(journal: Journal) -> None:
    with execution("nightly", language="python", attributes={"a": "b"}) as current:
        (running,) = journal.executions()
        begin = time.thread_time_ns()
        while time.thread_time_ns() - begin < THREAD_FLOOR_NS:  # as short as can be told
            pass
        current.record(exit_code=3)

    (ended,) = journal.executions()

    assert (running.outcome, running.ended_unix_ns, running.host_pid) == (None, None, os.getpid())
    assert running.execution_id == ended.execution_id == current.execution_id
    assert running.labels == ended.labels == current.labels
    assert (ended.trace_id, ended.span_id) == (current.trace_id, current.span_id)
    assert ended.outcome is Outcome.ERROR
    assert ended.attributes[names.PROCESS_EXIT_CODE] == 3
    assert ended.attributes["a"] == "b"
    assert ended.usage.source == "thread"
    assert ended.duration_seconds is not None


def test_a_child_knows_its_parent(journal: Journal) -> None:
    with execution("outer") as outer, execution("inner"):
        pass

    inner_record, outer_record = journal.executions()

    assert inner_record.parent_span_id == outer_record.span_id == outer.span_id
    assert outer_record.parent_span_id is None


def test_executions_come_newest_first_and_no_more_than_asked_for(journal: Journal) -> None:
    for index in range(5):
        with execution(f"number {index}"):
            pass

    reader = JournalReader(journal.path)
    found = [record.labels.name for record in reader.executions(limit=2)]

    assert found == ["number 4", "number 3"]


def test_a_range_of_time_is_all_that_is_read(journal: Journal) -> None:
    for name in ("before", "within", "after"):
        with execution(name):
            pass
    within = journal.executions()[1].started_unix_ns
    reader = JournalReader(journal.path)
    after = journal.executions()[0].started_unix_ns - 1

    found = [r.labels.name for r in reader.executions(since_unix_ns=within, until_unix_ns=after)]

    assert found == ["within"]


@pytest.mark.parametrize("what", ["execution_id", "trace_id", "span_id"])
def test_an_execution_is_found_by_the_beginning_of_any_of_its_ids(
    journal: Journal, what: str
) -> None:
    with execution("one"), execution("two") as two:
        pass

    found = JournalReader(journal.path).find(getattr(two, what)[:12])

    assert found is not None
    assert JournalReader(journal.path).find("no such id") is None


def test_other_spans_follow_within_a_tenth_of_a_second(journal: Journal) -> None:
    journal.tracer.start_span("other").end()

    assert journal.wait_for_records(segments.TRACES, 1)


def test_other_spans_are_written_at_once_when_asked(journal: Journal) -> None:
    for index in range(1000):
        journal.tracer.start_span(f"{index}").end()

    assert journal.provider.force_flush()

    assert journal.span_names() == [str(index) for index in range(1000)]


def test_shutdown_writes_what_is_pending_and_what_comes_later(journal: Journal) -> None:
    journal.tracer.start_span("before").end()
    journal.processor.shutdown()
    journal.tracer.start_span("after").end()

    assert journal.span_names() == ["before", "after"]


def test_history_keeps_executions_and_nothing_else(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", deliver=False) as journal:
        journal.tracer.start_span("other").end()
        with execution("ours"):
            pass
        journal.provider.force_flush()

    assert journal.span_names() == ["ours"]
    (record,) = journal.records(segments.ENDED)
    assert record.flags == segments.HISTORY | segments.UNCOUNTED


def test_one_bad_span_does_not_cost_another(journal: Journal) -> None:
    journal.tracer.start_span("good").end()
    journal.tracer.start_span("bad \ud800").end()
    journal.tracer.start_span("good too").end()

    journal.provider.force_flush()

    assert journal.span_names() == ["good", "bad ?", "good too"]


def test_a_process_that_was_killed_leaves_its_executions(tmp_path: Path) -> None:
    program = (
        "import sys; from support.journal import Journal; from otel_codomon import execution\n"
        "with Journal(sys.argv[1]):\n"
        "  with execution('finished'): pass\n"
        "  with execution('unfinished', attributes={'a': 'b'}):\n"
        "    print('ready', flush=True); sys.stdin.read()\n"
    )
    folder = str(tmp_path / "journal")
    environ = {**os.environ, "PYTHONPATH": "tests"}
    with subprocess.Popen(
        [sys.executable, "-c", program, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        before = list(JournalReader(folder).executions())
        child.send_signal(signal.SIGKILL)
        child.wait()

    unfinished, finished = JournalReader(folder).executions()

    assert [record.outcome for record in before] == [None, Outcome.SUCCESS]
    assert finished.outcome is Outcome.SUCCESS
    assert unfinished.outcome is Outcome.HOST_DIED
    assert unfinished.attributes["a"] == "b"
    assert unfinished.host_pid == child.pid
    assert unfinished.ended_unix_ns is not None
    assert unfinished.started_unix_ns <= unfinished.ended_unix_ns <= time.time_ns()


def test_a_running_execution_is_not_dead_because_its_process_moved_on(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", max_segment_bytes=4000) as journal, execution("long"):
        for _ in range(20):
            with execution("short"):
                pass

        outcomes = {r.labels.name: r.outcome for r in journal.executions()}

        assert len(list((tmp_path / "journal").glob("t-*"))) > 3
        assert outcomes == {"long": None, "short": Outcome.SUCCESS}


def test_a_forked_child_does_not_write_what_its_parent_will(journal: Journal) -> None:
    journal.tracer.start_span("parent's").end()

    child = os.fork()
    if child == 0:
        with execution("child's"):
            pass
        journal.provider.force_flush()
        os._exit(0)
    os.waitpid(child, 0)
    journal.provider.force_flush()

    assert sorted(journal.span_names()) == ["child's", "parent's"]


def test_ends_from_many_threads_are_all_there(journal: Journal) -> None:
    def work() -> None:
        for _ in range(20):
            with execution("threaded"):
                journal.tracer.start_span("within").end()

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.provider.force_flush()

    assert sorted(journal.span_names()) == ["threaded"] * 320 + ["within"] * 320


def test_there_is_nothing_where_there_is_no_journal(tmp_path: Path) -> None:
    assert list(JournalReader(str(tmp_path / "missing")).executions()) == []
    assert not (tmp_path / "missing").exists()


def test_reading_goes_on_after_damage(journal: Journal) -> None:
    for index in range(10):
        with execution(f"number {index}"):
            pass
    (path,) = (journal.folder).glob("t-*")
    whole = path.read_bytes()
    middle = len(whole) // 2

    path.write_bytes(whole[:middle] + b"\0" * 20 + whole[middle + 20 :])

    assert len(journal.executions()) >= 9


@pytest.mark.parametrize("limit", [None, 5])
def test_an_execution_whose_end_is_damaged_is_told_from_its_start(
    tmp_path: Path, limit: int | None
) -> None:
    with Journal(tmp_path / "journal") as journal:
        for index in range(5):
            with execution(f"number {index}"):
                pass
    (path,) = journal.folder.glob("t-*")
    content = path.read_bytes()
    damaged = content.rindex(b"number 2")  # in its end, of which the head stays whole
    path.write_bytes(content[:damaged] + b"NUMBER 2" + content[damaged + 8 :])
    reader = JournalReader(journal.path)

    found = list(reader.executions(limit=limit))

    assert [(one.labels.name, one.outcome) for one in found] == [
        (f"number {index}", Outcome.HOST_DIED if index == 2 else Outcome.SUCCESS)
        for index in (4, 3, 2, 1, 0)
    ]
    assert reader.unreadable == 1


def test_metrics_are_written_with_their_own_times(tmp_path: Path) -> None:
    folder = str(tmp_path / "journal")
    writer = Writer(folder, stream=folders.METRICS)
    exporter = JournalMetricExporter(writer)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("scope").create_counter("jobs").add(3)

    provider.shutdown()
    writer.forget()

    (path,) = (tmp_path / "journal").glob("m-*")
    kinds = [r.signal for r in decode(path.read_bytes()) if isinstance(r, Record)]
    assert kinds == [segments.SESSION, segments.METRICS]


def test_the_environment_chooses_the_temporality() -> None:
    variable = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"

    assert preferred_temporality({}) == {}
    assert len(preferred_temporality({variable: "delta"})) == 3
    assert len(preferred_temporality({variable: "LowMemory"})) == 2


def test_a_disk_that_takes_nothing_does_not_hurt_the_program(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        for path in journal.folder.iterdir():
            path.unlink()
        journal.folder.rmdir()
        journal.folder.write_text("in the way")

        with execution("unlucky"):
            result = 42

    assert result == 42
    assert journal.writer.unwritten == 2


def test_the_processor_serves_any_provider(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path / "journal"))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(JournalSpanProcessor(writer))
    with providers.providers(provider, MeterProvider(shutdown_on_exit=False)), execution("one"):
        pass
    provider.shutdown()
    writer.forget()

    assert [r.labels.name for r in JournalReader(str(tmp_path / "journal")).executions()] == ["one"]


def test_an_end_with_a_value_that_json_has_no_form_for_is_on_disk(journal: Journal) -> None:
    with execution("before"):
        pass
    writer = Writer(journal.path)
    processor = JournalSpanProcessor(writer)
    span = ReadableSpan(
        name="odd",
        context=SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)),
        attributes={
            names.EXECUTION_ID: "ab" * 8,
            names.EXECUTION_NAME: "odd",
            "odd": {("a", "key"): 1},  # type: ignore[dict-item] # what some SDKs let through
        },
        instrumentation_scope=InstrumentationScope(names.SCOPE),
        start_time=1,
        end_time=2,
    )

    processor.on_end(span)
    processor.shutdown()
    writer.forget()

    assert "odd" in [record.labels.name for record in journal.executions()]
