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
import termios
import threading
import tty
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from otel_codomon.sandbox.relay import (
    Pump,
    above_streams,
    fill_closed,
    is_open,
    open_closed,
    open_pipe,
    read_some,
    write_all,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_INPUT, _OUTPUT, _ERRORS = 0, 1, 2
_STREAMS: Final = (_INPUT, _OUTPUT, _ERRORS)
# Of what was written to stderr: the reason, where bubblewrap itself fails.
_HEAD_BYTES: Final = 200
# How often to see whether the terminal has become ours.
_LOOK_SECONDS: Final = 0.2
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
        fill_closed()
        self._theirs: list[int] = [-1, -1, -1]
        self._terminals = [fd for fd in _STREAMS if is_open(fd) and os.isatty(fd)]
        self._has_typing = _INPUT in self._terminals
        self._master, self._slave = self._open_terminal()
        self._saved: list[object] | None = None
        self._ahead: list[bytes] = []  # typed before the terminal was taken
        self._feed: int | None = None  # our end of its input; None without one, or by the pty
        self._outputs: list[Pump] = []
        self._waker, self._wake = open_pipe()
        self._fed = threading.Thread(target=self._feed_all, daemon=True)
        self._open_input()
        self._open_outputs()

    # --- which stream goes where ----------------------------------------------

    def _open_terminal(self) -> tuple[int | None, int | None]:
        """A terminal as the caller's is, where the caller has one."""
        if not self._terminals:
            return None, None
        master, slave = map(above_streams, os.openpty())
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
        elif is_open(_INPUT):
            self._theirs[_INPUT], self._feed = open_pipe()
        else:
            self._theirs[_INPUT] = open_closed(os.O_WRONLY)

    def _open_outputs(self) -> None:
        if self._master is not None:
            shown = [fd for fd in self._terminals if fd != _INPUT] or [_INPUT]
            self._outputs.append(Pump(self._master, shown[0], self._note))
        for fd in (_OUTPUT, _ERRORS):
            self._theirs[fd] = self._output_end(fd)

    def _output_end(self, fd: int) -> int:
        if fd in self._terminals:
            return self._slave or -1
        if not is_open(fd):
            return open_closed(os.O_RDONLY)
        if fd == _ERRORS and self._is_same_output():
            return self._theirs[_OUTPUT]  # one pipe keeps the order of what is written
        ours, theirs = open_pipe()
        self._outputs.append(Pump(ours, fd, self._note))
        return theirs

    def _is_same_output(self) -> bool:
        return (
            is_open(_OUTPUT)
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
                self.problem = "the reader stopped reading: the rest of its output is lost"
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
            data = read_some(_INPUT)
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
                write_all(self._master or 0, data)
        elif self._feed is not None:
            unwritten = 0
            for data in self._read():
                unwritten = len(data) - write_all(self._feed, data)
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
                data = read_some(_INPUT)
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
                data = read_some(_INPUT)
                if not data:  # it has hung up
                    return
                yield data


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
