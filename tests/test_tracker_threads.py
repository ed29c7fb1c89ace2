"""A watch that is used from several places at once: threads, a signal's handler, a forked child."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.descriptors import open_files
from support.forked import die_of_a_hang
from support.held import HOLD_MEMORY, started

from otel_codomon import Kind, execution
from otel_codomon.resources.labels import Labels
from otel_codomon.resources.sampler import Sampler, sampler
from otel_codomon.resources.tracker import ResourceTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_codomon.resources.sample import Reading
    from otel_codomon.testing import Recorder

HANG_SECONDS = 120


class Telling:
    """A lock that says who asks for it, before they may have to wait."""

    def __init__(self, lock: Any, told: Callable[[], None]) -> None:  # noqa: ANN401 - has no type of its own at run time
        self._lock = lock
        self._told = told

    def __enter__(self) -> None:
        self._told()
        self._lock.acquire()

    def __exit__(self, *_exception: object) -> None:
        self._lock.release()


class Interrupted(ResourceTracker):
    """A watch into whose look somebody comes, once.

    Attributes:
        come: Somebody, in another thread.
        most_inside: How many were ever half-way through a look.
    """

    __slots__ = ("_has_come", "_inside", "come", "most_inside")

    def let_come(self, other: Callable[[ResourceTracker], object]) -> None:
        self.come = threading.Thread(target=other, args=(self,))
        self.most_inside = self._inside = 0
        self._has_come = threading.Event()
        self._lock = Telling(self._lock, self._note)  # type: ignore[assignment] # the same, and tells

    def _note(self) -> None:
        if threading.current_thread() is self.come:
            self._has_come.set()

    def _read(self) -> Reading | None:
        self._note()  # where there is no lock that tells
        self._inside += 1
        self.most_inside = max(self._inside, self.most_inside)
        if self.come.ident is None:
            self.come.start()
            assert self._has_come.wait(HANG_SECONDS)
        reading = super()._read()
        self._inside -= 1
        return reading


@contextmanager
def running(kind: type[ResourceTracker] = ResourceTracker) -> Iterator[tuple[ResourceTracker, int]]:
    """A watch, and the pid of a process that lives as long."""
    with started(HOLD_MEMORY, 1) as child:
        tracker = kind(Labels("running", Kind.COMMAND), time.monotonic_ns())
        yield tracker, child.pid
        tracker.finish()


@pytest.mark.parametrize("call", ["sample", "finish", "attach"])
def test_who_comes_in_the_middle_of_a_look_waits_for_its_end(call: str) -> None:
    def other(tracker: ResourceTracker) -> None:
        arguments = (pid,) if call == "attach" else ()
        getattr(tracker, call)(*arguments)

    with running(Interrupted) as (tracker, pid):
        assert isinstance(tracker, Interrupted)
        tracker._make_attached().attach(pid)
        tracker.let_come(other)
        tracker.sample()
        tracker.come.join(HANG_SECONDS)

    assert tracker.most_inside == 1


def test_after_the_end_nothing_is_opened_and_nothing_is_sampled() -> None:
    # Of a function, whose children are found by looking.
    tracker = ResourceTracker(Labels("over", Kind.FUNCTION), time.monotonic_ns())
    with started(HOLD_MEMORY, 1) as child:
        tracker.sample()
        tracker.finish()
        latest = tracker.latest

        tracker.sample()
        is_attached = tracker.attach(child)

        assert (is_attached, tracker.latest) == (False, latest)
        assert open_files(f"/proc/{child.pid}") == {}


def test_a_sampler_passes_over_what_ends_while_it_looks() -> None:
    own = Sampler()
    first, second = (
        ResourceTracker(Labels(name, Kind.FUNCTION), time.monotonic_ns())
        for name in ("first", "second")
    )

    class Ender:
        """Ends the one whose turn comes next."""

        due = started = 0.0
        at_its_end: object = None

        def sample(self) -> None:
            second.finish()  # takes a sample where this process has children
            self.at_its_end = second.latest

    ender = Ender()

    own._trackers = {1: first, 2: ender, 3: second}  # type: ignore[dict-item] # stands in for a watch

    own.sample(at_all=True)

    assert first.latest is not None
    assert second.latest is ender.at_its_end
    first.finish()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_a_child_forked_while_another_thread_looks_waits_for_nobody(recorder: Recorder) -> None:
    with execution("parent", kind=Kind.COMMAND) as current, started(HOLD_MEMORY, 1) as child:
        current.attach(child)
        is_looking, may_end = threading.Event(), threading.Event()

        def hold() -> None:
            with current.tracker._lock:
                is_looking.set()
                may_end.wait(HANG_SECONDS)

        holder = threading.Thread(target=hold)
        holder.start()
        assert is_looking.wait(HANG_SECONDS)
        pid = os.fork()
        if not pid:
            die_of_a_hang(HANG_SECONDS)  # if it waits for a thread it does not have
            current.attach(child.pid)
            current.tracker.sample()
            os._exit(len(sampler._trackers))
        status = os.waitpid(pid, 0)[1]
        may_end.set()
        holder.join(HANG_SECONDS)

    assert status == 0
    assert recorder.executions()[-1].usage.peak_memory_bytes is not None


def test_a_handler_that_waits_for_the_child_in_the_middle_of_a_look_gets_through() -> None:
    # In a process of its own: what it guards against is that it never ends.
    program = (
        "import signal, subprocess\n"
        "from otel_codomon import execution\n"
        "from otel_codomon.resources.process_tree import ProcessTree\n"
        "from otel_codomon.testing import Recorder\n"
        "look = ProcessTree.read\n"
        "def interrupted(self):\n"
        "    signal.raise_signal(signal.SIGUSR1)\n"
        "    return look(self)\n"
        "with Recorder() as recorder, execution('child', kind='command') as current:\n"
        "    child = subprocess.Popen(['true'])\n"
        "    current.attach(child)\n"
        "    signal.signal(signal.SIGUSR1, lambda *_: child.wait())\n"
        "    ProcessTree.read = interrupted\n"
        "    current.tracker.sample()\n"
        "print(recorder.executions()[0].usage.cpu_user_seconds is not None)\n"
    )

    shown = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )

    assert shown.stdout == "True\n"
