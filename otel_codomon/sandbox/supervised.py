"""Run a command below a supervisor: feed it, drain it, end it in time."""

from __future__ import annotations

import fcntl
import mmap
import os
import selectors
import signal
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.logs import get_logger
from otel_codomon._platform.proc_stat import read_stat
from otel_codomon.sandbox.capture import Capture
from otel_codomon.sandbox.command import GRACE_SECONDS, encode_command
from otel_codomon.sandbox.counting import uncounted
from otel_codomon.sandbox.process_exit import ProcessExit, Rescue, since
from otel_codomon.sandbox.reports import Reports
from otel_codomon.sandbox.supervisor_process import start_supervisor
from otel_codomon.sandbox.survivors import end_marked, new_mark
from otel_codomon.sandbox.toolchains import UnavailableError, refused_by_the_kernel
from otel_codomon.sandbox.tree import GIVE_UP_SECONDS, kill_below
from otel_codomon.sandbox.warm_supervisor import warm_supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.sandbox.cancellation import Cancellation
    from otel_codomon.sandbox.command import Command
    from otel_codomon.sandbox.supervisor_process import Channel, SupervisorProcess

_log = get_logger(__name__)

# One read takes what a pipe of this size can hold. The kernel's own size is
# 64 KiB, with which draining costs the command three times as many switches.
_PIPE_BYTES: Final = 1024 * 1024
# A supervisor that was asked to end the command, and had the time of grace for
# it, gets so much more before its work is taken from it.
_SLACK_SECONDS: Final = 1.0
# How often to see whether the supervisor itself was stopped. It is continued
# once; if it stands still again, its work is taken from it.
_CHECK_SECONDS: Final = 1.0
# For each of two ways to end what is left.
_CLEAN_UP_SECONDS: Final = 3.0
_STOPS_BORNE: Final = 1
_STOPPED: Final = (b"T", b"t")


def run_supervised(
    command: Command,
    *,
    deadline: float | None,
    cancellation: Cancellation | None,
    on_start: Callable[[int], None],
) -> ProcessExit:
    """Run *command* to its end, and until nothing of its tree is left.

    Args:
        command: What to run.
        deadline: `time.monotonic` at which it is ended; None for never.
        cancellation: It is ended when this says so.
        on_start: Called with the process id when the program runs.

    Raises:
        UnavailableError: Its disk cannot be limited, or the kernel has no descriptors or
            processes left for it.

    Whatever is raised in here, `KeyboardInterrupt` included, ends the tree first.
    """
    with ExitStack() as opened:
        with refused_by_the_kernel(
            "start a command", "run fewer at once, or raise ulimit -n and -u"
        ):
            conversation = _Conversation(command, on_start, opened)
        conversation.hold(deadline, cancellation)
        conversation.check(command)
        process_exit = conversation.process_exit()
    for doubt in process_exit.doubts:
        _log.warning("%s: %s", os.path.basename(command.path), doubt)  # noqa: PTH119 - may be anything
    return process_exit


class _Conversation:
    """One supervisor and its four streams."""

    def __init__(
        self, command: Command, on_start: Callable[[int], None], opened: ExitStack
    ) -> None:
        self._on_start = on_start
        self._reports = Reports()
        self._timed_out = self._cancelled = False
        self._last_instant = float("inf")
        self._next_check = time.monotonic() + _CHECK_SECONDS
        self._stops = 0
        self._rescue: Rescue | None = None
        self._mark = new_mark()
        self._unwritten = memoryview(command.stdin)
        self._buffer = memoryview(mmap.mmap(-1, _PIPE_BYTES))  # of which only what is used is made
        self._output, self._errors = (
            Capture(command.output_bytes, reader) for reader in command.readers
        )
        self._channel, self._process = _start_supervisor(has_input=bool(command.stdin))
        self._control = self._channel.control
        opened.enter_context(self._process.accounted(self._work_ns))
        opened.callback(self._end)
        self._selector = opened.enter_context(selectors.DefaultSelector())
        with suppress(ConnectionError):  # it was killed: what comes next says so
            self._control.sendall(encode_command(command, host_pid=os.getpid(), mark=self._mark))
        self._listen()

    def _listen(self) -> None:
        register = self._selector.register
        register(self._control, selectors.EVENT_READ, self._hear)
        channel = self._channel
        for stream, capture in ((channel.output, self._output), (channel.errors, self._errors)):
            _widen(stream.fileno())
            os.set_blocking(stream.fileno(), False)
            register(stream, selectors.EVENT_READ, self._reader(stream.fileno(), capture))
        if channel.input is not None:
            os.set_blocking(channel.input.fileno(), False)
            register(channel.input, selectors.EVENT_WRITE, self._write)

    def hold(self, deadline: float | None, cancellation: Cancellation | None) -> None:
        """Serve all streams until the supervisor reports that nothing is left.

        The supervisor is within the command's reach, so this has a clock of its own.
        """
        if cancellation is not None:
            self._selector.register(cancellation.fd, selectors.EVENT_READ, self._cancel)
        while not self._reports.is_over:
            self._serve(min(deadline or self._last_instant, self._last_instant, self._next_check))
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                self._time_out()
                deadline = None
            if self._is_to_take_over(now):
                self._take_over()
                break
        if self._reports.is_unfinished:
            self._rescue = self._end_without_supervisor()
        self._drain()

    def check(self, command: Command) -> None:
        """Whether the command could be started at all as it was wanted.

        Raises:
            UnavailableError: Its disk cannot be limited.
        """
        if self._reports.is_uncounted:
            raise UnavailableError(uncounted(command.places))

    def _serve(self, until: float) -> None:
        """Serve the streams that are ready, or become so before an instant."""
        for key, _ in self._selector.select(max(0.0, until - time.monotonic())):
            if not key.data():
                self._selector.unregister(key.fileobj)

    def _work_ns(self) -> int:
        """CPU time of the command, which the supervisor has waited for, nanoseconds."""
        reports = self._reports
        used = since(reports.before, reports.totals)[:2] if reports.totals else ()
        return round(sum(used) * 1e9)

    def process_exit(self) -> ProcessExit:
        """What became of the command."""
        reports = self._reports
        return ProcessExit(
            pid=reports.pid,
            failure=reports.failure,
            status=reports.status,
            rusage=since(reports.before, reports.totals) if reports.totals else (),
            has_unwaited=reports.has_unwaited,
            timed_out=self._timed_out,
            cancelled=self._cancelled,
            limit=reports.limit,
            unmeasured=reports.unmeasured,
            left=reports.left,
            was_inside=reports.is_inside,
            rescue=self._rescue,
            output=self._output.output(),
            errors=self._errors.output(),
        )

    # --- where the supervisor cannot do its work ------------------------------

    def _is_to_take_over(self, now: float) -> bool:
        """Whether the supervisor has had its time, or is being kept from its work."""
        if self._reports.is_over:
            return False
        if now < self._next_check:
            return now >= self._last_instant
        self._next_check = now + _CHECK_SECONDS
        if self._is_stopped():
            self._stops += 1
            self._process.send(signal.SIGCONT)
        return self._stops > _STOPS_BORNE or now >= self._last_instant

    def _is_stopped(self) -> bool:
        stat = read_stat(self._process.pid)
        return stat is not None and stat.state in _STOPPED

    def _take_over(self) -> None:
        """End everything below the supervisor, which then has something to report.

        It adopts orphans, stopped or not: as long as it is there, nothing gets
        away from below it.
        """
        self._process.send(signal.SIGSTOP)
        kill_below(self._process.pid, _CLEAN_UP_SECONDS)
        self._rescue = Rescue(was_stopped=True, is_complete=True)
        self._process.send(signal.SIGCONT)
        until = time.monotonic() + _SLACK_SECONDS
        while not self._reports.is_over and time.monotonic() < until:
            self._serve(until)

    def _end_without_supervisor(self) -> Rescue:
        """End what a supervisor has left that was killed, or is killed now."""
        self._process.send(signal.SIGKILL)
        self._process.wait(_SLACK_SECONDS)
        was_stopped = self._rescue is not None
        if self._mark is None:
            if self._reports.pid is not None:
                with suppress(OSError):
                    os.killpg(self._reports.pid, signal.SIGKILL)
            return Rescue(was_stopped=was_stopped)
        found, left = end_marked(self._mark, _CLEAN_UP_SECONDS)
        return Rescue(was_stopped=was_stopped, found=found, left=left)

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
        stream = self._channel.input
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
        self._timed_out = not (self._reports.is_over or self._cancelled)
        self._stop()

    def _cancel(self) -> bool:
        self._cancelled = True
        self._stop()
        return False

    def _hear(self) -> bool:
        was_started = self._reports.pid is not None
        try:
            self._reports.take(self._control.recv(4096))
        except ConnectionError:
            self._reports.take(b"")
        if self._reports.pid is not None and not was_started:
            self._on_start(self._reports.pid)
        return True

    # --- the end --------------------------------------------------------------

    def _stop(self) -> None:
        limit = time.monotonic() + GRACE_SECONDS + _SLACK_SECONDS
        self._last_instant = min(self._last_instant, limit)
        with suppress(OSError):  # it has ended by itself in this instant
            self._control.send(b"stop")

    def _drain(self) -> None:
        """Read what the dead have left in the pipes."""
        for key in list(self._selector.get_map().values()):
            if key.fileobj in (self._channel.output, self._channel.errors):
                # Two reads take what a pipe can hold. Nobody of the tree is
                # left to write more; somebody else may hold the other end.
                key.data()
                key.data()

    def _end(self) -> None:
        """Let go of everything: for the supervisor the host's death, which ends the tree."""
        self._channel.close()
        if self._reports.is_unfinished and self._rescue is not None:
            return  # it was killed, and has had its time to go
        until = time.monotonic() + _SLACK_SECONDS
        if not self._reports.is_over:  # interrupted: it has a tree to end
            until += GIVE_UP_SECONDS
        while not self._process.wait(_SLACK_SECONDS / 10):
            if time.monotonic() >= until or self._is_stopped():
                kill_below(self._process.pid, _CLEAN_UP_SECONDS)
                self._end_without_supervisor()
                return


def _start_supervisor(*, has_input: bool) -> tuple[Channel, SupervisorProcess]:
    """A supervisor that waits for its task: a forked one, or else a child of ours."""
    forked = warm_supervisor.fork(has_input=has_input)
    return forked or start_supervisor(has_input=has_input)


def _widen(fd: int) -> None:
    with suppress(OSError):  # the user's pipes are used up: the usual size will do
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
