"""Run a command below a supervisor: feed it, drain it, end it in time."""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_codomon.sandbox.capture import Capture
from otel_codomon.sandbox.command import encode_command
from otel_codomon.sandbox.ending import Ending, LimitSeen, since
from otel_codomon.sandbox.interpreter import interpreter

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.sandbox.cancellation import Cancellation
    from otel_codomon.sandbox.command import Command

_SUPERVISOR: Final = str(Path(__file__).with_name("supervisor.py"))
# One read takes what a pipe of this size can hold. The kernel's own size is
# 64 KiB, with which draining costs the command three times as many switches.
_PIPE_BYTES: Final = 1024 * 1024
# A report is one line of at most forty figures.
_MAX_REPORTS: Final = 64 * 1024
_FIGURES: Final = 16  # in a struct_rusage


@dataclass(slots=True)
class _Heard:
    """What the supervisor has said so far."""

    pid: int | None = None
    before: tuple[float, ...] = ()
    failure: int | None = None
    limit: LimitSeen | None = None
    status: int | None = None
    left: int = 0
    totals: tuple[float, ...] = ()
    is_over: bool = False
    unread: bytearray = field(default_factory=bytearray)


def run_supervised(
    command: Command,
    *,
    deadline: float | None,
    cancellation: Cancellation | None,
    on_start: Callable[[int], None],
) -> Ending:
    """Run *command* to its end, and until nothing of its tree is left.

    Args:
        command: What to run.
        deadline: `time.monotonic` at which it is ended; None for never.
        cancellation: It is ended when this says so.
        on_start: Called with the process id when the program runs.

    Whatever is raised in here, `KeyboardInterrupt` included, ends the tree first.
    """
    with ExitStack() as opened:
        conversation = _Conversation(command, on_start, opened)
        conversation.hold(deadline, cancellation)
        return conversation.ending()


class _Conversation:
    """One supervisor and its four streams."""

    def __init__(
        self, command: Command, on_start: Callable[[int], None], opened: ExitStack
    ) -> None:
        self._on_start = on_start
        self._heard = _Heard()
        self._timed_out = self._cancelled = False
        self._unwritten = memoryview(command.stdin)
        self._buffer = memoryview(bytearray(_PIPE_BYTES))
        self._output, self._errors = Capture(command.output_bytes), Capture(command.output_bytes)
        self._process, self._control = _start_supervisor(has_input=bool(command.stdin))
        opened.callback(self._end)
        self._selector = opened.enter_context(selectors.DefaultSelector())
        self._control.sendall(encode_command(command, host_pid=os.getpid()))
        self._listen()

    def _listen(self) -> None:
        register = self._selector.register
        register(self._control, selectors.EVENT_READ, self._hear)
        process = self._process
        for stream, capture in ((process.stdout, self._output), (process.stderr, self._errors)):
            assert stream is not None  # noqa: S101 - both were asked for
            _widen(stream.fileno())
            os.set_blocking(stream.fileno(), False)
            register(stream, selectors.EVENT_READ, self._reader(stream.fileno(), capture))
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            register(process.stdin, selectors.EVENT_WRITE, self._write)

    def hold(self, deadline: float | None, cancellation: Cancellation | None) -> None:
        """Serve all streams until the supervisor says that nothing is left."""
        if cancellation is not None:
            self._selector.register(cancellation.fd, selectors.EVENT_READ, self._cancel)
        while not self._heard.is_over:
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            for key, _ in self._selector.select(remaining):
                if not key.data():
                    self._selector.unregister(key.fileobj)
            if remaining is not None and time.monotonic() >= (deadline or 0):
                self._time_out()
                deadline = None
        self._drain()

    def ending(self) -> Ending:
        """What became of the command."""
        heard = self._heard
        return Ending(
            pid=heard.pid,
            failure=heard.failure,
            status=heard.status,
            rusage=since(heard.before, heard.totals) if heard.totals else (),
            timed_out=self._timed_out,
            cancelled=self._cancelled,
            limit=heard.limit,
            left=heard.left,
            output=self._output.output(),
            errors=self._errors.output(),
        )

    # --- one stream each; True: go on listening to it -------------------------

    def _reader(self, fd: int, capture: Capture) -> Callable[[], bool]:
        def read() -> bool:
            try:
                count = os.readv(fd, [self._buffer])
            except BlockingIOError:
                return True
            capture.take(self._buffer[:count])
            return count > 0

        return read

    def _write(self) -> bool:
        stream = self._process.stdin
        assert stream is not None  # noqa: S101 - it was registered
        try:
            written = os.write(stream.fileno(), self._unwritten[:_PIPE_BYTES])
        except BlockingIOError:
            return True
        except BrokenPipeError:  # it does not read: its own affair
            written = len(self._unwritten)
        self._unwritten = self._unwritten[written:]
        if self._unwritten:
            return True
        self._selector.unregister(stream)
        stream.close()
        return True

    def _time_out(self) -> None:
        self._timed_out = not (self._heard.is_over or self._cancelled)
        self._stop()

    def _cancel(self) -> bool:
        self._cancelled = True
        self._stop()
        return False

    def _hear(self) -> bool:
        try:
            said = self._control.recv(4096)
        except ConnectionError:
            said = b""
        self._heard.unread += said
        if not said or len(self._heard.unread) > _MAX_REPORTS:
            self._heard.is_over = True  # the supervisor has ended, or is not itself
        while b"\n" in self._heard.unread:
            line, _, self._heard.unread = self._heard.unread.partition(b"\n")
            word, *figures = line.decode("ascii").split()
            _REPORTS[word](self, figures)
        return True

    # --- one report each ------------------------------------------------------

    def _started(self, figures: list[str]) -> None:
        self._heard.pid = int(figures[0])
        self._heard.before = tuple(map(float, figures[1:]))
        self._on_start(self._heard.pid)

    def _failed(self, figures: list[str]) -> None:
        self._heard.failure = int(figures[0])
        self._heard.is_over = True

    def _limit(self, figures: list[str]) -> None:
        self._heard.limit = LimitSeen(figures[0], float(figures[1]))

    def _ended(self, figures: list[str]) -> None:
        status = int(figures[0])
        self._heard.status = None if status < 0 else status
        self._heard.left = int(figures[1])
        self._heard.totals = tuple(map(float, figures[2 + _FIGURES :]))
        self._heard.is_over = True

    # --- the end --------------------------------------------------------------

    def _stop(self) -> None:
        with suppress(OSError):  # it has ended by itself in this instant
            self._control.send(b"stop")

    def _drain(self) -> None:
        """Read what the dead have left in the pipes."""
        for key in list(self._selector.get_map().values()):
            if key.fileobj in (self._process.stdout, self._process.stderr):
                # Two reads take what a pipe can hold. Nobody of the tree is
                # left to write more; somebody else may hold the other end.
                key.data()
                key.data()

    def _end(self) -> None:
        """Let go of everything: for the supervisor the host's death, which ends the tree."""
        self._control.close()
        if self._heard.pid is not None and not self._heard.totals:
            # No report of the end: the supervisor itself was killed. The command
            # dies with it by its own order; this is for who shares its group.
            with suppress(OSError):
                os.killpg(self._heard.pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._process.wait()


_REPORTS: Final = {
    "started": _Conversation._started,  # noqa: SLF001 - the class's own table
    "failed": _Conversation._failed,  # noqa: SLF001
    "limit": _Conversation._limit,  # noqa: SLF001
    "ended": _Conversation._ended,  # noqa: SLF001
}


def _start_supervisor(*, has_input: bool) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own file
                [interpreter() or sys.executable, "-I", "-S", _SUPERVISOR, str(theirs.fileno())],
                stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd="/",
                env=_own_environment(),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
    except BaseException:
        ours.close()
        raise
    return process, ours


def _own_environment() -> dict[str, str]:
    """What an interpreter needs to start; the command never sees it."""
    wanted = ("LD_LIBRARY_PATH", "PYTHONHOME")
    return {name: os.environ[name] for name in wanted if name in os.environ}


def _widen(fd: int) -> None:
    with suppress(OSError):  # the user's pipes are used up: the usual size will do
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
