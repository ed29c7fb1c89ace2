from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from support.collector import PATIENCE_SECONDS, Collector, Fault
from support.history import Past, write_history
from support.typed import clean_environment, typed, typed_on_terminal

from otel_codomon.doctor.checks.result import CheckResult, State
from otel_codomon.doctor.operation import iterate_checks, make_scene, worst_of
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.operation import describe_waiting, journal_status
from otel_codomon.journal.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@pytest.fixture(scope="module")
def peer() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def collector(peer: Collector) -> Collector:
    peer.clear()
    peer.answer_always(None)
    return peer


def lines(
    folder: Path, environ: Mapping[str, str] | None = None, *, category: str
) -> dict[str, CheckResult]:
    environ = {"PATH": os.environ["PATH"], **(environ or {})}
    scene = make_scene(journal=str(folder), environ=environ, timeout_seconds=PATIENCE_SECONDS)
    return {line.name: line for line in iterate_checks(scene) if line.category == category}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_endpoint_that_takes_an_empty_export_is_well(
    protocol: str, collector: Collector, tmp_path: Path
) -> None:
    found = lines(tmp_path, collector.environment(protocol), category="endpoint")

    assert [line.state for line in found.values()] == [State.OK, State.OK]
    requests = collector.requests()
    assert [(r.signal, r.items, r.corrupt) for r in requests] == [
        ("traces", 0, False),
        ("metrics", 0, False),
    ]
    assert collector.spans() == []


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Fault(status=401), "401"),
        (Fault(status=404), "404"),
        (Fault(status=503), "503"),
        (Fault(status=200, content_type="text/html", body="<html>"), "HTML page"),
    ],
)
def test_an_answer_that_is_no_delivery_says_what_to_do(
    fault: Fault, word: str, collector: Collector, tmp_path: Path
) -> None:
    collector.answer_always(fault)

    found = lines(tmp_path, collector.environment(), category="endpoint")["traces"]

    assert found.state is State.FAILURE
    assert word in found.detail
    assert found.hint


def test_nobody_at_the_endpoint_is_a_failure(tmp_path: Path) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}

    found = lines(tmp_path, environ, category="endpoint")

    assert [line.state for line in found.values()] == [State.FAILURE, State.FAILURE]


def test_each_setting_tells_where_it_comes_from(tmp_path: Path) -> None:
    environ = {
        "OTEL_PYTHON_CODOMON_EXIT_TIMEOUT": "7",
        "OTEL_PYTHON_CODOMON_SLOTS": "perhaps",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer secret",
    }

    found = lines(tmp_path, environ, category="configuration")

    assert found["exit_timeout"].detail == "7.0 (from OTEL_PYTHON_CODOMON_EXIT_TIMEOUT)"
    assert found["durability"].detail == "process (from the default)"
    assert found["slots"].state is State.FAILURE
    assert "secret" not in found["OTEL_EXPORTER_OTLP_HEADERS"].detail


def test_a_journal_that_is_not_there_is_well_and_not_made(tmp_path: Path) -> None:
    found = lines(tmp_path / "none", category="journal")

    assert found["directory"].state is State.OFF
    assert not (tmp_path / "none").exists()


def test_damage_in_the_journal_is_a_warning_with_its_count(tmp_path: Path) -> None:
    write_history(tmp_path, [Past() for _ in range(10)]).forget()
    (segment,) = tmp_path.glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)

    found = lines(tmp_path, category="journal")["records"]

    assert found.state is State.WARNING
    assert found.detail.startswith("9 executions can be read")
    assert found.detail.endswith("; skipped 1 damaged part")


def test_a_journal_in_the_way_of_a_file_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    found = lines(tmp_path / "file", category="journal")["directory"]

    assert found.state is State.FAILURE


def test_what_waits_for_a_collector_is_told_with_its_age(tmp_path: Path) -> None:
    write_history(tmp_path, [Past()]).forget()
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}

    found = lines(tmp_path, environ, category="journal")["backlog of traces"]

    assert found.detail.startswith("1 record (")
    assert found.detail.endswith(" ago")


def test_doctor_and_journal_status_give_the_same_figures(tmp_path: Path) -> None:
    write_history(tmp_path, [Past() for _ in range(3)]).forget()
    for stream, kind in ((folders.METRICS, segments.METRICS), (folders.LOGS, segments.LOGS)):
        writer = Writer(str(tmp_path), stream=stream)
        writer.append(kind, b"points or log records")
        writer.forget()

    status = journal_status(journal=str(tmp_path)).waiting
    found = lines(tmp_path, category="journal")

    assert {signal: waiting.records for signal, waiting in status.items()} == {
        "traces": 3,
        "metrics": 1,
        "logs": 1,
    }
    for signal, waiting in status.items():
        assert found[f"backlog of {signal}"].detail.startswith(describe_waiting(waiting))


def test_a_journal_that_is_off_is_a_warning() -> None:
    environ = clean_environment(OTEL_PYTHON_CODOMON_JOURNAL="off")

    done = typed("doctor", "--format", "json", env=environ)

    told = json.loads(done.stdout)
    (line,) = [line for line in told["lines"] if line["category"] == "journal"]
    assert (line["state"], done.returncode) == ("warning", 0)


def test_the_machine_is_really_tried(tmp_path: Path) -> None:
    found = lines(tmp_path, category="machine")

    assert {"system", "cgroup", "process tree", "subreaper", "bubblewrap"} <= found.keys()
    assert all(line.detail for line in found.values())


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ((), State.OK),
        ((State.OK, State.OFF), State.OK),
        ((State.OK, State.WARNING), State.WARNING),
        ((State.WARNING, State.FAILURE, State.OK), State.FAILURE),
    ],
)
def test_the_worst_line_is_the_state_of_all(states: tuple[State, ...], worst: State) -> None:
    found = tuple(CheckResult(category="a", name="n", state=state, detail="f") for state in states)

    assert worst_of(found) is worst


def test_the_exit_code_is_one_when_something_does_not_work(tmp_path: Path) -> None:
    environ = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")

    done = typed("doctor", "--journal", str(tmp_path), env=environ)

    assert done.returncode == 1
    details, *_ = done.stdout.splitlines()
    assert details.startswith("2 things do not work (endpoint traces, endpoint metrics)")
    assert "failure traces: http://127.0.0.1:1/v1/traces" in done.stdout


def test_defaults_and_versions_are_shown_when_asked_for(tmp_path: Path) -> None:
    environ = clean_environment(OTEL_PYTHON_CODOMON_EXIT_TIMEOUT="7")

    short = typed("doctor", "--journal", str(tmp_path), env=environ).stdout
    verbose = typed("doctor", "-v", "--journal", str(tmp_path), env=environ).stdout

    assert "exit_timeout: 7.0 (from OTEL_PYTHON_CODOMON_EXIT_TIMEOUT)" in short
    for word in ("from the default", "opentelemetry-sdk"):
        assert word not in short
        assert word in verbose


def test_what_is_not_there_is_off_and_not_ok(tmp_path: Path) -> None:
    found = lines(tmp_path, category="endpoint")
    machine = lines(tmp_path, {"PATH": str(tmp_path)}, category="machine")

    assert {line.state for line in found.values()} == {State.OFF}
    assert machine["bubblewrap"].state is State.OFF


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_the_doctor_fits_the_terminal(columns: int, tmp_path: Path) -> None:
    code, text = typed_on_terminal("doctor", "-v", "--journal", str(tmp_path), columns=columns)

    assert code == 0
    assert max(len(line) for line in text.splitlines()) <= columns
