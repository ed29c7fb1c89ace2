"""A supervisor process, seen from its caller: what is said through, and what it is ended by."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Protocol

from otel_codomon._platform.interpreter import interpreter
from otel_codomon.resources.reaping import fostered, note_helper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_ROOT: Final = str(Path(__file__).parents[2])
# At the end of the path, so that nothing there stands in for a module of Python's.
_PROGRAM: Final = (
    "import sys; sys.path.append(sys.argv[1]); from otel_codomon.sandbox.{} import main; main()"
)
_STDERR: Final = 2


class Channel:
    """The streams between us and a supervisor: our ends, and its ends until it has them.

    Attributes:
        control: Our end of the conversation.
        output: What the command writes to standard output.
        errors: What it writes to standard error.
        input: What it reads; None for nothing.
        theirs: The other ends, the conversation's first, then standard error, output
            and input.
    """

    def __init__(self, *, has_input: bool) -> None:
        with ExitStack() as ours, ExitStack() as theirs:
            near, far = map(_above_standard_streams, socket.socketpair())
            self.control = ours.enter_context(near)
            self.theirs: list[socket.socket | IO[bytes]] = [theirs.enter_context(far)]
            self.errors, self.output = (self._reader(ours, theirs) for _ in range(2))
            self.input = self._writer(ours, theirs) if has_input else None
            self._ours, self._theirs = ours.pop_all(), theirs.pop_all()

    def _reader(self, ours: ExitStack, theirs: ExitStack) -> IO[bytes]:
        reader, writer = pipe()
        self.theirs.append(theirs.enter_context(writer))
        return ours.enter_context(reader)

    def _writer(self, ours: ExitStack, theirs: ExitStack) -> IO[bytes]:
        reader, writer = pipe()
        self.theirs.append(theirs.enter_context(reader))
        return ours.enter_context(writer)

    def hand_over(self) -> None:
        """Close the other ends: the supervisor has its own of each."""
        self._theirs.close()

    def close(self) -> None:
        """Let go of everything: for the supervisor our death."""
        self._theirs.close()
        with suppress(OSError):
            self._ours.close()


def pipe() -> tuple[IO[bytes], IO[bytes]]:
    """Both ends of a pipe: where it is read, and where it is written."""
    reader, writer = os.pipe()
    return os.fdopen(reader, "rb", buffering=0), os.fdopen(writer, "wb", buffering=0)


def _above_standard_streams(end: socket.socket) -> socket.socket:
    """The same socket with a descriptor above 2: in a child the streams take the others.

    A host whose own standard streams are closed gets those numbers for whatever it opens.
    """
    with end:
        return socket.socket(fileno=fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _STDERR + 1))


class SupervisorProcess(Protocol):
    """A supervisor that runs.

    Attributes:
        pid: Its process.
    """

    pid: int

    def send(self, number: int) -> None:
        """Send it a signal; nothing once it has ended."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it has ended."""
        ...

    def accounted(self, work_ns: Callable[[], int]) -> AbstractContextManager[None]:
        """While it works, have its work count as ours, and its own share as nobody's.

        Args:
            work_ns: CPU time of the command, nanoseconds; asked when all is over.
        """
        ...


class ChildSupervisor:
    """A supervisor that is a child of ours: an interpreter of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self._process = process

    def send(self, number: int) -> None:
        """Send it a signal; nothing once it has ended."""
        self._process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is not None

    @contextmanager
    def accounted(self, work_ns: Callable[[], int]) -> Iterator[None]:
        """While it works, have its work count as ours, and its own share as nobody's."""
        note_helper(self._process, work_ns)
        yield


class ForkedSupervisor:
    """A supervisor that is not our child: the warm process has forked it.

    Args:
        pid: Its process.
        descriptor: A descriptor of that process (pidfd_open(2)), ours from now on.
    """

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def send(self, number: int) -> None:
        """Send it a signal; nothing once it has ended."""
        with suppress(ProcessLookupError, PermissionError):  # or it is not ours any more
            signal.pidfd_send_signal(self._descriptor, number)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it has ended."""
        return bool(self._poll.poll(seconds * 1000))

    @contextmanager
    def accounted(self, work_ns: Callable[[], int]) -> Iterator[None]:
        """While it works, have its work count as ours, and its own share as nobody's."""
        try:
            with fostered(self.pid, work_ns):
                yield
        finally:
            self.close()

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


def start_supervisor(*, has_input: bool) -> tuple[Channel, ChildSupervisor]:
    """Start an interpreter that is a supervisor.

    Raises:
        OSError: It cannot be started.
    """
    channel = Channel(has_input=has_input)
    try:
        control, errors, output, *input_ = channel.theirs
        process = subprocess.Popen(  # noqa: S603 - our own file
            [*program_of("supervisor"), str(control.fileno())],
            stdin=input_[0].fileno() if input_ else subprocess.DEVNULL,
            stdout=output.fileno(),
            stderr=errors.fileno(),
            cwd="/",
            env=own_environment(),
            pass_fds=[control.fileno()],
            start_new_session=True,
        )
    except BaseException:
        channel.close()
        raise
    channel.hand_over()
    return channel, ChildSupervisor(process)


def program_of(module: str) -> list[str]:
    """The words that start an interpreter in which *module*, of this package, is the program.

    It may write bytecode beside our files, as any Python of this user that imports
    them, unless this one may not; never to another place, which others may write to.
    """
    keeps_bytecode = not (sys.dont_write_bytecode or sys.pycache_prefix)
    options = ["-I", "-S", *([] if keeps_bytecode else ["-B"])]
    return [interpreter() or sys.executable, *options, "-c", _PROGRAM.format(module), _ROOT]


def own_environment() -> dict[str, str]:
    """What an interpreter needs to start; the command never sees it."""
    wanted = ("LD_LIBRARY_PATH", "PYTHONHOME")
    return {name: os.environ[name] for name in wanted if name in os.environ}
