"""Carry bytes from descriptor to descriptor, none of which has a standard stream's number."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LAST_STREAM: Final = 2
_READ_BYTES: Final = 64 * 1024
# How often to see whether the caller wants us to end while a slow reader takes the rest.
_WAIT_SECONDS: Final = 0.05
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Pump:
    """Carries one output of the command to the caller, in a thread."""

    def __init__(
        self, source: int, target: int, note: Callable[[int, bytes, OSError | None], None]
    ) -> None:
        self._source = source
        self._target = target
        self._note = note
        self._carried = 0
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def start(self) -> None:
        """Begin: the command has its end."""
        self._thread.start()

    def _carry(self) -> None:
        with open(self._source, "rb", buffering=0):  # noqa: PTH123 - closes it, which tells the command
            while data := read_some(self._source):
                self._note(self._target, data, None)
                try:
                    self._write(data)
                except OSError as error:
                    self._note(self._target, b"", error)
                    return

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                written = os.write(self._target, rest)
            except BlockingIOError:  # the caller's descriptor does not wait: we do
                select.select([], [self._target], [])
                continue
            self._carried += written
            rest = rest[written:]

    def outlast(self, patience_seconds: float | None) -> bool:
        """Wait until all is carried; whether it was."""
        seen, until = -1, 0.0
        while self._thread.is_alive():
            if self._carried != seen:
                seen, until = self._carried, time.monotonic() + (patience_seconds or 0)
            elif patience_seconds is not None and time.monotonic() >= until:
                return False
            if signal.sigtimedwait(_ENDING, 0) is not None:
                return False
            self._thread.join(_WAIT_SECONDS)
        return True


# --- descriptors ----------------------------------------------------------------


def is_open(fd: int) -> bool:
    """Whether the caller gave us this stream: Python has none where it did not."""
    return (sys.__stdin__, sys.__stdout__, sys.__stderr__)[fd] is not None


def fill_closed() -> None:
    """Let no file that is opened from here on have the number of a standard stream."""
    while (fd := os.open("/dev/null", os.O_RDWR)) <= _LAST_STREAM:
        pass
    os.close(fd)


def above_streams(fd: int) -> int:
    """The same file by a number that no standard stream has, and no program inherits."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return moved


def open_pipe() -> tuple[int, int]:
    """A pipe: the end to read from, and the one to write to."""
    reading, writing = os.pipe()
    return above_streams(reading), above_streams(writing)


def open_closed(flags: int) -> int:
    """What answers as a closed stream does: it can only be used the other way round."""
    return above_streams(os.open("/dev/null", flags))


def read_some(fd: int) -> bytes:
    """Some bytes; none at the end, and where the other side is gone.

    Raises:
        BlockingIOError: There is nothing right now.
    """
    try:
        return os.read(fd, _READ_BYTES)
    except BlockingIOError:
        raise
    except OSError:  # a pty whose other end is closed, a directory as input
        return b""


def write_all(fd: int, data: bytes) -> int:
    """How much of *data* could be written."""
    written = 0
    with suppress(OSError):  # nobody reads any more
        while written < len(data):
            written += os.write(fd, data[written:])
    return written
