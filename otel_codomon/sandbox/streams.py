"""The standard streams of an isolated command in our place: pipes and a pty of our own.

A descriptor is more than a stream: through ``/proc/self/fd`` a command may open
its file anew, to write to what it was given to read, and a terminal obeys
whoever holds it. So the command gets none of the caller's, and threads of ours
carry the bytes. Where the caller has a terminal, the command has one too.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import stat
import struct
import sys
import termios
import threading
import time
import tty
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_INPUT, _OUTPUT, _ERRORS = 0, 1, 2
_STREAMS: Final = (_INPUT, _OUTPUT, _ERRORS)
_READ_BYTES: Final = 64 * 1024
# Of what was written to stderr: the reason, where bubblewrap itself fails.
_HEAD_BYTES: Final = 200
# How often it is looked whether the terminal has become ours, or whether the caller
# wants us to end while a slow reader takes the rest.
_LOOK_SECONDS: Final = 0.2
_WAIT_SECONDS: Final = 0.05
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_OPOST_AT, _ECHO_AT, _KEYS_AT = 1, 3, 6  # where they stand in what `termios.tcgetattr` returns


class Streams:
    """Our ends of a command's standard streams.

    The order: `become` in the child; then `begin` in this process, `resize` when
    the terminal's size changes, and `end`.

    Attributes:
        head: The first bytes written to standard error.
        problem: Why output was lost; None when none was.
    """

    def __init__(self) -> None:
        self.head = b""
        self.problem: str | None = None
        _fill_closed()
        self._theirs: list[int] = [-1, -1, -1]
        self._terminals = [fd for fd in _STREAMS if _is_open(fd) and os.isatty(fd)]
        self._has_typing = _INPUT in self._terminals
        self._master, self._slave = self._open_terminal()
        self._saved: list[object] | None = None
        self._ahead: list[bytes] = []  # typed before the terminal was taken
        self._feed: int | None = None  # our end of its input; None without one, or by the pty
        self._outputs: list[_Pump] = []
        self._waker, self._wake = _pipe()
        self._fed = threading.Thread(target=self._feed_all, daemon=True)
        self._open_input()
        self._open_outputs()

    # --- which stream goes where ----------------------------------------------

    def _open_terminal(self) -> tuple[int | None, int | None]:
        """A terminal as the caller's is, where the caller has one."""
        if not self._terminals:
            return None, None
        master, slave = map(_above_streams, os.openpty())
        settings = termios.tcgetattr(self._terminals[0])
        if not self._has_typing:  # the caller's terminal stays as it is, and does this itself
            settings[_OPOST_AT] &= ~termios.OPOST
            settings[_ECHO_AT] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        _copy_size(self._terminals[0], slave)
        return master, slave

    def _open_input(self) -> None:
        if self._has_typing:
            self._theirs[_INPUT] = self._slave or -1
        elif _is_open(_INPUT):
            self._theirs[_INPUT], self._feed = _pipe()
        else:
            self._theirs[_INPUT] = _closed(os.O_WRONLY)

    def _open_outputs(self) -> None:
        if self._master is not None:
            shown = [fd for fd in self._terminals if fd != _INPUT] or [_INPUT]
            self._outputs.append(_Pump(self._master, shown[0], self._note))
        for fd in (_OUTPUT, _ERRORS):
            self._theirs[fd] = self._output_end(fd)

    def _output_end(self, fd: int) -> int:
        if fd in self._terminals:
            return self._slave or -1
        if not _is_open(fd):
            return _closed(os.O_RDONLY)
        if fd == _ERRORS and self._is_same_output():
            return self._theirs[_OUTPUT]  # one pipe keeps the order of what is written
        ours, theirs = _pipe()
        self._outputs.append(_Pump(ours, fd, self._note))
        return theirs

    def _is_same_output(self) -> bool:
        return (
            _is_open(_OUTPUT)
            and _OUTPUT not in self._terminals
            and os.path.sameopenfile(_OUTPUT, _ERRORS)
        )

    # --- in the child -----------------------------------------------------------

    def become(self) -> None:
        """In the child: have these as standard streams, in a session of its own."""
        os.setsid()
        if self._slave is not None:
            fcntl.ioctl(self._slave, termios.TIOCSCTTY, 0)
        for fd, theirs in enumerate(self._theirs):
            os.dup2(theirs, fd)

    # --- in this process --------------------------------------------------------

    def begin(self) -> None:
        """Start to carry bytes: the child has its ends."""
        for theirs in {*self._theirs, *([] if self._slave is None else [self._slave])}:
            os.close(theirs)
        if self._has_typing and _is_foreground():
            self._take_terminal()
        for output in self._outputs:
            output.start()
        self._fed.start()

    def resize(self) -> None:
        """Give the command's terminal the size that the caller's has now."""
        if self._master is not None:
            _copy_size(self._terminals[0], self._master)

    def end(self, *, patience_seconds: float | None) -> None:
        """Carry what the command has left behind; it has ended.

        Args:
            patience_seconds: How long a reader may take nothing; None for as long
                as it likes, as it would have the command itself wait.
        """
        os.write(self._wake, b"x")
        for output in self._outputs:
            if not output.outlast(patience_seconds):
                self.problem = "the rest of its output was not taken, and is lost"
        self._fed.join(_LOOK_SECONDS)
        self.release()

    def release(self) -> None:
        """Give the caller's terminal its settings back."""
        if self._saved is not None:
            with suppress(termios.error):  # it has hung up
                termios.tcsetattr(_INPUT, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type] # what tcgetattr gave
            self._saved = None

    def _take_terminal(self) -> None:
        """Let the command's terminal do what the caller's would: edit, echo, interrupt.

        Whole lines that were typed before are taken as such: in another mode, the
        end of input among them would be a character like others.
        """
        while select.select([_INPUT], [], [], 0)[0]:
            data = _read_some(_INPUT)
            self._ahead.append(data or termios.tcgetattr(_INPUT)[_KEYS_AT][termios.VEOF])
            if not data:
                break
        with suppress(termios.error):
            self._saved = list(termios.tcgetattr(_INPUT))
            tty.setraw(_INPUT, termios.TCSADRAIN)

    def _note(self, fd: int, data: bytes, problem: OSError | None) -> None:
        if problem is not None and not isinstance(problem, BrokenPipeError):
            reason = (problem.strerror or str(problem)).lower()
            self.problem = f"cannot write its output to descriptor {fd}: {reason}"
        if fd == _ERRORS or fd in self._terminals or self._theirs[_OUTPUT] == self._theirs[_ERRORS]:
            self.head = (self.head + data)[:_HEAD_BYTES]

    # --- input ------------------------------------------------------------------

    def _feed_all(self) -> None:
        """Carry input until there is no more of it, or the command takes no more."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN, signal.SIGTTOU})
        if self._has_typing:
            for data in self._typed():
                _write_all(self._master or 0, data)
        elif self._feed is not None:
            unwritten = 0
            for data in self._read():
                unwritten = len(data) - _write_all(self._feed, data)
            self._end_input(self._feed, unwritten)

    def _end_input(self, feed: int, unwritten: int) -> None:
        """Let the command see the end; a file of the caller's goes on where it stopped reading."""
        if not stat.S_ISREG(os.fstat(_INPUT).st_mode):
            os.close(feed)
            return
        kept = os.open(f"/proc/self/fd/{feed}", os.O_RDONLY | os.O_NONBLOCK)
        os.close(feed)
        select.select([self._waker], [], [])  # the command has ended
        with suppress(OSError):
            os.lseek(_INPUT, -(unwritten + _waiting_bytes(kept)), os.SEEK_CUR)
        os.close(kept)

    def _read(self) -> Iterator[bytes]:
        """What the caller's input holds, while the command may want it."""
        poll = select.poll()
        poll.register(_INPUT, select.POLLIN)
        poll.register(self._waker, select.POLLIN)
        poll.register(self._feed or 0, 0)  # tells when nobody reads any more
        while True:
            ready = dict(poll.poll())
            if set(ready) - {_INPUT}:
                return
            with suppress(BlockingIOError):
                data = _read_some(_INPUT)
                if not data:
                    return
                yield data

    def _typed(self) -> Iterator[bytes]:
        """What is typed, while the terminal is ours."""
        while True:
            while self._ahead:
                yield self._ahead.pop(0)
            ready, _, _ = select.select([_INPUT, self._waker], [], [], _LOOK_SECONDS)
            if self._waker in ready:
                return
            if not _is_foreground():
                select.select([self._waker], [], [], _LOOK_SECONDS)
                continue
            if self._saved is None:
                self._take_terminal()
            elif _INPUT in ready:
                data = _read_some(_INPUT)
                if not data:  # it has hung up
                    return
                yield data


class _Pump:
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
        self._thread.start()

    def _carry(self) -> None:
        with open(self._source, "rb", buffering=0):  # noqa: PTH123 - closes it, which tells the command
            while data := _read_some(self._source):
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


def _is_open(fd: int) -> bool:
    """Whether the caller gave us this stream: Python has none where it did not."""
    return (sys.__stdin__, sys.__stdout__, sys.__stderr__)[fd] is not None


def _fill_closed() -> None:
    """Let no file that is opened from here on have the number of a standard stream."""
    while (fd := os.open("/dev/null", os.O_RDWR)) <= _ERRORS:
        pass
    os.close(fd)


def _above_streams(fd: int) -> int:
    """The same file by a number that no standard stream has, and no program inherits."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return moved


def _pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    return _above_streams(reading), _above_streams(writing)


def _closed(flags: int) -> int:
    """What answers as a closed stream does: it can only be used the other way round."""
    return _above_streams(os.open("/dev/null", flags))


def _read_some(fd: int) -> bytes:
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


def _write_all(fd: int, data: bytes) -> int:
    """How much of *data* could be written."""
    written = 0
    with suppress(OSError):  # nobody reads any more
        while written < len(data):
            written += os.write(fd, data[written:])
    return written


def _waiting_bytes(pipe: int) -> int:
    answer = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
    return int(struct.unpack("i", answer)[0])


def _copy_size(source: int, target: int) -> None:
    with suppress(OSError):  # it has hung up
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(target, termios.TIOCSWINSZ, size)


def _is_foreground() -> bool:
    try:
        return os.tcgetpgrp(_INPUT) == os.getpgrp()
    except OSError:  # it has hung up, or is not our session's
        return False
