"""The processes below one process: list them, wait for them, end them.

Imports only what the interpreter has loaded or built in: a command waits for it.
"""

from __future__ import annotations

import os
import time

from otel_codomon._platform.proc_stat import read_stat

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    import resource
    import signal as signal  # noqa: PLC0414 - offered to the modules beside this one
    from collections.abc import Iterable, Iterator

    from otel_codomon._platform.proc_stat import ProcessStat
else:
    import _signal as signal  # what `signal` wraps in enums, at the price of a third of the start

# After so long, what was sent SIGKILL and is still there cannot be killed:
# it belongs to another user now or hangs in the kernel.
GIVE_UP_SECONDS = 5.0


def read_file(path: str) -> bytes:
    """A small file of the kernel; empty when it is gone or closed to us."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs 5 ms
            return file.read()
    except OSError:  # it ended in this instant
        return b""


# --- who is below a process ----------------------------------------------------


def children_of(pid: int) -> list[int]:
    """Children of every thread of *pid*, zombies included; none if it is gone."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - as above
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as listed:  # noqa: PTH123 - as above
                found += map(int, listed.read().split())
    except OSError:  # it, or the thread, ended in this instant
        pass
    return found


def descendants() -> list[int]:
    """Everything below this process, parents before children."""
    found = children_of(os.getpid())
    for pid in found:  # grows while it is walked over
        found += children_of(pid)
    return found


def stats_below(root: int) -> Iterator[ProcessStat]:
    """Everything below process *root*, parents before children."""
    found = children_of(root)
    for pid in found:  # grows while it is walked over
        stat = read_stat(pid)
        if stat is not None:
            yield stat
            found += children_of(pid)


def stop_below(root: int, until: float) -> list[int]:
    """Stop everything below process *root*, and list it.

    No longer than *until*, on the monotonic clock: a fork bomb may be faster.

    From the top down each process is stopped before its children are listed: a
    stopped process neither forks nor reaps, so the list is whole and its
    numbers are not used again. Stopping takes a moment, so call it repeatedly.
    """
    found = children_of(root)
    for pid in found:  # grows while it is walked over
        send(pid, signal.SIGSTOP)
        if time.monotonic() < until:
            found += children_of(pid)
    return found


def kill_below(root: int, seconds: float) -> int:
    """Kill everything below process *root*, which is stopped and adopts orphans.

    Args:
        root: A process that does not reap: what has ended stays as a zombie.
        seconds: When to give up.

    Returns:
        How many are still alive.
    """
    until = time.monotonic() + seconds
    while living := still_running(stop_below(root, until)):
        if time.monotonic() >= until:
            return len(living)
        send_all(living, signal.SIGKILL)
        time.sleep(0.002)
    return 0


def still_running(pids: Iterable[int]) -> list[int]:
    """Those of *pids* that have not ended."""
    return [pid for pid in pids if (stat := read_stat(pid)) is not None and stat.is_living]


def send(pid: int, number: int) -> None:
    """Send a signal; a process that is gone or not ours any more does not get it."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def send_all(pids: Iterable[int], number: int) -> None:
    """Send a signal to each of *pids*."""
    for pid in pids:
        send(pid, number)


class Tree:
    """A command and whatever else is below this process.

    Attributes:
        pid: The command.
        status: Its wait status; None while it lives.
        rusage: What it used, with the children it waited for; None while it lives.
        stopped_by: The signal that stopped it, once; None while it runs.
        has_unwaited: Whether a process that ended ignored SIGCHLD, so that the
            totals may leave out its children.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None
        self.rusage: resource.struct_rusage | None = None
        self.stopped_by: int | None = None
        self.has_unwaited = False

    def reap(self, options: int = os.WNOHANG) -> bool:
        """Collect every child that has ended; whether any child is left."""
        while True:
            self._note_ignored()
            try:
                pid, status, rusage = os.wait4(-1, options)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid:
                self._note(status, rusage)

    def _note_ignored(self) -> None:
        """Look at a child that has ended before it is waited for and gone."""
        if self.has_unwaited:
            return
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:
            return
        stat = None if ended is None else read_stat(ended.si_pid)
        self.has_unwaited = stat is not None and stat.ignores_children

    def has_moved(self) -> bool:
        """Whether the command has gone on, stopped anew or ended since it was asked last."""
        pid, status, rusage = os.wait4(self.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if pid and not os.WIFCONTINUED(status):
            self._note(status, rusage)
        return pid != 0

    def _note(self, status: int, rusage: resource.struct_rusage) -> None:
        if os.WIFSTOPPED(status):
            self.stopped_by = os.WSTOPSIG(status)
        else:
            self.status, self.rusage = status, rusage

    def kill(self) -> int:
        """Kill everything below this process and reap it.

        Returns:
            How many are left: 0 but for what cannot be killed.
        """
        until = time.monotonic() + GIVE_UP_SECONDS
        for _ in self._pauses(GIVE_UP_SECONDS):
            send_all(stop_below(os.getpid(), until), signal.SIGKILL)
        return len(descendants())

    def end(self, grace_seconds: float) -> int:
        """Ask everything below this process to end, then `kill` what has not."""
        asked = descendants()
        for number in (signal.SIGTERM, signal.SIGCONT):  # a stopped process cannot hear
            send_all(asked, number)
        for _ in self._pauses(grace_seconds):
            pass
        return self.kill()

    def _pauses(self, seconds: float) -> Iterator[None]:
        """One turn after another, each a little later, while children are left.

        At least one, and a look after the last: where we were stopped, the time
        is over and they may have ended too.
        """
        pause = 0.0002
        until = time.monotonic() + seconds
        is_over = False
        while self.reap() and not is_over:
            yield
            is_over = time.monotonic() >= until
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
