"""`otel-codomon journal`, as somebody types it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.collector import Collector, Fault
from support.journal import Journal
from support.typed import PATIENCE_SECONDS

from otel_codomon import execution
from otel_codomon.journal import leader

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal with three executions that nobody has taken."""
    with Journal(tmp_path / "journal"):
        for index in range(3):
            with execution(f"number {index}"):
                pass
    return tmp_path / "journal"


def command(
    folder: Path, *arguments: str, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-m", "otel_codomon", "journal", *arguments, "--journal", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**clean, **(environ or {})},
        timeout=PATIENCE_SECONDS,
    )


def test_status_says_what_waits_and_where_to(folder: Path, collector: Collector) -> None:
    done = command(folder, "status", environ=collector.environment())

    assert (done.returncode, done.stderr) == (0, "")
    assert f"journal   {folder}\n" in done.stdout
    assert re.search(
        rf"^traces    3 records \(.*\), waiting for {collector.http_endpoint}/v1/traces$",
        done.stdout,
        re.MULTILINE,
    )
    assert "sender    not running\n" in done.stdout


def test_status_is_data_too(folder: Path) -> None:
    done = command(folder, "status", "--format", "json")

    told = json.loads(done.stdout)
    assert told["waiting"]["traces"]["records"] == 3
    assert told["waiting"]["metrics"] == {"records": 0, "bytes": 0}
    assert (told["exists"], told["segments"], "sender_pid" in told) == (True, 1, False)


def test_status_makes_no_journal_where_there_is_none(tmp_path: Path) -> None:
    done = command(tmp_path / "missing", "status")

    assert done.returncode == 0
    assert "does not exist yet" in done.stdout
    assert not (tmp_path / "missing").exists()


def test_send_ships_what_waits(folder: Path, collector: Collector) -> None:
    done = command(folder, "send", environ=collector.environment())

    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "3 records delivered, 0 rejected\n",
        "",
    )
    assert [span.name for span in collector.spans()] == ["number 0", "number 1", "number 2"]


def test_send_says_why_a_collector_does_not_take_it(folder: Path, collector: Collector) -> None:
    collector.answer_always(Fault(status=401))

    # How long it takes to ask and to be answered depends on the machine.
    for seconds in (0.5, 5, 50):
        done = command(folder, "send", "--timeout", f"{seconds}", environ=collector.environment())
        if "HTTP" in done.stderr:
            break

    assert done.returncode == 1
    assert "not delivered yet\n" in done.stdout
    assert "traces not delivered: HTTP 401\n" in done.stderr


def test_send_without_an_endpoint_says_what_to_set(folder: Path) -> None:
    done = command(folder, "send")

    assert done.returncode == 1
    assert done.stderr == (
        "otel-codomon: cannot send the journal: no endpoint is configured; set "
        "OTEL_EXPORTER_OTLP_ENDPOINT, for example to http://localhost:4318\n"
    )


def test_send_tells_of_another_process_that_does_it(folder: Path, collector: Collector) -> None:
    assert leader.try_acquire(str(folder))
    try:
        done = command(folder, "send", "--timeout", "0.3", environ=collector.environment())
    finally:
        leader.release(str(folder))

    assert done.returncode == 1
    assert done.stdout.startswith(f"Process {os.getpid()} delivers this journal\n")


def test_purge_throws_away_only_what_was_delivered_unless_told(
    folder: Path, collector: Collector
) -> None:
    asked = command(folder, "purge")
    sent = command(folder, "send", environ=collector.environment())
    done = command(folder, "purge")

    assert (asked.returncode, sent.returncode, done.returncode) == (1, 0, 0)
    assert "3 records not delivered" in asked.stderr
    assert done.stdout == ("1 segment deleted, with 0 undelivered records\n")


def test_purge_throws_away_everything_when_told(folder: Path) -> None:
    done = command(folder, "purge", "--yes", "--format", "json")

    assert json.loads(done.stdout) == {
        "journal": str(folder),
        "segments": 1,
        "undelivered": 3,
        "kept": 0,
    }


def test_purge_leaves_what_a_running_process_writes(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        with execution("one"):
            pass

        done = command(journal.folder, "purge", "--yes")

    assert "1 segment kept: in use by running processes\n" in done.stdout
