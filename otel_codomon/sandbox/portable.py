"""Run a command where there is no supervisor: macOS, Windows, frozen programs.

What it cannot do: adopt orphans, hold limits, or tell the totals of a tree.
Who leaves the session and outlives its parent stays. The totals are absent
then, or the samples' (see `resources.tracker`).
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import fields
from functools import cache
from operator import methodcaller
from typing import IO, TYPE_CHECKING, Final

import psutil

from otel_codomon._platform.logs import get_logger
from otel_codomon.sandbox.capture import Capture
from otel_codomon.sandbox.command import GRACE_SECONDS
from otel_codomon.sandbox.process_exit import ProcessExit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_codomon.resources.limits import Limits
    from otel_codomon.sandbox.cancellation import Cancellation
    from otel_codomon.sandbox.command import Command

_log = get_logger(__name__)

_HELD: Final = frozenset({"output_bytes"})
# Asked to end first, and then ended, with whoever they had started meanwhile.
_ENDS: Final = (methodcaller("terminate"), *[methodcaller("kill")] * 5)
_READ_BYTES: Final = 64 * 1024
# How often time and cancellation are looked at; `Popen.wait` polls the same.
_LOOK_SECONDS: Final = 0.05
_TURNS: Final = 20


def run_portable(
    command: Command,
    *,
    deadline: float | None,
    cancellation: Cancellation | None,
    on_start: Callable[[int], None],
) -> ProcessExit:
    """Run *command*; as `supervised.run_supervised`, with the differences said above."""
    _report_not_held(tuple(_not_held(command.limits)))
    try:
        process = _start(command)
    except OSError as error:
        return ProcessExit(failure=error.errno)
    tree = _Tree(process)
    captures = [Capture(command.output_bytes, reader) for reader in command.readers]
    threads: list[threading.Thread] = []
    timed_out = cancelled = False
    try:
        threads += [
            _pumping(_drain, process.stdout, captures[0]),
            _pumping(_drain, process.stderr, captures[1]),
            _pumping(_feed, process.stdin, command.stdin),
        ]
        on_start(process.pid)
        timed_out, cancelled = _wait(process, deadline, cancellation)
    finally:
        left = tree.end()
        for thread in threads:
            _outlast(thread)
    return ProcessExit(
        pid=process.pid,
        status=_wait_status(process),
        is_lost=process.is_lost,
        timed_out=timed_out,
        cancelled=cancelled,
        left=left,
        output=captures[0].output(),
        errors=captures[1].output(),
    )


def _not_held(limits: Limits) -> Iterator[str]:
    for field in fields(limits):
        if field.name not in _HELD and getattr(limits, field.name) is not None:
            yield field.name


@cache
def _report_not_held(limits: tuple[str, ...]) -> None:
    """Say, once for the same ones, that nobody holds *limits* here."""
    if limits:
        _log.warning(
            "cannot enforce %s here: this needs Linux and a Python interpreter of its own; "
            "the command runs without it; this is logged once",
            ", ".join(limits),
        )


class _Child(subprocess.Popen[bytes]):
    """A child whose exit status may be taken by another waiter, which is then noticed.

    `subprocess` makes such a child a success. The kernel takes the status where
    the host ignores SIGCHLD, and a handler of the host where it waits for any child.
    """

    is_lost = False

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        try:
            return os.waitpid(self.pid, wait_flags)
        except ChildProcessError:
            self.is_lost = True
            return self.pid, 0

    def poll(self) -> int | None:
        """As in subprocess, which does not come through `_try_wait` here."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode


def _start(command: Command) -> _Child:
    return _Child(
        command.argv,
        executable=command.path,
        stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=command.cwd,
        env=dict(command.env),
        start_new_session=os.name == "posix",
    )


def _pumping(pump: Callable[..., None], *args: object) -> threading.Thread:
    thread = threading.Thread(target=pump, args=args, daemon=True)
    thread.start()
    return thread


def _drain(stream: IO[bytes], capture: Capture) -> None:
    with stream:
        while piece := os.read(stream.fileno(), _READ_BYTES):
            capture.take(memoryview(piece))


def _outlast(thread: threading.Thread) -> None:
    """Wait until *thread* is done; not for ever, as a stranger may hold the other end.

    In turns: were this process stopped in a single one, that would be over
    with what was written still to be read.
    """
    for _ in range(_TURNS):
        thread.join(GRACE_SECONDS / _TURNS)


def _feed(stream: IO[bytes] | None, data: bytes) -> None:
    if stream is not None:
        with suppress(OSError), stream:  # it does not read: its own affair
            stream.write(data)


def _wait(
    process: subprocess.Popen[bytes], deadline: float | None, cancellation: Cancellation | None
) -> tuple[bool, bool]:
    """Wait until it ends, or for a reason to end it: (out of time, cancelled)."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)
            return False, False
        if deadline is not None and time.monotonic() >= deadline:
            return True, False
        if cancellation is not None and cancellation.is_cancelled:
            return False, True


class _Tree:
    """The process that was started, and who descends from it, as far as that can be seen."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._root: psutil.Process | None = None
        with suppress(psutil.Error):
            self._root = psutil.Process(process.pid)

    def end(self) -> int:
        """End all of it; how many processes are left."""
        others: set[psutil.Process] = set()
        for end in _ENDS:
            others |= set(self._others())
            if not others and self._process.poll() is not None:
                break
            for each in (self._process, *others):
                with suppress(psutil.Error, OSError):
                    end(each)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_SECONDS)
            others = set(psutil.wait_procs(others, GRACE_SECONDS)[1])
        return len(others) + (self._process.poll() is None)

    def _others(self) -> Iterator[psutil.Process]:
        if self._root is not None:
            with suppress(psutil.Error):  # it has ended
                yield from self._root.children(recursive=True)
        if os.name == "posix":
            yield from self._session()

    def _session(self) -> Iterator[psutil.Process]:
        """Who is in the session that it has opened, also after its end.

        Its number is nobody else's while there is one. So a process of that
        number which is not the one we started means that there is none.
        """
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if os.getsid(process.pid) != self._process.pid:
                    continue
                if process.pid != self._process.pid:
                    yield process
                elif process != self._root:
                    return


def _wait_status(process: _Child) -> int | None:
    """The wait status of *process*; None while it lives, and where nobody knows."""
    code: int | None = process.returncode
    if code is None or process.is_lost:
        return None
    return -code if code < 0 else code << 8
