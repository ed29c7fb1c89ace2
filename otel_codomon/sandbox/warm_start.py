"""One warm process, seen from the process that it works for: start it, ask it, end it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from otel_codomon._platform.proc_stat import read_stat
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.resources.reaping import note_helper
from otel_codomon.sandbox.descriptor_passing import send_descriptors
from otel_codomon.sandbox.inherited_state import inherited_state, system_call_filters
from otel_codomon.sandbox.supervisor_process import own_environment, pipe, program_of
from otel_codomon.sandbox.tree import read_file, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon._platform.proc_stat import ProcessStat
    from otel_codomon.sandbox.supervisor_process import Channel

# Only where something is wrong does a warm process take so long for an answer.
ANSWER_SECONDS: Final = 30.0
# And what starts it, for its own end.
_STARTER_SECONDS: Final = 1.0
_STOPPED: Final = (b"T", b"t")
PID_BYTES: Final = 16


class Warm:
    """One warm process.

    Args:
        requests: Our end of the socket through which it is asked.
        lifeline: Our end of the pipe with which it ends.
        stat: It.
        state: What the thread that has started it hands on, see `inherited_state`.

    Attributes:
        pid: Its process.
        has_served: Whether a supervisor of its was used.
    """

    def __init__(self, requests: int, lifeline: int, stat: ProcessStat, state: bytes) -> None:
        self.pid = stat.pid
        self.has_served = False
        self._state = state
        self._thread = threading.get_native_id()
        self._start_ticks = stat.start_ticks
        self._requests, self._lifeline = VerifiedDescriptor(requests), VerifiedDescriptor(lifeline)

    def ask(self, channel: Channel) -> None:
        """Ask for a supervisor at the other end of *channel*, without waiting for it.

        Raises:
            OSError: It is gone, or has too much to do.
        """
        theirs = [end.fileno() for end in channel.theirs]
        flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        with _borrowed(self._requests.checked()) as end:
            send_descriptors(end, b"fork", theirs, flags=flags)

    def can_serve(self, state: bytes | None) -> bool:
        """Whether it stands for the calling thread, which hands on *state*.

        Two threads may have as many filters on system calls and not the same ones.
        """
        if state is None or state != self._state:
            return False
        is_filtered = system_call_filters(state) != _FIRST_FILTERS
        return not is_filtered or self._thread == threading.get_native_id()

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped."""
        stat = self._stat()
        return stat is not None and stat.state in _STOPPED

    def _stat(self) -> ProcessStat | None:
        """It, unless another process has its number."""
        stat = read_stat(self.pid)
        return stat if stat is not None and stat.start_ticks == self._start_ticks else None

    def end(self) -> None:
        """End it, and let go of it. Supervisors that have their command go on."""
        self.forget()
        if self._stat() is not None:
            send(self.pid, signal.SIGKILL)

    def forget(self) -> None:
        """Let go of it, which ends it unless another process holds the same socket."""
        self._requests.close()
        self._lifeline.close()


@contextmanager
def _borrowed(number: int) -> Iterator[socket.socket]:
    """A socket that leaves descriptor *number* open."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=number)
    try:
        yield end
    finally:
        end.detach()


def start_warm() -> Warm | None:
    """Start a warm process, and wait until it is one; None where it does not become one.

    Raises:
        TimeoutError: It takes too long.
        OSError: There are not enough descriptors, memory or processes.
    """
    state = inherited_state()
    if state is None:
        return None
    requests, its_requests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with requests, its_requests:
        its_lifeline, lifeline = pipe()
        with its_lifeline, lifeline:
            starter = _start_interpreter(its_requests, its_lifeline)
            its_requests.close()
            requests.settimeout(ANSWER_SECONDS)
            try:
                pid = requests.recv(PID_BYTES)
            finally:
                _outlast(starter)
            stat = read_stat(int(pid)) if pid else None
            if stat is None:
                return None
            # Kept as numbers: nobody closes them at the end of the interpreter.
            ours = os.dup(requests.fileno()), os.dup(lifeline.fileno())
            return Warm(*ours, stat, state)


def _start_interpreter(requests: socket.socket, lifeline: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own file
        [*program_of("warm_process"), str(os.getpid())],
        stdin=requests.fileno(),
        stdout=lifeline.fileno(),
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=own_environment(),
        start_new_session=True,
    )


def _outlast(starter: subprocess.Popen[bytes]) -> None:
    """Wait for what has started the warm process, and has nothing else to do."""
    note_helper(starter, lambda: 0)
    try:
        starter.wait(_STARTER_SECONDS)
    except subprocess.TimeoutExpired:
        starter.kill()
        starter.wait()


def _first_filters() -> list[bytes]:
    """The filters on system calls that this process began with, or so it seems.

    Of these alone two threads with as many have the same. Before Linux 5.9 nobody
    tells how many: then none at all are such.
    """
    filters = system_call_filters(read_file("/proc/self/status"))
    is_told = len(filters) > 1 or filters == [b"Seccomp:\t0"]
    return filters if is_told else []


_FIRST_FILTERS: Final = _first_filters()
