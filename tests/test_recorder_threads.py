"""Recorders that are open at the same time."""

from __future__ import annotations

import threading

from otel_codomon import execution
from otel_codomon.executions import providers
from otel_codomon.testing import Recorder

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
