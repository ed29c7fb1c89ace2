"""Whatever is in a journal, readers and sender go on, and whole records are shown and delivered."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings, strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.collector import PATIENT, Collector
from support.user_program import Program

from otel_codomon import names
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.delivery.answers import Answer, AnswerKind
from otel_codomon.journal.delivery.backlog import MALFORMED, Backlog, Item
from otel_codomon.journal.delivery.batch_sender import BatchSender
from otel_codomon.journal.delivery.state import State, load_state
from otel_codomon.journal.live_metrics import running
from otel_codomon.journal.operation import journal_status
from otel_codomon.journal.recovery import Recovery
from otel_codomon.journal.running_executions import RunningExecutions
from otel_codomon.journal.segments import Record, encode, is_request
from otel_codomon.journal.span_data import read_span_data
from otel_codomon.journal.span_otlp import span_request
from otel_codomon.journal.writer import Writer
from otel_codomon.report.executions import list_executions, show_execution
from otel_codomon.report.operation import make_report

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = time.time_ns()
RESOURCE = b'{"service.name":"hostile"}'
RESOURCE_KEY = b"resource"
KINDS = (
    *(segments.SESSION, segments.RESOURCE, segments.STARTED, segments.ENDED),
    *(segments.TRACES, segments.METRICS, segments.HEARTBEAT, 99),
)


def span_id(number: int) -> bytes:
    return b"good" + number.to_bytes(4, "big")


def told(number: int, **changes: object) -> dict[str, Any]:
    """What an ENDED record says."""
    return {
        "trace_id": f"{number + 1:032x}",
        "parent_span_id": None,
        "name": f"good {number}",
        "kind": 1,
        "started": NOW,
        "ended": NOW + 10**9,
        "attributes": {
            names.EXECUTION_ID: f"id-{number}",
            names.EXECUTION_NAME: f"good {number}",
            names.EXECUTION_OUTCOME: "success",
            names.USAGE_CPU_TIME: 0.5,
        },
        "links": [],
        "status": 0,
        "message": "",
        "events": [],
        "resource": RESOURCE_KEY.hex(),
        **changes,
    }


def ended(number: int, **changes: object) -> bytes:
    payload = json.dumps(told(number, **changes)).encode()
    return encode(segments.ENDED, payload, key=span_id(number), time_unix_ns=NOW)


def as_span(number: int) -> bytes:
    """The same execution as the SDK writes it."""
    (record,) = segments.decode(ended(number))
    assert isinstance(record, Record)
    facts = read_span_data(record)
    assert facts is not None
    return encode(segments.TRACES, span_request(facts, {}), key=span_id(number), time_unix_ns=NOW)


# --- what a segment may hold ----------------------------------------------------------

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(), max_size=20),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
deep = st.integers(10, 5000).map(lambda depth: b"[" * depth + b"]" * depth)
changed = st.builds(
    lambda field, value: json.dumps(told(0) | {field: value}).encode(),
    st.sampled_from(sorted(told(0))),
    values,
)
strange_attributes = st.builds(
    lambda key, value: json.dumps(told(0, attributes={key: value})).encode(),
    st.sampled_from([names.EXECUTION_ID, names.USAGE_CPU_TIME, names.USAGE_CURVE_TIME, "own"]),
    values,
)
payloads = st.one_of(
    st.binary(max_size=60),
    values.map(lambda value: json.dumps(value).encode()),
    deep,
    deep.map(lambda text: b'{"attributes":{"deep":' + text + b"}}"),
    changed,
    strange_attributes,
    st.just(json.dumps(told(0)).encode().replace(b"good", b"g\xff\xfed")),
    st.binary(max_size=60).map(lambda tail: b"\x0a\x7f" + tail),
    st.just(b"\x0a\x02\x0a\x05"),
    st.just(b"1" * 5000),
)
poison = st.builds(
    lambda signal, payload, key, flags: encode(
        signal, payload, key=key, flags=flags, time_unix_ns=NOW
    ),
    st.sampled_from(KINDS),
    payloads,
    st.one_of(st.just(segments.NO_KEY), st.binary(min_size=8, max_size=8)),
    st.sampled_from([0, segments.HISTORY, 0xFFFF]),
)


def giant(length: int) -> bytes:
    """A head whose checksum is right and whose payload is not there."""
    head = segments._HEAD.pack(
        segments.MAGIC, segments.VERSION, segments.TRACES, 0, length, NOW, bytes(8), 0
    )
    return head + segments._CHECK.pack(crc32(head))


broken = st.one_of(
    st.binary(max_size=80),
    st.builds(lambda cut: as_span(900)[:cut], st.integers(0, 200)),
    st.builds(
        lambda at, bit: bytes(
            byte ^ (bit if place == at else 0) for place, byte in enumerate(as_span(901))
        ),
        st.integers(0, 200),
        st.integers(1, 255),
    ),
    st.sampled_from([1, 2**20, segments.MAX_PAYLOAD_BYTES, 2**32 - 1]).map(giant),
    st.just(segments.MAGIC * 5),
)
pieces = st.lists(
    st.one_of(st.sampled_from(["ended", "span", "twice"]), poison, broken), max_size=12
)


def assembled(parts: list[str | bytes]) -> tuple[bytes, set[bytes]]:
    """A segment with *parts*, and the span ids of the executions that are whole in it."""
    found = [encode(segments.RESOURCE, RESOURCE, key=RESOURCE_KEY, time_unix_ns=NOW)]
    good = set()
    for number, part in enumerate(parts):
        if isinstance(part, bytes):
            found.append(part)
            continue
        good.add(span_id(number))
        record = ended(number) if part == "ended" else as_span(number)
        found.append(record * 2 if part == "twice" else record)
    return b"".join(found), good


def write_everywhere(folder: Path, segment: bytes) -> None:
    for stream in (folders.TRACES, folders.METRICS, folders.DEAD_LETTERS, folders.HEARTBEATS):
        name = folders.new_segment_name(stream, time_unix_ns=time.time_ns())
        (folder / name).write_bytes(segment)


class Collecting:
    """A collector that decodes what it gets, and refuses what it cannot."""

    def __init__(self, signal: str) -> None:
        self.type: Any = {
            "traces": ExportTraceServiceRequest,
            "metrics": ExportMetricsServiceRequest,
        }[signal]
        self.span_ids: set[bytes] = set()

    def send(self, body: bytes, *, timeout_seconds: float) -> Answer:
        """Take *body*, or refuse it."""
        del timeout_seconds
        try:
            request = self.type.FromString(body)
        except DecodeError:
            return Answer(kind=AnswerKind.REFUSED, reason="HTTP 400")
        for resource in getattr(request, "resource_spans", ()):
            for scope in resource.scope_spans:
                self.span_ids |= {span.span_id for span in scope.spans}
        return Answer(kind=AnswerKind.DELIVERED)

    def close(self) -> None:
        """Nothing to close."""


def deliver_all(folder: Path, signal: str) -> tuple[set[bytes], list[Item]]:
    """Deliver until nothing waits; the spans that arrived, and the dead letters."""
    kept = VerifiedDescriptor(folders.open_folder(str(folder)))
    backlog = Backlog(kept, signal, State())
    collecting = Collecting(signal)
    letters: list[Item] = []

    def finish(items: list[Item]) -> None:
        letters.extend(item for item in items if item.fate == MALFORMED)
        backlog.done(items)

    courier = BatchSender(
        signal,
        collecting,
        done=finish,
        dead_letter=lambda item, _reason: letters.append(item),
        timeout_seconds=lambda: 1.0,
    )
    while batch := backlog.next_batch():
        assert courier.deliver(batch) is None
    assert not backlog.waiting_ends()
    kept.close()
    return collecting.span_ids, letters


@pytest.fixture(scope="module")
def journals() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@given(pieces)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_bytes_leave_readers_and_sender_alive_and_whole_records_arrive(
    journals: Path, parts: list[str | bytes]
) -> None:
    folder = Path(tempfile.mkdtemp(dir=journals))
    segment, good = assembled(parts)
    write_everywhere(folder, segment)

    listed = list_executions(journal=str(folder))
    assert {bytes.fromhex(line.span_id) for line in listed.executions} >= good
    for key in good:
        assert show_execution(key.hex(), journal=str(folder)).line.outcome == "success"
    make_report(journal=str(folder))
    RunningExecutions(str(folder)).read()
    running(str(folder))
    status = journal_status(journal=str(folder))
    assert status.waiting["traces"].records >= len(good)

    arrived, _ = deliver_all(folder, "traces")
    assert arrived >= good
    deliver_all(folder, "metrics")

    kept = VerifiedDescriptor(folders.open_folder(str(folder)))
    writer = Writer(str(folder))
    Recovery(kept, State(), writer).search()
    writer.forget()
    kept.close()
    assert len(list_executions(journal=str(folder)).executions) >= len(good)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_state_file_is_a_state(journals: Path, content: bytes) -> None:
    folder = Path(tempfile.mkdtemp(dir=journals))
    (folder / "sent.json").write_bytes(content)
    folder_fd = folders.open_folder(str(folder))

    assert set(load_state(folder_fd).sent) == {"traces", "metrics", "logs"}
    os.close(folder_fd)


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_what_can_stand_in_a_request_is_told_by_its_outer_fields(parts: list[bytes]) -> None:
    request = ExportTraceServiceRequest()
    for part in parts:
        request.resource_spans.add(schema_url=part.hex())
    whole = request.SerializeToString()

    assert is_request(whole)
    assert not is_request(whole + b"\x0a")
    assert not is_request(whole + b"\x12\x00")
    assert not is_request(whole + b"\x0a\x05abc")
    assert not is_request(whole + b"\x0a" + b"\xff" * 9)


def test_a_segment_that_was_made_to_be_slow_is_read_all_the_same() -> None:
    head = giant(2**20)
    slow = head * (2 * 2**20 // len(head))
    begin = time.thread_time()

    items = list(segments.decode(slow + ended(1)))

    assert time.thread_time() - begin < 60  # minutes without a bound
    assert all(item.end <= len(slow) + len(ended(1)) for item in items)


def test_a_payload_that_holds_a_record_is_not_taken_apart_at_a_window(tmp_path: Path) -> None:
    forged = ended(7)
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(span_id=span_id(1))
    attribute = span.attributes.add(key="bytes")
    attribute.value.bytes_value = b"." * 50_000 + forged + b"." * 200_000
    outer = encode(segments.TRACES, request.SerializeToString(), time_unix_ns=NOW)
    write_everywhere(tmp_path, ended(2) + outer)
    kept = VerifiedDescriptor(folders.open_folder(str(tmp_path)))

    backlog = Backlog(kept, "traces", State())
    lengths = []
    while batch := backlog.next_batch(1000):
        lengths += [len(item.payload) for item in batch if item.payload]
        backlog.done(batch)
    kept.close()

    assert len(lengths) == 2
    assert lengths[1] > 250_000
    assert backlog.fates["damaged"] == 0


def test_a_segment_without_any_record_in_it_is_passed_over(tmp_path: Path) -> None:
    name = folders.new_segment_name(folders.TRACES, time_unix_ns=NOW)
    with (tmp_path / name).open("wb") as file:
        file.truncate(160 * 2**20)  # sparse
        file.seek(0, os.SEEK_END)
        file.write(ended(1))

    arrived, _ = deliver_all(tmp_path, "traces")

    assert arrived == {span_id(1)}


# --- what is no segment -----------------------------------------------------------------


def litter(folder: Path) -> list[Path]:
    """Things of all kinds that are called like ours."""
    stamp = time.time_ns()
    paths = [folder / folders.new_segment_name(s, time_unix_ns=stamp) for s in "tmxh" * 5]
    for index, path in enumerate(paths):
        kind = index // 4
        if kind == 0:
            path.mkdir()
        elif kind == 1:
            os.mkfifo(path)
        elif kind == 2:
            path.symlink_to("/etc/passwd")
        elif kind == 3:
            path.symlink_to(path)
        else:
            descriptor = os.open(folder, os.O_RDONLY)
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(f"/proc/self/fd/{descriptor}/{path.name}")  # the path may be too long
            os.close(descriptor)
    return paths


PROGRAM = """
from otel_codomon import configure, execution
made = configure()
with execution("among litter"):
    pass
assert made.force_flush(100)
"""


def test_what_is_not_a_file_of_ours_neither_blocks_nor_misleads(
    tmp_path: Path, collector: Collector
) -> None:
    journal = tmp_path / "j"
    journal.mkdir()
    paths = litter(journal)
    environ = {
        **collector.environment(),
        **PATIENT,
        "OTEL_PYTHON_CODOMON_JOURNAL": str(journal),
    }
    program = Program(tmp_path, environ)

    done = program.run(PROGRAM)

    assert (done.returncode, done.stderr) == (0, "")
    assert [span.name for span in collector.wait_for_spans(1)] == ["among litter"]
    (line,) = list_executions(journal=str(journal)).executions
    assert line.name == "among litter"
    assert journal_status(journal=str(journal)).waiting["traces"].records == 0
    assert all(os.path.lexists(path) for path in paths)


@pytest.mark.parametrize("name", ["sender.lock", "sent.json", "sent.json.new", "control"])
@pytest.mark.parametrize("kind", ["directory", "fifo", "link"])
def test_a_foreign_thing_in_the_place_of_a_file_of_ours_stops_no_execution(
    tmp_path: Path, collector: Collector, name: str, kind: str
) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    path = journal / name
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/etc/passwd")
    program = Program(tmp_path, collector.environment())

    done = program.run(PROGRAM.replace("assert made.force_flush(100)", "made.force_flush(2)"))

    assert done.returncode == 0
    assert [one.labels.name for one in program.executions()] == ["among litter"]
    reported = done.stderr.splitlines()
    if name == "sender.lock":
        assert len(reported) == 1
        assert "nothing is delivered from it" in reported[0]
    else:
        assert [span.name for span in collector.wait_for_spans(1)] == ["among litter"]
        is_blocked = name == "sent.json.new" or (name, kind) == ("sent.json", "directory")
        assert len(reported) == is_blocked
        assert all("how far it was delivered" in line for line in reported)
    status = subprocess.run(
        [sys.executable, "-m", "otel_codomon", "journal", "status"],
        env=program.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "Traceback" not in status.stderr


# --- counted, and shown -----------------------------------------------------------------


def test_poison_becomes_dead_letters_which_status_and_doctor_count(
    tmp_path: Path, collector: Collector
) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    malformed = encode(segments.ENDED, b"[1,", key=span_id(50), time_unix_ns=NOW)
    garbage = encode(segments.TRACES, b"\x0a\x05\x0a\xff\xff\xff\xff", time_unix_ns=NOW)
    name = folders.new_segment_name(folders.TRACES, time_unix_ns=time.time_ns())
    (journal / name).write_bytes(ended(1) + malformed + b"damage" + garbage + ended(2) + as_span(3))
    program = Program(tmp_path, {**collector.environment(), **PATIENT})

    done = program.run(PROGRAM)

    assert done.returncode == 0
    arrived = {span.name for span in collector.wait_for_spans(4)}
    assert arrived == {"good 1", "good 2", "good 3", "among litter"}
    environ = program.environment()

    def shown(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "otel_codomon", *words],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        ).stdout

    assert "2 dead letters" in shown("journal", "status")
    assert "1 damaged" in shown("journal", "status")
    doctor = shown("doctor")
    assert "2 dead letters" in doctor
    assert "damaged" in doctor
