from __future__ import annotations

import threading
import time

from otel_codomon.resources.attribution import QUIET_NS
from otel_codomon.resources.other_threads import OtherThreads


def burn() -> None:
    """Use far more CPU time than can be overlooked."""
    until_ns = time.thread_time_ns() + 20_000_000
    while time.thread_time_ns() < until_ns:
        pass


def test_a_thread_that_is_just_being_started_is_not_one_that_began_later() -> None:
    starting = threading.Thread(target=burn)
    # As `Thread.start` has it until the thread runs: listed, with no number yet.
    threading._limbo[starting] = starting  # type: ignore[attr-defined] # of CPython since 2.4
    others = OtherThreads(threading.get_ident(), threading.get_native_id())

    starting.start()
    starting.join()

    assert not others.activity().are_idle


def test_a_thread_that_began_later_is_known_to_have() -> None:
    others = OtherThreads(threading.get_ident(), threading.get_native_id())

    thread = threading.Thread(target=burn)
    thread.start()
    thread.join()

    activity = others.activity()
    assert activity.are_idle
    assert activity.born_ns > QUIET_NS


def test_what_a_thread_of_the_sdk_uses_is_not_the_programs() -> None:
    go, done = threading.Event(), threading.Event()

    def collect() -> None:
        go.wait()
        burn()
        done.set()
        threading.Event().wait()

    collect.__module__ = "opentelemetry.sdk.metrics"
    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    others = OtherThreads(threading.get_ident(), threading.get_native_id())

    go.set()
    done.wait()

    activity = others.activity()
    assert activity.beside_ns < 10_000_000
    assert activity.born_ns < 10_000_000
