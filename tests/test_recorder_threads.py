"""Recorders that are open at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from otel_codomon import execution
from otel_codomon.executions import providers
from otel_codomon.testing import Recorder

if TYPE_CHECKING:
    from pathlib import Path

HANG_SECONDS = 120


@execution
def job() -> int:
    return 1


def test_recorders_in_two_threads_have_their_own_executions() -> None:
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    recorders: dict[str, Recorder] = {}

    def first() -> None:
        with Recorder() as recorders["first"]:
            first_in.set()
            assert second_in.wait(HANG_SECONDS)
            job()
        first_out.set()

    def second() -> None:
        assert first_in.wait(HANG_SECONDS)
        with Recorder() as recorders["second"]:
            second_in.set()
            assert first_out.wait(HANG_SECONDS)
            job()

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_SECONDS)

    assert {name: len(one.executions()) for name, one in recorders.items()} == {
        "first": 1,
        "second": 1,
    }
    job()
    assert {len(one.executions()) for one in recorders.values()} == {1}, "nothing stays installed"
    assert providers._recorders == []


def test_a_thread_without_a_recorder_is_heard_by_the_one_that_is_open() -> None:
    with Recorder() as recorder:
        thread = threading.Thread(target=job)
        thread.start()
        thread.join(HANG_SECONDS)

    assert len(recorder.executions()) == 1


def test_recorders_within_one_another_take_what_starts_in_the_inner() -> None:
    with Recorder() as outer:
        with Recorder() as inner:
            job()
        job()
        job()

    assert (len(inner.executions()), len(outer.executions())) == (1, 2)


# What a user's test suite has; each worker runs some of it.
SUITE = """
import os
import pytest
from otel_codomon import Outcome, execution
from otel_codomon.testing import Recorder

@execution
def job(number):
    return sum(range(1_000_000)) / number

@pytest.fixture
def recorder():
    with Recorder() as recorder:
        yield recorder

@pytest.mark.parametrize("number", range(8))
def test_each_test_sees_its_own_executions_and_no_others(number, recorder):
    assert os.environ["PYTEST_XDIST_WORKER"] in {"gw0", "gw1"}
    if number:
        job(number)
    else:
        pytest.raises(ZeroDivisionError, job, number)

    [run] = recorder.executions()
    assert run.outcome is (Outcome.SUCCESS if number else Outcome.ERROR)
    assert run.labels.name == "job"
    assert run.usage.cpu_seconds is not None
    assert "codomon.execution.duration" in recorder.metrics()
"""


def test_recorders_work_in_the_workers_of_xdist(tmp_path: Path) -> None:
    pytest.importorskip("xdist", reason="needs pytest-xdist")
    (tmp_path / "test_suite.py").write_text(SUITE)
    ours = ("PYTEST_", "COV_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "8 passed" in done.stdout, done.stdout
