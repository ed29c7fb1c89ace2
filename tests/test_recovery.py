"""The dead are found, once, and the living are left alone; old records make room."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from support.journal import Journal
from support.sending import PATIENCE_SECONDS, sending

from otel_codomon import execution
from otel_codomon.journal import folder as folders, index, records, segments
from otel_codomon.journal.delivery.state import State, load_state, save_state
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.reader import JournalReader
from otel_codomon.journal.retention import Caps, Evicted, evict
from otel_codomon.journal.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest
    from support.collector import Collector

    from otel_codomon.journal.execution_record import ExecutionRecord

_WITNESS = """
import os, sys
from support.journal import Journal
from otel_codomon import execution
with Journal(sys.argv[1]):
    with execution("finished"):
        pass
    with execution("unfinished", language="python"):
        print("ready", flush=True)
        word = os.read(0, 5).strip().decode()
        if word == "exec":
            os.execv("/bin/cat", ["cat"])
"""


@contextmanager
def witness(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the middle of an execution."""
    with subprocess.Popen(
        [sys.executable, "-c", _WITNESS, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "tests"},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        try:
            yield child
        finally:
            child.kill()


def test_the_execution_of_a_process_that_was_killed_arrives_once(
    tmp_path: Path, collector: Collector
) -> None:
    folder = tmp_path / "journal"
    with witness(folder) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()

    for _ in range(3):
        with sending(str(folder), collector.environment()) as sender:
            sender.finish(PATIENCE_SECONDS)

    spans = {span.name: span for span in collector.spans()}
    assert len(collector.spans()) == len(spans) == 2
    died = spans["unfinished"]
    assert died.attributes["codomon.execution.outcome"] == "host_died"
    assert died.attributes["codomon.execution.language"] == "python"
    assert (died.status_code, died.status_message) == (2, "the process that observed it died")
    assert died.resource["service.name"]
    assert 0 <= died.ended_unix_ns - died.started_unix_ns < 60e9


def test_the_words_of_a_command_stay_on_this_machine(tmp_path: Path, collector: Collector) -> None:
    folder = str(tmp_path / "journal")
    whole = {"trace_id": "ab" * 16, "name": "job", "started_unix_ns": time.time_ns()}
    for span_id, ends in (("01" * 8, True), ("02" * 8, False)):
        span = {**whole, "span_id": span_id, "attributes": {"codomon.execution.id": span_id}}
        writer = Writer(folder)
        start = records.write_started(writer, **span, resource={}, command=("job", "kept here"))  # type: ignore[arg-type] # a mapping of them
        assert start
        if ends:
            records.write_ended(writer, **span, resource={}, ended_unix_ns=time.time_ns())  # type: ignore[arg-type] # as above
        writer.forget()

    with sending(folder, collector.environment()) as sender:
        sender.finish(PATIENCE_SECONDS)

    assert len(collector.spans()) == 2
    assert not any(b"kept here" in body for body in collector.bodies())
    reader = JournalReader(folder)
    assert {reader.command_of(found) for found in reader.executions()} == {("job", "kept here")}


def test_a_process_that_became_another_program_is_dead_too(
    tmp_path: Path, collector: Collector
) -> None:
    folder = tmp_path / "journal"
    with witness(folder) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"exec\nhello\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"hello\n"  # it is cat now, with the same pid

        with sending(str(folder), collector.environment()) as sender:
            sender.finish(PATIENCE_SECONDS)

    assert sorted(span.name for span in collector.spans()) == ["finished", "unfinished"]


def test_the_execution_of_a_living_process_is_left_alone(
    tmp_path: Path, collector: Collector
) -> None:
    folder = tmp_path / "journal"
    with witness(folder), sending(str(folder), collector.environment()) as sender:
        sender.finish(PATIENCE_SECONDS)

    assert [span.name for span in collector.spans()] == ["finished"]


def test_an_execution_that_lasts_while_its_process_moves_on_is_left_alone(
    tmp_path: Path, collector: Collector
) -> None:
    with Journal(tmp_path / "journal", max_segment_bytes=4000) as journal, execution("long"):
        for _ in range(20):
            with execution("short"):
                pass
        with sending(journal.path, collector.environment()) as sender:
            sender.finish(PATIENCE_SECONDS)

    assert {span.name for span in collector.spans()} == {"short"}


def test_the_dead_are_found_while_the_sender_runs(tmp_path: Path, collector: Collector) -> None:
    folder = tmp_path / "journal"
    with sending(str(folder), collector.environment()) as sender:
        sender.start()
        with witness(folder) as child:
            collector.wait_for(spans=1)
            child.send_signal(signal.SIGKILL)
            child.wait()
        collector.wait_for(spans=2)

    assert sender.counts.died == 1


def test_the_dead_are_found_whose_segment_another_process_has_taken_over(
    tmp_path: Path, collector: Collector
) -> None:
    folder = tmp_path / "journal"
    with witness(folder) as first:
        first.kill()
        first.wait()
    with witness(folder):
        assert len(list(folder.glob("t-*.seg"))) == 1
        with sending(str(folder), collector.environment()) as sender:
            sender.finish(PATIENCE_SECONDS)

    assert sorted(span.name for span in collector.spans()) == ["finished", "finished", "unfinished"]


def test_the_dead_are_found_whose_segment_is_taken_over_while_the_sender_runs(
    tmp_path: Path, collector: Collector
) -> None:
    folder = tmp_path / "journal"
    with sending(str(folder), collector.environment()) as sender:
        sender.start()
        with witness(folder) as first:
            collector.wait_for(spans=1)
            first.kill()
            first.wait()
        with witness(folder):  # at once: the sender may never see that it was left
            assert len(list(folder.glob("t-*.seg"))) == 1
            collector.wait_for(spans=3)
            assert sender.counts.died == 1


def test_the_dead_are_sent_even_where_the_journal_does_not_deliver(
    tmp_path: Path, collector: Collector
) -> None:
    folder = tmp_path / "journal"
    program = _WITNESS.replace("Journal(sys.argv[1])", "Journal(sys.argv[1], deliver=False)")
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "tests"},
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.kill()

    with sending(str(folder), collector.environment()) as sender:
        sender.finish(PATIENCE_SECONDS)

    assert [span.name for span in collector.spans()] == ["unfinished"]


def test_readers_and_recovery_agree(tmp_path: Path, collector: Collector) -> None:
    folder = tmp_path / "journal"
    with witness(folder) as child:
        child.kill()
        child.wait()
    with Journal(folder) as journal:
        before = {r.labels.name: (r.outcome, r.ended_unix_ns) for r in journal.executions()}

        with sending(journal.path, collector.environment()) as sender:
            sender.finish(PATIENCE_SECONDS)

        after = {r.labels.name: (r.outcome, r.ended_unix_ns) for r in journal.executions()}
    assert before == after
    assert before["unfinished"][0] is Outcome.HOST_DIED


def test_it_ended_at_its_last_sign_of_life_also_after_a_restart(
    tmp_path: Path, collector: Collector
) -> None:
    folder = tmp_path / "journal"
    with witness(folder) as child:
        child.kill()
        child.wait()
    (segment,) = folder.glob("t-*.seg")
    os.utime(segment)  # as its process does each second
    last_sign_ns = segment.stat().st_mtime_ns

    (before,) = died(folder)
    with Journal(folder), execution("another"):
        during = died(folder)
    with sending(str(folder), collector.environment()) as sender:
        sender.finish(PATIENCE_SECONDS)

    assert [path.name for path in folder.glob("t-*.seg")] == [segment.name]  # it was taken over
    assert before.ended_unix_ns == last_sign_ns
    assert [*during, *died(folder)] == [before] * 2
    (sent,) = (span for span in collector.spans() if span.name == "unfinished")
    assert (sent.started_unix_ns, sent.ended_unix_ns) == (
        before.started_unix_ns,
        before.ended_unix_ns,
    )


def died(folder: Path) -> list[ExecutionRecord]:
    """The executions of the dead, without what differs between a start and a span."""
    return [
        replace(found, attributes={}, host_pid=None)
        for found in JournalReader(str(folder)).executions()
        if found.outcome is Outcome.HOST_DIED
    ]


def test_no_sign_of_life_is_from_the_future(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    with witness(folder) as child:
        child.kill()
        child.wait()
    (segment,) = folder.glob("t-*.seg")
    os.utime(segment, ns=(0, time.time_ns() + 10**15))  # by a clock that was wrong

    (before,) = died(folder)
    with Journal(folder), execution("another"):
        (after,) = died(folder)

    for found in (before, after):
        assert found.ended_unix_ns is not None
        assert found.started_unix_ns <= found.ended_unix_ns <= time.time_ns()


class Unsampled(Sampler):
    """Has every span recorded, and none delivered."""

    def should_sample(self, *_args: object, **_kwargs: object) -> SamplingResult:
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self) -> str:
        return "record only"


def test_an_unsampled_execution_that_dies_stays_unsampled(
    tmp_path: Path, collector: Collector
) -> None:
    folder = tmp_path / "journal"
    child = os.fork()
    if not child:
        with Journal(folder, sampler=Unsampled()), execution("unfinished"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)

    for _ in range(2):
        with sending(str(folder), collector.environment()) as sender:
            sender.finish(PATIENCE_SECONDS)

    assert [found.labels.name for found in died(folder)] == ["unfinished"]
    assert collector.spans() == []


def opened(folder: Path) -> int:
    return folders.open_folder(str(folder))


def write_segments(folder: Path, count: int, *, size_bytes: int = 1000) -> list[str]:
    """*count* segments of about *size_bytes* with one undelivered record each."""
    writer = Writer(str(folder), max_segment_bytes=1)
    for _ in range(count):
        writer.append(segments.TRACES, bytes(size_bytes))
    writer.forget()
    folder_fd = opened(folder)
    names = folders.segment_names(folder_fd)
    os.close(folder_fd)
    return names


def test_the_oldest_make_room_and_what_was_not_delivered_is_counted(tmp_path: Path) -> None:
    names = write_segments(tmp_path / "journal", 10)
    folder_fd = opened(tmp_path / "journal")
    state = State()
    state.sent["traces"][names[0]] = 10**6  # delivered

    evicted = evict(folder_fd, state, caps=Caps(size_bytes=6000))

    assert evicted == Evicted(segments=5, undelivered=4)
    assert folders.segment_names(folder_fd) == names[5:]
    os.close(folder_fd)


def test_logs_beyond_their_own_cap_make_room_before_any_execution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = write_segments(tmp_path / "journal", 3)
    for _ in range(6):
        writer = Writer(str(tmp_path / "journal"), stream=folders.LOGS, takes_over=False)
        writer.append(segments.LOGS, bytes(1000))
        writer.forget()
    folder_fd = opened(tmp_path / "journal")
    logs = folders.segment_names(folder_fd, folders.LOGS)
    monkeypatch.setattr(folders, "MAX_LOGS_BYTES", 3500)
    total = sum(path.stat().st_size for path in (tmp_path / "journal").glob("*.seg"))

    evicted = evict(folder_fd, State(), caps=Caps(size_bytes=total - 1))

    assert evicted == Evicted(segments=3, undelivered=3)
    assert folders.segment_names(folder_fd) == older + logs[3:]
    os.close(folder_fd)


def test_a_state_of_a_version_without_logs_is_read(tmp_path: Path) -> None:
    names = write_segments(tmp_path / "journal", 1)
    folder_fd = opened(tmp_path / "journal")
    told = {"sent": {"traces": {names[0]: 5}, "metrics": {}}, "settled": names, "credit": {}}
    (tmp_path / "journal" / "sent.json").write_text(json.dumps(told))

    state = load_state(folder_fd)

    assert state == State(
        sent={"traces": {names[0]: 5}, "metrics": {}, "logs": {}}, settled=set(names)
    )
    os.close(folder_fd)


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    names = write_segments(tmp_path / "journal", 3)
    os.utime(tmp_path / "journal" / names[1], (0, 0))
    folder_fd = opened(tmp_path / "journal")

    evicted = evict(folder_fd, State())

    assert evicted == Evicted(segments=1, undelivered=1)
    assert folders.segment_names(folder_fd) == [names[0], names[2]]
    os.close(folder_fd)


def test_a_segment_that_is_written_is_never_evicted(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        with execution("one"):
            pass
        folder_fd = opened(journal.folder)

        evicted = evict(
            folder_fd, State(), caps=Caps(size_bytes=0), now_unix_ns=time.time_ns() + 10**18
        )

        assert evicted == Evicted()
        assert len(journal.executions()) == 1
        os.close(folder_fd)


def test_the_state_is_what_was_saved(tmp_path: Path) -> None:
    names = write_segments(tmp_path / "journal", 2)
    folder_fd = opened(tmp_path / "journal")
    sent = {"traces": {names[0]: 5, "gone": 7}, "metrics": {}, "logs": {}}
    state = State(sent=sent, settled={names[1]})

    state.forget_all_but(names)
    save_state(folder_fd, state)

    assert load_state(folder_fd) == State(
        sent={"traces": {names[0]: 5}, "metrics": {}, "logs": {}}, settled={names[1]}
    )
    os.close(folder_fd)


def test_an_end_that_is_written_while_the_journal_is_read_is_no_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(str(tmp_path))
    writer.append(segments.STARTED, b"{}", key=b"one-span")
    read = index.read_from

    def read_and_be_overtaken(descriptor: int, start: int, length: int) -> bytes:
        segment = read(descriptor, start, length)
        writer.append(segments.ENDED, b"{}", key=b"one-span")
        writer.forget()  # and the process is gone
        return segment

    monkeypatch.setattr(index, "read_from", read_and_be_overtaken)
    folder_fd = os.open(tmp_path, os.O_RDONLY)
    try:
        found = index.build_index(folder_fd)
    finally:
        os.close(folder_fd)

    assert found.died() == []
