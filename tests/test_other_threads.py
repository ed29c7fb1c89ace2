from __future__ import annotations

import ctypes
import resource
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from otel_codomon.resources.other_threads import HiddenThreads, OtherThreads, unlisted_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator


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


BORN_LATER = """
import threading, time
from otel_codomon.resources.attribution import QUIET_NS
from otel_codomon.resources.other_threads import OtherThreads

def burn():
    until_ns = time.thread_time_ns() + 20_000_000
    while time.thread_time_ns() < until_ns:
        pass

others = OtherThreads(threading.get_ident(), threading.get_native_id())
thread = threading.Thread(target=burn)
thread.start()
thread.join()
activity = others.activity()
print(activity.are_idle, activity.born_ns > QUIET_NS)
"""


def test_a_thread_that_began_later_is_known_to_have() -> None:
    # In a process of its own: a worker of pytest-xdist has a thread that Python does not list.
    done = subprocess.run(
        [sys.executable, "-c", BORN_LATER], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["True", "True"]


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


@contextmanager
def thread_of_c() -> Iterator[None]:
    """A thread that Python does not list, as C libraries start them."""
    libc, thread = ctypes.CDLL(None), ctypes.c_ulong()
    pause = ctypes.cast(libc.pause, ctypes.c_void_p)
    assert libc.pthread_create(ctypes.byref(thread), None, pause, None) == 0
    yield
    assert libc.pthread_cancel(thread) == 0
    assert libc.pthread_join(thread, None) == 0


def times_asleep(hidden: HiddenThreads) -> int:
    """How often the calling thread sleeps while it asks for hidden threads, which there are."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    assert hidden.exist()
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before


def test_a_thread_of_c_is_waited_for_once() -> None:
    hidden = HiddenThreads()

    with thread_of_c():
        first = times_asleep(hidden)
        later = min(times_asleep(hidden) for _ in range(20))  # others may take the interpreter

    assert first >= 10
    assert later == 0


def test_a_thread_of_python_is_not_hidden() -> None:
    resting = threading.Event()
    thread = threading.Thread(target=resting.wait)
    thread.start()

    unlisted = unlisted_numbers()

    resting.set()
    thread.join()
    assert thread.native_id not in unlisted
    assert threading.get_native_id() not in unlisted
