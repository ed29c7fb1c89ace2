"""Have supervisors forked by one warm process instead of starting an interpreter for each.

`warm_process.py` is what runs in it. It serves this process alone: a forked
child starts its own. It is used only for a command for which it can stand in
for us, see `inherited_state`; else another one is started in its place, and where
that does not help either, the command gets a supervisor that is our child.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Final

from otel_codomon._platform.proc_stat import read_stat
from otel_codomon._platform.threads_and_forks import on_fork
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.resources.reaping import note_helper
from otel_codomon.sandbox.descriptor_passing import receive_descriptors, send_descriptors
from otel_codomon.sandbox.inherited_state import inherited_state, system_call_filters
from otel_codomon.sandbox.supervisor_process import (
    Channel,
    ForkedSupervisor,
    own_environment,
    pipe,
    program_of,
)
from otel_codomon.sandbox.tree import read_file, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon._platform.proc_stat import ProcessStat

# Only where something is wrong does a warm process take so long for an answer.
_ANSWER_SECONDS: Final = 30.0
# And what starts it, for its own end.
_STARTER_SECONDS: Final = 1.0
# How often to see whether it was stopped in the meantime.
_CHECK_SECONDS: Final = 0.1
_STOPPED: Final = (b"T", b"t")
_TRIES: Final = 2
# After so many that came to nothing, one after the other, none is started for a while.
_FAILURES: Final = 3
_PAUSE_SECONDS: Final = 60.0
_PID_BYTES: Final = 16
# It was killed, or other code has closed our end.
_GONE: Final = (errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED, errno.EBADF, errno.ENOTCONN)
_INIT: Final = 1


class _Warm:
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


class WarmSupervisor:
    """The warm process of this process: none before the first command."""

    def __init__(self) -> None:
        self._warm: _Warm | None = None
        self._renew()

    def _renew(self) -> None:
        # Its holder may take it again: a signal handler may come in between.
        self._lock = threading.RLock()
        self._failures = 0
        self._next_start = 0.0  # monotonic clock

    def fork(self, *, has_input: bool) -> tuple[Channel, ForkedSupervisor] | None:
        """Have a supervisor forked that has inherited what a child of ours would have.

        Returns:
            It, and our side of the conversation; None where that cannot be had.
        """
        for _ in range(_TRIES):
            channel = Channel(has_input=has_input)
            forked = None
            try:
                warm = self._ask(channel)
                if warm is None:
                    return None
                channel.hand_over()
                forked = _answer(channel.control, warm)
                if forked is not None:
                    warm.has_served = True
                    return channel, forked
                self._end(warm)
            finally:
                if forked is None:
                    channel.close()
        return None

    def _ask(self, channel: Channel) -> _Warm | None:
        """The warm process that was asked to serve *channel*."""
        with self._lock:
            for _ in range(_TRIES):
                warm = self._warm or self._start()
                if warm is None:
                    return None
                try:
                    warm.ask(channel)
                except OSError as error:
                    if error.errno not in _GONE:  # too many descriptors are under way
                        return None
                    self._end(warm)
                else:
                    return warm
        return None

    def _start(self) -> _Warm | None:
        if os.getpid() == _INIT or time.monotonic() < self._next_start:
            return None
        try:
            warm = _start()
        except TimeoutError:
            warm = None
        except OSError:  # too many processes or descriptors, which may be different soon
            return None
        if warm is None:
            self._note(has_failed=True)
        elif _is_child(warm.pid):
            # We adopt orphans: our waits would see it. No other try ends better.
            self._next_start = float("inf")
            warm.end()
            with suppress(ChildProcessError):
                os.waitpid(warm.pid, 0)
            warm = None
        self._warm = warm
        return warm

    def _end(self, warm: _Warm) -> None:
        with self._lock:
            if self._warm is warm:
                self._warm = None
                self._note(has_failed=not warm.has_served)
            warm.end()

    def _note(self, *, has_failed: bool) -> None:
        self._failures = self._failures + 1 if has_failed else 0
        if self._failures >= _FAILURES:
            self._failures = 0
            self._next_start = time.monotonic() + _PAUSE_SECONDS

    @property
    def pid(self) -> int | None:
        """The warm process; None when there is none."""
        warm = self._warm
        return None if warm is None else warm.pid

    def close(self) -> None:
        """End the warm process; the next command starts another."""
        if self._warm is not None:
            self._end(self._warm)

    def forget(self) -> None:
        """In a forked child: the warm process is the parent's."""
        warm, self._warm = self._warm, None
        self._renew()
        if warm is not None:
            warm.forget()


def _is_child(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is not None and stat.parent == os.getpid()


def _start() -> _Warm | None:
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
            requests.settimeout(_ANSWER_SECONDS)
            try:
                pid = requests.recv(_PID_BYTES)
            finally:
                _outlast(starter)
            stat = read_stat(int(pid)) if pid else None
            if stat is None:
                return None
            # Kept as numbers: nobody closes them at the end of the interpreter.
            ours = os.dup(requests.fileno()), os.dup(lifeline.fileno())
            return _Warm(*ours, stat, state)


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


# --- the answer of a supervisor ---------------------------------------------------


def _answer(control: socket.socket, warm: _Warm) -> ForkedSupervisor | None:
    """The supervisor that answers on *control*; None where none does, or not one for us.

    Raises:
        OSError: There are not enough descriptors.
    """
    can_serve = warm.can_serve(inherited_state())
    if not _wait_for_answer(control, warm):
        return None
    try:
        pid, descriptors = receive_descriptors(control, _PID_BYTES)
    except ConnectionError:  # it died before it read what it was sent
        return None
    if pid and not descriptors:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    if not pid:
        return None
    supervisor = ForkedSupervisor(int(pid), descriptors[0])
    if can_serve and _is_open_to_us(supervisor.pid):
        return supervisor
    supervisor.send(signal.SIGKILL)
    supervisor.close()
    return None


def _wait_for_answer(control: socket.socket, warm: _Warm) -> bool:
    """Wait until there is something to read; whether there is."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    until = time.monotonic() + _ANSWER_SECONDS
    while time.monotonic() < until:
        if poll.poll(_CHECK_SECONDS * 1000):
            return True
        if warm.is_stopped:
            return False
    return False


def _is_open_to_us(pid: int) -> bool:
    """Whether we may look into process *pid*: not if Landlock restricts us, and not it."""
    try:
        os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115 - a command waits for it
    except OSError:
        return False
    return True


def _first_filters() -> list[bytes]:
    """The filters on system calls that this process began with, or so it seems.

    Of these alone two threads with as many have the same. Before Linux 5.9 nobody
    tells how many: then none at all are such.
    """
    filters = system_call_filters(read_file("/proc/self/status"))
    is_told = len(filters) > 1 or filters == [b"Seccomp:\t0"]
    return filters if is_told else []


_FIRST_FILTERS: Final = _first_filters()
warm_supervisor: Final = WarmSupervisor()
on_fork("supervisor", in_child=warm_supervisor.forget)
