"""Turns with the SDK: what comes in the middle of one is done at its end."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from otel_codomon import execution
from otel_codomon.journal.metric_lock import in_turn, take_turn

if TYPE_CHECKING:
    from otel_codomon.testing import Recorder


def test_what_comes_in_the_middle_is_done_at_the_end_in_order() -> None:
    done: list[str] = []

    def first() -> None:
        in_turn(lambda: done.append("second"))
        in_turn(lambda: done.append("third"))
        done.append("first")

    in_turn(first)

    assert done == ["first", "second", "third"]


def test_a_turn_that_fails_leaves_nothing_undone() -> None:
    done: list[str] = []

    def fail() -> None:
        in_turn(lambda: done.append("after"))
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        in_turn(fail)
    in_turn(lambda: done.append("next"))

    assert done == ["after", "next"]


def test_threads_do_not_wait_for_one_another() -> None:
    done: list[str] = []
    with take_turn():
        thread = threading.Thread(target=in_turn, args=(lambda: done.append("other"),))
        thread.start()
        thread.join()
        assert done == ["other"]


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="needs signals")
def test_a_handler_that_comes_in_the_middle_of_a_collection_records_after_it(
    recorder: Recorder,
) -> None:
    def handler(*_: object) -> None:
        with execution("in the handler"):
            pass

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with take_turn():  # as the reader does while it collects, and holds the SDK's locks
            signal.raise_signal(signal.SIGUSR1)
            assert len(recorder.executions()) == 1
            assert "codomon.execution.duration" not in recorder.metrics()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert recorder.metrics()["codomon.execution.duration"]
