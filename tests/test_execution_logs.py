"""Logs: what commands write, and how executions start and end; with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st
from support.collector import PATIENCE_SECONDS, PATIENT, Collector, Fault
from support.sending import sending

from otel_codomon import names
from otel_codomon._platform.scrubbing import REDACTED
from otel_codomon.executions.output_logs import MAX_BYTES, MAX_LINES, LineLog
from otel_codomon.journal import segments
from otel_codomon.journal.operation import journal_status
from otel_codomon.journal.reader import JournalReader
from otel_codomon.journal.segments import Record, decode
from otel_codomon.report.executions import show_execution

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEAD = """
import json, os, sys
from otel_codomon import configure, execution, run

def python(code, **options):
    return run([sys.executable, "-c", code], **options)

"""
_CAPTURED = {"OTEL_PYTHON_CODOMON_CAPTURE": "output:logs"}
_TWO_LINES = 'python("import sys; print(1, flush=True); print(2, file=sys.stderr)")\n'


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def environment(tmp_path: Path, *more: dict[str, str]) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    clean |= {"XDG_STATE_HOME": str(tmp_path), "OTEL_SERVICE_NAME": "app", **PATIENT}
    for one in more:
        clean |= one
    return clean


def run_program(tmp_path: Path, program: str, *more: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _HEAD + program],
        capture_output=True,
        text=True,
        check=False,
        env=environment(tmp_path, *more),
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def log_records(tmp_path: Path) -> list[Record]:
    """The records of logs in the journal."""
    found = []
    for path in sorted((tmp_path / "otel-codomon").glob("l-*.seg")):
        items = decode(path.read_bytes())
        found += [i for i in items if isinstance(i, Record) and i.signal == segments.LOGS]
    return found


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("journal", ["on", "off"])
def test_each_line_is_a_log_record_of_its_execution(
    tmp_path: Path, collector: Collector, protocol: str, journal: str
) -> None:
    off = {"OTEL_PYTHON_CODOMON_JOURNAL": "off"} if journal == "off" else {}
    program = (
        'made = configure(capture=["output:logs"])\n'
        f"result = {_TWO_LINES}print(json.dumps([result.trace_id, result.span_id]))\n"
        "made.force_flush(100)"
    )

    told = run_program(tmp_path, program, collector.environment(protocol), off)

    trace_id, span_id = json.loads(told)
    logs = collector.wait_for_logs(2)
    assert sorted((log.body, log.attributes["log.iostream"]) for log in logs) == [
        ("1", "stdout"),
        ("2", "stderr"),
    ]
    for log in logs:
        assert (log.trace_id, log.span_id, log.severity) == (trace_id, span_id, 0)
        assert log.scope == names.SCOPE
        assert log.resource["service.name"] == "app"
        assert 0 < log.unix_ns <= log.observed_unix_ns


def test_logs_can_be_asked_for_by_call_and_are_off_otherwise(
    tmp_path: Path, collector: Collector
) -> None:
    program = (
        'configure()\npython("print(1)")\n'
        'assert "opentelemetry.sdk._logs" not in sys.modules\n'
        'python("print(2)", logs=True)\n'
    )

    run_program(tmp_path, program, collector.environment())

    assert [log.body for log in collector.wait_for_logs(1)] == ["2"]


def test_a_call_can_refuse_the_logs_that_are_captured(tmp_path: Path) -> None:
    run_program(tmp_path, 'configure()\npython("print(1)", logs=False)', _CAPTURED)

    assert log_records(tmp_path) == []


def test_what_is_recorded_without_an_endpoint_is_sent_to_one_later(
    tmp_path: Path, collector: Collector
) -> None:
    run_program(tmp_path, "configure()\n" + _TWO_LINES, _CAPTURED)
    folder = str(tmp_path / "otel-codomon")
    before = journal_status(journal=folder).waiting["logs"]

    with sending(folder, collector.environment()) as sender:
        assert sender.flush(PATIENCE_SECONDS)

    assert before.records > 0
    assert sorted(log.body for log in collector.wait_for_logs(2)) == ["1", "2"]
    assert journal_status(journal=folder).waiting["logs"].records == 0


def test_a_receiver_without_logs_stops_no_other_signal(
    tmp_path: Path, collector: Collector
) -> None:
    collector.answer_always(Fault(signal="logs", status=404))
    program = "made = configure(exit_timeout=0.5)\n" + _TWO_LINES * 3

    run_program(tmp_path, program, _CAPTURED, collector.environment())

    folder = str(tmp_path / "otel-codomon")
    assert len(collector.wait_for_spans(3)) == 3
    assert journal_status(journal=folder).waiting["logs"].records > 0
    collector.heal()
    with sending(folder, collector.environment()) as sender:
        assert sender.flush(PATIENCE_SECONDS)
    assert len(collector.wait_for_logs(6)) == 6


def test_a_log_record_that_is_rejected_becomes_a_dead_letter_alone(
    tmp_path: Path, collector: Collector
) -> None:
    run_program(
        tmp_path,
        "configure()\npython(\"print('good'); print('poison'); print('fine')\")",
        _CAPTURED,
    )
    collector.refuse(poison="poison")
    folder = str(tmp_path / "otel-codomon")

    with sending(folder, collector.environment()) as sender:
        assert sender.flush(PATIENCE_SECONDS)

    assert sorted(log.body for log in collector.wait_for_logs(2)) == ["fine", "good"]
    assert journal_status(journal=folder).set_aside >= 1


def test_exporter_none_keeps_logs_here_and_console_prints_them(
    tmp_path: Path, collector: Collector
) -> None:
    for exporter in ("none", "console"):
        told = run_program(
            tmp_path,
            "made = configure()\n" + _TWO_LINES + "made.force_flush(100)",
            _CAPTURED,
            collector.environment(),
            {"OTEL_LOGS_EXPORTER": exporter},
        )
        assert ('"body": "1"' in told) == (exporter == "console")

    assert len(log_records(tmp_path)) >= 2
    assert all(record.flags & segments.HISTORY for record in log_records(tmp_path))
    assert collector.logs() == []


def test_with_a_logger_provider_of_the_program_its_own_exporters_deliver(
    tmp_path: Path, collector: Collector
) -> None:
    program = """
from opentelemetry import _logs
from opentelemetry.sdk import _logs as sdk
from opentelemetry.sdk._logs import export
memory = getattr(export, "InMemoryLogRecordExporter", None) or export.InMemoryLogExporter
memory = memory()
provider = sdk.LoggerProvider()
provider.add_log_record_processor(export.SimpleLogRecordProcessor(memory))
_logs.set_logger_provider(provider)
configure()
python("print(1)")
print([one.log_record.body for one in memory.get_finished_logs()])
_logs.get_logger("theirs").emit(body="other", timestamp=1)
"""

    told = run_program(tmp_path, program, _CAPTURED, collector.environment())

    assert told == "['1']\n"
    (kept,) = log_records(tmp_path)
    assert kept.flags & segments.HISTORY
    assert b"other" not in kept.payload
    assert collector.logs() == []


def test_secrets_in_output_are_scrubbed(tmp_path: Path) -> None:
    code = (
        "import os, sys\\n"
        "print('password=hunter2secret', flush=True)\\n"
        "print('before ' + os.environ['API_TOKEN'] + ' after', flush=True)\\n"
        "print('-----BEGIN RSA PRIVATE KEY-----', flush=True)\\n"
        "for part in ('MIIEowIBAAKCAQEA', *40 * ['k' * 64], 'q83vEjRWeJCrze8S'):\\n"
        "    print(part, flush=True)\\n"
        "print('-----END RSA PRIVATE KEY-----')\\n"
        "print('end')\\n"
    )
    program = f'configure()\npython("{code}", env={{"API_TOKEN": "s3cretvalue42"}})'

    run_program(tmp_path, program, _CAPTURED)

    held = b"".join(path.read_bytes() for path in (tmp_path / "otel-codomon").iterdir())
    for secret in (b"hunter2", b"s3cretvalue42", b"MIIEowIBAAKCAQEA", b"q83vEjRWeJCrze8S"):
        assert secret not in held
    texts = b"".join(record.payload for record in log_records(tmp_path))
    assert REDACTED.encode() in texts
    assert b"before " in texts
    assert b"end" in texts


def test_a_flood_is_bounded_and_what_is_dropped_is_counted(tmp_path: Path) -> None:
    program = (
        "configure()\n"
        'print(python("for i in range(10**6): print(i)").execution_id)\n'
        'python("import os; os.write(1, os.urandom(3 * 2**20)); print()")'
    )

    told = run_program(tmp_path, program, _CAPTURED)

    found = show_execution(told.strip(), journal=str(tmp_path / "otel-codomon"))
    assert found.output_lines == MAX_LINES
    assert found.attributes[names.OUTPUT_LOGS_DROPPED] == 10**6 - MAX_LINES
    assert [line.text for line in found.output][-1] == str(MAX_LINES - 1)
    # The second wrote binary garbage: valid text of bounded size all the same.
    assert sum(len(record.payload) for record in log_records(tmp_path)) < 8 * 2**20


def test_all_lines_are_on_disk_when_the_call_returns(tmp_path: Path) -> None:
    program = 'configure()\npython("print(1); print(2)")\nos.kill(os.getpid(), 9)'

    done = subprocess.run(
        [sys.executable, "-c", _HEAD + program],
        env=environment(tmp_path, _CAPTURED),
        check=False,
        timeout=PATIENCE_SECONDS,
    )

    assert done.returncode == -signal.SIGKILL
    (execution,) = JournalReader(str(tmp_path / "otel-codomon")).executions()
    found = show_execution(execution.execution_id, journal=str(tmp_path / "otel-codomon"))
    assert [line.text for line in found.output] == ["1", "2"]


def test_what_was_emitted_is_delivered_after_its_process_was_killed(
    tmp_path: Path, collector: Collector
) -> None:
    code = "import time; print(7, flush=True); time.sleep(600)"
    program = f'configure()\npython("{code}", timeout=600)'
    with subprocess.Popen(
        [sys.executable, "-c", _HEAD + program], env=environment(tmp_path, _CAPTURED)
    ) as child:
        while not log_records(tmp_path):
            assert child.poll() is None
        child.send_signal(signal.SIGKILL)

    with sending(str(tmp_path / "otel-codomon"), collector.environment()) as sender:
        assert sender.flush(PATIENCE_SECONDS)

    (log,) = collector.wait_for_logs(1)
    (span,) = collector.wait_for_spans(1)
    assert (log.body, log.span_id) == ("7", span.span_id)
    assert span.attributes["codomon.execution.outcome"] == "host_died"


def test_start_and_end_are_events_where_asked_for(tmp_path: Path, collector: Collector) -> None:
    program = (
        "configure(execution_logs=True)\n"
        "try:\n"
        '    with execution("job"):\n'
        '        raise ValueError("not told")\n'
        "except ValueError:\n"
        "    pass\n"
    )

    run_program(tmp_path, program, collector.environment())

    (span,) = collector.wait_for_spans(1)
    start, end = collector.wait_for_logs(2)
    assert (start.event, start.body, start.severity) == (
        names.EVENT_EXECUTION_STARTED,
        "job started",
        9,
    )
    assert (end.event, end.severity) == (names.EVENT_EXECUTION_ENDED, 17)
    assert end.attributes["codomon.execution.outcome"] == "error"
    assert end.attributes["error.type"] == "ValueError"
    assert {start.span_id, end.span_id} == {span.span_id}
    assert start.unix_ns == span.started_unix_ns
    assert "not told" not in str(start) + str(end)


@pytest.mark.parametrize(
    ("choice", "capture", "counts"),
    [
        ("", "", (1, 0)),
        ("logs", "", (0, 1)),
        ("logs/dup", "", (1, 1)),
        ("logs", "exception", (0, 1)),
    ],
)
def test_exceptions_go_where_the_standard_variable_says(
    tmp_path: Path, collector: Collector, choice: str, capture: str, counts: tuple[int, int]
) -> None:
    program = (
        "configure()\n"
        "try:\n"
        '    with execution("job"):\n'
        '        raise ValueError("boom")\n'
        "except ValueError:\n"
        "    pass\n"
    )
    chosen = {
        "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN": choice,
        "OTEL_PYTHON_CODOMON_CAPTURE": capture,
    }

    run_program(tmp_path, program, collector.environment(), chosen)

    events, logs = counts
    (span,) = collector.wait_for_spans(1)
    assert [event.name for event in span.events] == ["exception"] * events
    found = collector.wait_for_logs(logs)
    assert [(log.event, log.span_id) for log in found] == [("exception", span.span_id)] * logs
    for log in found:
        assert log.attributes["exception.type"] == "ValueError"
        is_told = capture == "exception"
        assert log.attributes.get("exception.message") == ("boom" if is_told else None)
        assert ("exception.stacktrace" in log.attributes) == is_told


def test_show_prints_the_output_without_control_characters(tmp_path: Path) -> None:
    program = "configure()\nprint(python(\"print('\\x1b[31mred\\x07')\").execution_id)"
    told = run_program(tmp_path, program, _CAPTURED)

    done = subprocess.run(
        [sys.executable, "-m", "otel_codomon", "show", told.strip()],
        capture_output=True,
        text=True,
        check=True,
        env=environment(tmp_path),
    )

    assert "\noutput\n  stdout  " in done.stdout
    assert "red" in done.stdout
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout


class _Kept(LineLog):
    """One that keeps its lines instead of emitting them."""

    def __init__(self) -> None:
        class Current:
            context = None

        super().__init__(Current(), {})  # type: ignore[arg-type] # nothing else is asked of it
        self.lines: list[str] = []

    def _emit(self, line: str) -> None:
        self.lines.append(line)


@given(st.lists(st.text(alphabet="ab é", max_size=9), max_size=30), st.data())
def test_lines_are_the_same_however_they_are_cut(lines: list[str], data: st.DataObject) -> None:
    text = "".join(f"{line}\n" for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    log = _Kept()

    for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        log.take(memoryview(text[begin:end]))
    log.end()

    assert (log.lines, log.dropped) == (lines, 0)


@settings(deadline=None, max_examples=25)  # of up to 5 MB each
@given(st.integers(1, 5000), st.integers(0, 999), st.integers(100, 70_000))
def test_every_line_is_emitted_or_counted(lines: int, length: int, piece: int) -> None:
    text = memoryview((b"x" * length + b"\n") * lines)
    log = _Kept()

    for begin in range(0, len(text), piece):
        log.take(text[begin : begin + piece])
    log.end()

    assert len(log.lines) + log.dropped == lines
    assert len(log.lines) <= MAX_LINES
    assert len(log.lines) == min(lines, MAX_LINES) or len(text) > MAX_BYTES


@given(st.data())
def test_nothing_of_a_private_key_is_emitted_however_it_is_cut(data: st.DataObject) -> None:
    key = "".join(f"key{number:03d}{'k' * 58}\n" for number in range(40))
    whole = f"begin\n-----BEGIN PRIVATE KEY-----\n{key}-----END PRIVATE KEY-----\nend\n".encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=40)))
    log = _Kept()

    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        log.take(memoryview(whole[begin:end]))
    log.end()

    assert (log.lines[0], log.lines[-1]) == ("begin", "end")
    assert not [line for line in log.lines if "kkk" in line or "key0" in line]
