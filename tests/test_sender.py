"""The sender against a real collector that does everything wrong."""

from __future__ import annotations

import logging
import os
import threading
import time
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from support.collector import Collector, Fault
from support.journal import Journal
from support.programs import wait_for
from support.sending import HASTE, PATIENCE_SECONDS, sending
from support.tls import Authority

from otel_codomon import execution
from otel_codomon.journal import folder as folders, leader, records, segments
from otel_codomon.journal.delivery.progress import Progress
from otel_codomon.journal.delivery.state import load_state
from otel_codomon.journal.metrics import JournalMetricExporter
from otel_codomon.journal.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_codomon.journal.delivery.sender import Sender


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal") as opened:
        yield opened


@pytest.fixture
def sender(journal: Journal, collector: Collector) -> Iterator[Sender]:
    with sending(journal.path, collector.environment()) as running:
        yield running


def run_executions(count: int) -> None:
    for index in range(count):
        with execution(f"number {index}"):
            pass


NAMES = [f"number {index}" for index in range(6)]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_what_is_in_the_journal_arrives_in_order(
    journal: Journal, collector: Collector, protocol: str, compression: str
) -> None:
    environ = {
        **collector.environment(protocol),
        "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a%20b",
    }
    run_executions(6)

    with sending(journal.path, environ) as sender:
        assert sender.flush(PATIENCE_SECONDS)

    assert [span.name for span in collector.spans()] == NAMES
    (request,) = collector.requests()
    assert request.headers["x-tenant"] == "a b"
    assert (request.protocol, request.corrupt) == (protocol.split("/", maxsplit=1)[0], False)
    assert sender.counts.delivered == 6


PAGE = Fault(body="<html>log in</html>", content_type="text/html", keep=False)
FAULTS = {
    "http/protobuf": {
        "408": Fault(status=408),
        "429 with a wait": Fault(status=429, retry_after="0.01"),
        "429 with a date": Fault(status=429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
        "429 with a negative wait": Fault(status=429, retry_after="-5"),
        "429 with garbage": Fault(status=429, retry_after="soon"),
        "500": Fault(status=500),
        "502": Fault(status=502),
        "503": Fault(status=503),
        "504": Fault(status=504),
        "599": Fault(status=599),
        "302": Fault(status=302, headers={"Location": "/elsewhere"}),
        "200 with a page": PAGE,
        "401 then mended": Fault(status=401),
        "403 then mended": Fault(status=403),
        "404 then mended": Fault(status=404),
        "reset before the body": Fault(reset="before"),
    },
    "grpc": {
        "UNAVAILABLE": Fault(grpc_code="UNAVAILABLE"),
        "RESOURCE_EXHAUSTED with a wait": Fault(
            grpc_code="RESOURCE_EXHAUSTED", retry_info_seconds=0.01
        ),
        "RESOURCE_EXHAUSTED": Fault(grpc_code="RESOURCE_EXHAUSTED"),
        "DEADLINE_EXCEEDED": Fault(grpc_code="DEADLINE_EXCEEDED"),
        "INTERNAL": Fault(grpc_code="INTERNAL"),
        "UNKNOWN": Fault(grpc_code="UNKNOWN"),
        "DATA_LOSS": Fault(grpc_code="DATA_LOSS"),
        "UNAUTHENTICATED then mended": Fault(grpc_code="UNAUTHENTICATED"),
        "PERMISSION_DENIED then mended": Fault(grpc_code="PERMISSION_DENIED"),
        "UNIMPLEMENTED then mended": Fault(grpc_code="UNIMPLEMENTED"),
    },
}


@pytest.mark.parametrize(
    ("protocol", "fault"),
    [
        pytest.param(protocol, fault, id=f"{protocol} {name}")
        for protocol, faults in FAULTS.items()
        for name, fault in faults.items()
    ],
)
def test_what_is_not_taken_is_sent_again_until_it_is(
    journal: Journal, collector: Collector, fault: Fault, protocol: str
) -> None:
    collector.answer(fault, times=2)
    run_executions(6)

    with sending(journal.path, collector.environment(protocol)) as sender:
        assert sender.flush(PATIENCE_SECONDS)

    assert [span.name for span in collector.spans()] == NAMES
    assert (sender.counts.delivered, sender.counts.rejected) == (6, 0)


@pytest.mark.parametrize("reset", ["in", "after"])
def test_a_missing_answer_gives_copies_and_no_loss(
    collector: Collector, sender: Sender, reset: str
) -> None:
    collector.answer(Fault(reset=reset))
    run_executions(6)

    assert sender.flush(PATIENCE_SECONDS)

    bodies = collector.bodies()
    assert {span.name for span in collector.spans()} == set(NAMES)
    assert bodies[0] == bodies[1]  # a copy is the same bytes, so stores show it once


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_one_poisoned_record_is_set_aside_and_the_rest_arrives(
    journal: Journal, collector: Collector, protocol: str
) -> None:
    collector.refuse(poison="number 317")
    run_executions(500)

    with sending(journal.path, collector.environment(protocol)) as sender:
        assert sender.flush(PATIENCE_SECONDS)

    assert [span.name for span in collector.spans()] == [
        f"number {index}" for index in range(500) if index != 317
    ]
    assert (sender.counts.delivered, sender.counts.rejected) == (499, 1)
    assert len(list(journal.folder.glob("x-*"))) == 1


def test_one_poisoned_span_does_not_take_its_neighbours_along(
    journal: Journal, collector: Collector, sender: Sender
) -> None:
    collector.refuse(poison="poison")
    for name in ("one", "poison", "two"):
        journal.tracer.start_span(name).end()
    journal.provider.force_flush()

    assert sender.flush(PATIENCE_SECONDS)

    assert len(journal.records(segments.TRACES)) == 2  # the three together, and the one aside
    assert [span.name for span in collector.spans()] == ["one", "two"]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_record_that_always_makes_the_collector_fail_does_not_stop_the_others(
    journal: Journal, collector: Collector, protocol: str
) -> None:
    collector.refuse(poison="number 3", poison_status=500, poison_grpc_code="INTERNAL")
    run_executions(6)

    with sending(journal.path, collector.environment(protocol)) as sender:
        assert sender.flush(PATIENCE_SECONDS)

    assert [span.name for span in collector.spans()] == [n for n in NAMES if n != "number 3"]
    assert sender.counts.rejected == 1


def test_requests_that_are_too_large_are_made_smaller(collector: Collector, sender: Sender) -> None:
    collector.refuse(max_bytes=4000)
    run_executions(100)

    assert sender.flush(PATIENCE_SECONDS)

    assert [span.name for span in collector.spans()] == [f"number {i}" for i in range(100)]
    assert sender.counts.rejected == 0


def test_no_request_is_larger_than_two_megabytes(
    journal: Journal, collector: Collector, sender: Sender
) -> None:
    for index in range(60):
        with execution("large", attributes={f"a{n}": "x" * 4000 for n in range(20)}):
            journal.tracer.start_span(f"{index}").end()
    journal.provider.force_flush()

    assert sender.flush(PATIENCE_SECONDS)

    requests = collector.requests()
    assert len(requests) > 2
    assert max(request.wire_bytes for request in requests) < 2 * 1024 * 1024
    assert len(collector.spans()) == 120


def test_partial_success_is_counted(collector: Collector, sender: Sender) -> None:
    collector.answer(Fault(rejected=2, message="two were bad"))
    run_executions(6)

    assert sender.flush(PATIENCE_SECONDS)

    assert sender.counts.rejected == 2
    assert len(collector.requests()) == 1


def test_parking_is_said_once(
    journal: Journal, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.refuse(authorization="Bearer right")
    run_executions(1)
    with (
        caplog.at_level(logging.INFO),
        sending(journal.path, collector.environment()) as sender,
    ):
        sender.start()
        collector.wait_for(attempts=4)
        collector.refuse()
        assert sender.flush(PATIENCE_SECONDS)

    messages = [r.getMessage() for r in caplog.records if "traces" in r.getMessage()]
    place = f"{collector.http_endpoint}/v1/traces"
    waiting = "they stay in the journal until that is fixed"
    assert messages == [
        f"cannot deliver traces to {place}: HTTP 401; {waiting}",
        f"traces are delivered to {place} again",
    ]


def test_a_hostile_answer_is_read_no_further_than_it_matters(
    collector: Collector, sender: Sender
) -> None:
    collector.answer(Fault(gzip_bomb_bytes=300_000_000), Fault(body="x" * 1_000_000))
    run_executions(1)
    assert sender.flush(PATIENCE_SECONDS)

    run_executions(1)
    assert sender.flush(PATIENCE_SECONDS)

    assert len(collector.spans()) == 2


def test_an_answer_of_a_byte_a_second_ends_with_the_deadline(
    journal: Journal, collector: Collector
) -> None:
    collector.answer(Fault(body="x" * 36_000, drip_seconds=0.1, keep=False))
    run_executions(1)
    environ = {**collector.environment(), "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5"}

    with sending(journal.path, environ) as sender:
        assert sender.flush(PATIENCE_SECONDS)

    # Where an honest answer takes longer than that too, there are more.
    assert len(collector.requests()) >= 2
    assert {span.name for span in collector.spans()} == {"number 0"}


def test_a_collector_that_was_away_gets_everything_when_it_is_back(
    collector: Collector, sender: Sender
) -> None:
    collector.down()
    sender.start()
    run_executions(6)
    assert not sender.flush(0.2)

    collector.up()

    assert sender.flush(PATIENCE_SECONDS)
    assert [span.name for span in collector.spans()] == NAMES


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_the_certificates_of_both_sides_are_shown(tmp_path: Path, protocol: str) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.client_files()
    with (
        Collector(tls=authority.server(ask_clients=True)) as collector,
        Journal(tmp_path / "journal") as journal,
    ):
        run_executions(1)
        environ = {
            **collector.environment(protocol),
            "OTEL_EXPORTER_OTLP_CERTIFICATE": authority.ca_file,
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": certificate,
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": key,
        }
        with sending(journal.path, environ) as sender:
            assert sender.flush(PATIENCE_SECONDS)

        assert len(collector.spans()) == 1


@pytest.mark.parametrize(
    ("name", "expired", "said"),
    [
        ("localhost", "2020", "certificate has expired"),
        ("elsewhere.example", None, "Hostname mismatch"),
    ],
)
def test_a_certificate_that_is_no_good_parks_the_journal(
    tmp_path: Path,
    name: str,
    expired: str | None,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    authority = Authority(tmp_path)
    with (
        Collector(tls=authority.server(name, expired=expired is not None)) as collector,
        Journal(tmp_path / "journal") as journal,
    ):
        run_executions(1)
        environ = {
            **collector.environment(),
            "OTEL_EXPORTER_OTLP_CERTIFICATE": authority.ca_file,
        }
        with sending(journal.path, environ) as sender:
            assert not sender.flush(0.3)

    assert said in caplog.text


def test_metrics_arrive_with_their_own_times(journal: Journal, collector: Collector) -> None:
    writer = Writer(journal.path, stream=folders.METRICS)
    reader = PeriodicExportingMetricReader(
        JournalMetricExporter(writer), export_interval_millis=3_600_000
    )
    provider = MeterProvider([reader], shutdown_on_exit=False)
    counter = provider.get_meter("scope").create_counter("jobs")
    for _ in range(3):
        counter.add(1)
        provider.force_flush()

    with sending(journal.path, collector.environment()) as sender:
        assert sender.flush(PATIENCE_SECONDS)
    provider.shutdown()
    writer.forget()

    points = collector.points("jobs")
    assert [point.value for point in points] == [1, 2, 3]
    assert len({point.unix_ns for point in points}) == 3


def test_metrics_that_are_older_than_an_hour_are_not_sent(
    journal: Journal, collector: Collector, sender: Sender
) -> None:
    writer = Writer(journal.path, stream=folders.METRICS)
    writer.append(segments.METRICS, b"", time_unix_ns=1)
    writer.forget()

    assert sender.flush(PATIENCE_SECONDS)

    assert collector.counts()["attempts"] == 0
    assert sender.counts.evicted == 1


def write_a_value(journal: Journal) -> dict[str, object]:
    writer = records.open_writer(journal.path)
    assert writer is not None
    facts: dict[str, object] = {
        "codomon.execution.id": "1",
        "codomon.execution.name": "true",
        "codomon.execution.kind": "command",
        "codomon.sandbox.type": "process",
    }
    records.write_started(
        writer,
        trace_id="ab" * 16,
        span_id="cd" * 8,
        name="true",
        started_unix_ns=10**18,
        attributes=facts,
        resource={"service.name": "s"},
        span_kind=records.KIND_CLIENT,
    )
    records.write_ended(
        writer,
        trace_id="ab" * 16,
        span_id="cd" * 8,
        parent_span_id="ef" * 8,
        name="true",
        started_unix_ns=10**18,
        ended_unix_ns=10**18 + 5 * 10**8,
        attributes={
            **facts,
            "codomon.execution.outcome": "error",
            "codomon.usage.cpu.time": 0.25,
            "codomon.usage.disk.read": 4096,
            "error.type": "1",
            "text": "\ud800",
        },
        resource={"service.name": "s"},
        span_kind=records.KIND_CLIENT,
        status=records.STATUS_ERROR,
        status_message="ended with an error",
        events=[
            {
                "name": "codomon.limit.reached",
                "unix_ns": 10**18,
                "attributes": {"codomon.limit.type": "memory"},
            }
        ],
    )
    writer.forget()
    return facts


def test_an_execution_that_was_written_as_a_value_becomes_a_span_and_points(
    journal: Journal, collector: Collector, sender: Sender
) -> None:
    facts = write_a_value(journal)

    assert sender.flush(PATIENCE_SECONDS)

    (span,) = collector.spans()
    assert (span.name, span.kind, span.status_code) == ("true", 3, 2)
    assert (span.parent_span_id, span.scope) == ("ef" * 8, "otel_codomon")
    assert span.ended_unix_ns - span.started_unix_ns == 5 * 10**8
    assert span.resource == {"service.name": "s"}
    assert span.attributes["text"] == "?"
    assert [event.attributes for event in span.events] == [{"codomon.limit.type": "memory"}]
    points = {point.metric: point for point in collector.points()}
    duration = points["codomon.execution.duration"]
    assert (duration.value, duration.count, duration.temporality) == (0.5, 1, 2)
    assert duration.attributes["codomon.execution.outcome"] == "error"
    assert "codomon.execution.id" not in duration.attributes
    assert duration.exemplars == ["ab" * 16]
    assert points["codomon.execution.cpu.time"].value == 0.25
    assert points["codomon.execution.disk.io"].value == 4096
    reached = points["codomon.execution.limit.reached"]
    assert (reached.value, reached.temporality, reached.attributes) == (
        1,
        2,
        {
            **{key: facts[key] for key in facts if key != "codomon.execution.id"},
            "codomon.limit.type": "memory",
        },
    )


def test_history_is_not_sent(tmp_path: Path, collector: Collector) -> None:
    with Journal(tmp_path / "journal", deliver=False) as journal:
        run_executions(3)
        with sending(journal.path, collector.environment()) as sender:
            assert sender.flush(PATIENCE_SECONDS)

    assert collector.counts()["attempts"] == 0


def test_what_was_delivered_is_not_sent_again_by_the_next_process(
    journal: Journal, collector: Collector
) -> None:
    for count in (3, 4):
        run_executions(count)
        with sending(journal.path, collector.environment()) as sender:
            assert sender.flush(PATIENCE_SECONDS)

    assert len(collector.spans()) == 7
    assert len(journal.executions()) == 7


def test_an_answer_is_noted_before_anything_else_is_waited_for(
    journal: Journal, collector: Collector
) -> None:
    write_a_value(journal)  # becomes a request of each signal
    collector.answer(Fault(signal="metrics", delay_seconds=3600, keep=False))
    environ = {**collector.environment(), "OTEL_EXPORTER_OTLP_TIMEOUT": "3600"}

    with sending(journal.path, environ) as sender:
        sender.start()
        collector.wait_for_spans(1)
        progress = Progress(journal.path, ["traces"])
        deadline = time.monotonic() + 60  # only guards against a hang
        while progress.waiting()["traces"] and time.monotonic() < deadline:
            time.sleep(0.01)

        assert progress.waiting() == {"traces": {}}
        assert collector.counts()["attempts"] == 1  # the metrics are still on their way
        collector.down()


def test_a_sender_that_is_killed_leaves_the_next_one_no_credit(
    journal: Journal, collector: Collector
) -> None:
    run_executions(60)

    with sending(journal.path, collector.environment()) as sender:
        assert sender.flush(30)
        assert saved_credit(journal) == {}  # what one finds that comes after a kill
    after_a_good_end = saved_credit(journal)
    with sending(journal.path, collector.environment()) as sender:
        assert sender.flush(30)  # there is nothing, but it was in office
        run_executions(1)
        assert sender.flush(30)
        assert saved_credit(journal) == {}

    assert after_a_good_end["traces"] > 1000
    assert saved_credit(journal)["traces"] >= after_a_good_end["traces"]


def saved_credit(journal: Journal) -> dict[str, int]:
    folder_fd = folders.open_folder(journal.path)
    try:
        return load_state(folder_fd).credit
    finally:
        os.close(folder_fd)


def test_who_has_just_begun_waits_before_it_is_elected_unless_somebody_waits_for_it(
    journal: Journal, collector: Collector
) -> None:
    run_executions(1)
    patient = replace(HASTE, linger_seconds=3600.0)

    with sending(journal.path, collector.environment(), pace=patient) as sender:
        sender.start()
        assert leader.holder_pid(journal.path) is None
        assert sender.flush(30)

    assert len(collector.spans()) == 1


@pytest.mark.parametrize("state", [b"", b"{", b"[]", b'{"sent": {"traces": {"x": "y"}}}'])
def test_a_state_that_makes_no_sense_means_to_send_again(
    journal: Journal, collector: Collector, state: bytes
) -> None:
    run_executions(2)
    with sending(journal.path, collector.environment()) as sender:
        assert sender.flush(PATIENCE_SECONDS)
    (journal.folder / "sent.json").write_bytes(state)

    with sending(journal.path, collector.environment()) as sender:
        assert sender.flush(PATIENCE_SECONDS)

    assert [span.name for span in collector.spans()] == ["number 0", "number 1"] * 2


def test_damage_does_not_stop_delivery_and_is_counted(
    journal: Journal, collector: Collector, sender: Sender
) -> None:
    run_executions(9)
    (path,) = journal.folder.glob("t-*")
    whole = bytearray(path.read_bytes())
    place = whole.index(b"number 4", whole.index(b"number 3"))
    whole[place : place + 8] = bytes(8)
    path.write_bytes(bytes(whole))

    assert sender.flush(PATIENCE_SECONDS)

    assert len(collector.spans()) >= 8
    assert sender.counts.quarantined >= 1


def test_the_sender_lets_another_process_have_the_journal(
    journal: Journal, collector: Collector
) -> None:
    run_executions(1)
    with sending(journal.path, collector.environment()) as sender:
        assert sender.flush(PATIENCE_SECONDS)
        assert leader.is_ours(journal.path)

    assert leader.holder_pid(journal.path) is None


def test_finishing_without_a_thread_sends_all_the_same(
    journal: Journal, collector: Collector
) -> None:
    run_executions(3)
    with sending(journal.path, collector.environment()) as sender:
        assert sender.finish(PATIENCE_SECONDS)

        assert not sender._thread.is_there
    assert len(collector.spans()) == 3


def test_finishing_with_a_dead_collector_gives_up_after_one_attempt(journal: Journal) -> None:
    run_executions(3)
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:9"}  # discard: nobody listens

    with sending(journal.path, environ, pace=HASTE) as sender:
        sender.start()

        assert not sender.finish(PATIENCE_SECONDS)

    assert len(journal.executions()) == 3


def test_there_are_never_two_threads_of_the_sender(sender: Sender) -> None:
    before = set(threading.enumerate())
    starters = [threading.Thread(target=sender.notice) for _ in range(16)]
    for thread in starters:
        thread.start()
    for thread in starters:
        thread.join()

    born = set(threading.enumerate()) - before
    assert [thread.name for thread in born] == ["codomon-sender"]


# --- records of a later version ---


def of_later_version() -> bytes:
    """A record as a later version may write it: the same head, with another number."""
    ours = segments.encode(segments.ENDED, b"what it means is not known", time_unix_ns=1)
    head = bytearray(ours[:32])
    head[4] = segments.VERSION + 1
    return bytes(head) + zlib.crc32(head).to_bytes(4, "little") + ours[36:]


@pytest.mark.parametrize("is_last", [True, False])
def test_records_of_a_later_version_are_left_to_it(
    journal: Journal,
    collector: Collector,
    sender: Sender,
    caplog: pytest.LogCaptureFixture,
    *,
    is_last: bool,
) -> None:
    run_executions(2)
    (segment,) = journal.folder.glob("t-*.seg")
    with segment.open("ab") as file:
        file.write(of_later_version())
    if not is_last:
        run_executions(2)

    assert sender.start()
    wait_for(lambda: "newer version" in caplog.text or None, what="the warning")
    wait_for(lambda: not leader.is_ours(journal.path) or None, what="the lock to be left to it")

    assert len(collector.spans()) == 2
    assert sender.counts.quarantined == 0
    folder_fd = folders.open_folder(journal.path)
    sent = load_state(folder_fd).sent["traces"]
    os.close(folder_fd)
    assert 0 < sent[segment.name] < segment.stat().st_size
