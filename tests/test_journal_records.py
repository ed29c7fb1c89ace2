from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from otel_codomon.errors import JournalUnavailableError
from otel_codomon.journal import leader, records, segments
from otel_codomon.journal.segments import Record, decode

if TYPE_CHECKING:
    from pathlib import Path

TRACE, SPAN = "ab" * 16, "cd" * 8


def read(folder: Path) -> list[Record]:
    return [
        item
        for path in sorted(folder.glob("t-*.seg"))
        for item in decode(path.read_bytes())
        if isinstance(item, Record)
    ]


def test_start_and_end_are_written_with_their_resource_once(tmp_path: Path) -> None:
    writer = records.open_writer(str(tmp_path / "journal"))
    assert writer is not None
    facts = {"codomon.execution.id": "1", "n": 2**70, "bad": "\ud800", "bytes": b"x"}

    records.write_started(
        writer,
        trace_id=TRACE,
        span_id=SPAN,
        name="true",
        started_unix_ns=1,
        attributes=facts,
        resource={"service.name": "s"},
    )
    records.write_ended(
        writer,
        trace_id=TRACE,
        span_id=SPAN,
        name="true",
        started_unix_ns=1,
        ended_unix_ns=2,
        attributes={"process.exit.code": 0},
        resource={"service.name": "s"},
    )
    writer.forget()

    _session, resource, started, ended = read(tmp_path / "journal")
    assert json.loads(resource.payload) == {"service.name": "s"}
    assert started.signal == segments.STARTED
    assert started.key == ended.key == bytes.fromhex(SPAN)
    assert json.loads(started.payload)["attributes"] == {**facts, "bytes": "b'x'"}
    assert json.loads(ended.payload)["resource"] == resource.key.hex()


def test_there_is_no_writer_where_the_journal_is_off() -> None:
    assert records.open_writer(environ={"OTEL_PYTHON_CODOMON_JOURNAL": "off"}) is None


def test_why_there_is_no_folder_is_for_the_caller_to_report(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(JournalUnavailableError, match="file exists"):
        records.open_writer(str(tmp_path / "file"))


def test_the_resource_is_what_the_environment_says() -> None:
    environ = {
        "OTEL_RESOURCE_ATTRIBUTES": "a=b%20c, service.name=x,broken",
        "OTEL_SERVICE_NAME": "y",
    }

    found = records.resource(environ=environ)

    assert (found["a"], found["service.name"]) == ("b c", "y")
    assert records.resource(service_name="z", environ={})["service.name"] == "z"


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "TRUE"}, False),
    ],
)
def test_delivery_is_wanted_where_an_endpoint_is_named(
    environ: dict[str, str],
    wanted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    assert records.is_delivery_wanted(environ) is wanted


def test_one_process_is_elected_and_a_child_does_not_inherit_that(tmp_path: Path) -> None:
    folder = str(tmp_path / "journal")
    assert leader.holder_pid(folder) is None
    assert leader.try_acquire(folder)
    read_end, write_end = os.pipe()

    child = os.fork()
    if child == 0:
        answer = (leader.try_acquire(folder), leader.is_ours(folder), leader.holder_pid(folder))
        os.write(write_end, repr(answer).encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(read_end, 100).decode() == repr((False, False, os.getpid()))
    os.close(read_end)
    os.close(write_end)
    leader.release(folder)
    assert not leader.is_ours(folder)
    assert not records.sender_is_running(folder)


def test_a_lock_file_that_was_removed_is_made_again(tmp_path: Path) -> None:
    folder = str(tmp_path / "journal")
    assert leader.try_acquire(folder)
    (tmp_path / "journal" / leader.LOCK_FILE).unlink()

    assert leader.try_acquire(folder)
    leader.release(folder)
