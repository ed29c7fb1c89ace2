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
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.proc_stat import read_stat
from otel_codomon._platform.threads_and_forks import on_fork
from otel_codomon.sandbox.descriptor_passing import receive_descriptors
from otel_codomon.sandbox.inherited_state import inherited_state
from otel_codomon.sandbox.supervisor_process import Channel, ForkedSupervisor
from otel_codomon.sandbox.warm_start import ANSWER_SECONDS, PID_BYTES, Warm, start_warm

if TYPE_CHECKING:
    import socket

# How often to see whether it was stopped in the meantime.
_CHECK_SECONDS: Final = 0.1
_TRIES: Final = 2
# After so many that came to nothing, one after the other, none is started for a while.
_FAILURES: Final = 3
_PAUSE_SECONDS: Final = 60.0
# It was killed, or other code has closed our end.
_GONE: Final = (errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED, errno.EBADF, errno.ENOTCONN)
_INIT: Final = 1


class WarmSupervisor:
    """The warm process of this process: none before the first command."""

    def __init__(self) -> None:
        self._warm: Warm | None = None
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

    def _ask(self, channel: Channel) -> Warm | None:
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

    def _start(self) -> Warm | None:
        if os.getpid() == _INIT or time.monotonic() < self._next_start:
            return None
        try:
            warm = start_warm()
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

    def _end(self, warm: Warm) -> None:
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


# --- the answer of a supervisor ---------------------------------------------------


def _answer(control: socket.socket, warm: Warm) -> ForkedSupervisor | None:
    """The supervisor that answers on *control*; None where none does, or not one for us.

    Raises:
        OSError: There are not enough descriptors.
    """
    can_serve = warm.can_serve(inherited_state())
    if not _wait_for_answer(control, warm):
        return None
    try:
        pid, descriptors = receive_descriptors(control, PID_BYTES)
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


def _wait_for_answer(control: socket.socket, warm: Warm) -> bool:
    """Wait until there is something to read; whether there is."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    until = time.monotonic() + ANSWER_SECONDS
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


warm_supervisor: Final = WarmSupervisor()
on_fork("supervisor", in_child=warm_supervisor.forget)
