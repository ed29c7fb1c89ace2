"""Run a command in the place of this process: same terminal, same signals, same group.

For `otel-codomon run`. The command stays in our process group, so that what
the terminal sends reaches it as if we were not there, pipelines and
background jobs included. What is sent to us alone is passed on. When the
terminal stops the command we stop too, so that the shell gets its prompt.

Imports nothing that takes time: the command waits for it.
"""

from __future__ import annotations

import os
import resource
import time
from _thread import get_ident

from otel_codomon.sandbox.spawning import (
    Ahead,
    adopt_orphans,
    apply_limits,
    join_cgroups,
    spawn,
)
from otel_codomon.sandbox.tree import Tree, descendants, send, signal

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from otel_codomon.sandbox.apart import Apart
    from otel_codomon.sandbox.tree_limits import TreeMeter

# What a shell, a terminal or a service manager sends. The rest end a process
# or are errors of its own, and are nobody's to pass on.
_PASSED_ON = frozenset(
    {
        *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH),
        *(signal.SIGTSTP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM),
    }
)
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM)
_WATCHED = _PASSED_ON | {signal.SIGCHLD}
# By these the terminal stops a job; SIGSTOP is somebody's own doing, who would
# not know to wake us too.
_JOB_STOPS = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
# `si_code` of what the kernel sends of its own: what the terminal sends, which
# goes to the whole group and so has reached the command already.
_SI_KERNEL = 0x80
_STDERR = 2
_MAX_RSS = 2  # where it stands in a struct_rusage
# How long the others of a group may take to hear what one of it has heard.
_GROUP_SECONDS = 0.5
_FOREVER = 3600.0  # being woken costs nothing
_AT_ONCE = 1e-6  # the shortest time of a timer, seconds: 0 is none


class Foreground:
    """One command that runs in our place.

    Attributes:
        tree: The command and everything below it.
        before: What the kernel counts as the command's and is not: the figures of
            a `resource.struct_rusage` for what the forked copy of us had used
            when the command began, and for children that we had before.
        limit: The limit for which it was ended, and what was seen.
        unmeasured: The limits of which a measurement failed, and why.
        timed_out: Whether it ran out of time.
        apart: What separates it from us; None for nothing.
    """

    def __init__(
        self,
        paths: Sequence[bytes],
        argv: list[bytes],
        env: dict[bytes, bytes],
        *,
        rlimits: Sequence[tuple[int, tuple[int, int]]] = (),
        cgroups: Sequence[str] = (),
        apart: Apart | None = None,
    ) -> None:
        """Start the command, in the cgroups if the kernel lets it.

        Args:
            paths: Where the program may be.
            argv: What it finds as its name and arguments.
            env: Its whole environment.
            rlimits: ``RLIMIT`` number, soft and hard value.
            cgroups: Files by which it enters them.
            apart: What separates it from us, where it is bubblewrap; None where
                it shares our streams, our group and our terminal.

        Raises:
            OSError: It cannot be started.
        """
        self.limit: tuple[str, float | None] | None = None
        self.unmeasured: dict[str, str] = {}
        self.timed_out = False
        self._late: dict[int, Any] = {}
        self._meter: TreeMeter | None = None
        self.apart = apart
        # From here on signals wait until `wait` asks for them: none is lost
        # between the start of the command and the first look.
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        # Where it is ignored, children vanish before anybody learns how they ended.
        on_child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        adopt_orphans()

        def prepare() -> None:
            signal.signal(signal.SIGCHLD, on_child)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            apply_limits(rlimits)
            _try_to_join(cgroups)
            if apart is not None:
                _keep_descriptors()
                apart.prepare()

        try:
            earlier = resource.getrusage(resource.RUSAGE_CHILDREN)
            pid, copied = spawn(paths, argv, env, prepare)
        except OSError:
            self.restore()
            raise
        self.tree = Tree(pid)
        # Nothing was copied where its memory limit did not even let it begin.
        self.before = _sum(earlier, map(float, copied.split() or [b"0"] * len(earlier)))
        if apart is not None:
            apart.begin()

    def wait(
        self,
        *,
        deadline: float | None = None,
        grace_seconds: float,
        meter: TreeMeter | None = None,
        later: Callable[[], None] | None = None,
        later_seconds: float = 0.0,
    ) -> None:
        """Stand in for the command until it ends.

        Args:
            deadline: `time.monotonic` at which the tree is ended; None for never.
            grace_seconds: From SIGTERM to SIGKILL.
            meter: Compares samples of the tree with its limits.
            later: Called once, if the command still runs after a while.
            later_seconds: That while.
        """
        wake = None if later is None else time.monotonic() + later_seconds
        self._meter = meter
        ahead = Ahead()
        if meter is not None:
            meter.start()
            if meter.counts_processes:
                ahead.take()  # of a fork bomb: for nothing else does a command wait for us
        while self.tree.status is None:
            self._serve(_pause(deadline, wake, meter=meter))
            now = time.monotonic()
            if wake is not None and later is not None and now >= wake:
                later()
                wake = None
            if deadline is not None and now >= deadline:
                self._time_out(grace_seconds)
            elif meter is not None:
                self._hold(meter)
        ahead.give_back()
        if meter is not None:
            self.unmeasured.update(meter.unmeasured())
        if self.apart is not None:
            # What it wrote is for the reader, however slow. Where it was ended for its
            # time or a limit, that does not hold for a reader that takes nothing.
            is_forced = self.timed_out or self.limit is not None
            self.apart.end(patience_seconds=grace_seconds if is_forced else None)

    @property
    def has_unwaited(self) -> bool:
        """Whether processes vanished without being waited for: the totals leave them out."""
        is_seen = self._meter is not None and self._meter.has_unwaited
        return is_seen or self.tree.has_unwaited

    def restore(self, *, is_over: bool = False) -> None:
        """Take signals again as before: for what is started after the command.

        Args:
            is_over: Whether the command has ended: what was sent to end it, and
                came too late, does not end us before that is recorded.
        """
        if is_over:
            self._late = {number: signal.signal(number, _ignore) for number in _ended_by()}
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.sigtimedwait({signal.SIGALRM}, 0)  # ours, if it came after the last look
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def release(self) -> None:
        """Let signals end this process again: everything is recorded."""
        for number, handler in self._late.items():
            signal.signal(number, handler)

    def _serve(self, seconds: float) -> None:
        """Pass on one signal, or note one change of the command; *seconds* at most.

        The timer is the kernel's, and comes as a signal. `signal.sigtimedwait`
        would make one up where we are stopped, as by a debugger, until the time
        is over: it then returns what happens to be in memory.
        """
        signal.setitimer(signal.ITIMER_REAL, max(seconds, _AT_ONCE))
        found = signal.sigwaitinfo(_WATCHED)
        if found.si_signo == signal.SIGCHLD:
            self.tree.reap(os.WNOHANG | os.WUNTRACED)
            self._stop_along()
        elif found.si_code != _SI_KERNEL or self._is_for_us_alone(found.si_signo):
            self._pass_on(found.si_signo)

    def _is_for_us_alone(self, number: int) -> bool:
        """Whether what the kernel sent did not reach the command; the timer is our own."""
        return self.apart is not None and number != signal.SIGALRM

    def _pass_on(self, number: int) -> None:
        if self.apart is not None and number == signal.SIGTSTP:
            self._suspend(self.apart)
            return
        if self.apart is not None and number == signal.SIGWINCH:
            self.apart.resize()
        os.kill(self.tree.pid, number)

    def _suspend(self, apart: Apart) -> None:
        """Stop with the whole tree: its session is not the terminal's, which stops us alone."""
        stopped = descendants()
        for pid in stopped:
            send(pid, signal.SIGSTOP)
        apart.release()
        _stop_by(signal.SIGTSTP)
        for pid in stopped:
            send(pid, signal.SIGCONT)

    def _stop_along(self) -> None:
        while (by := self.tree.stopped_by) in _JOB_STOPS:
            self.tree.stopped_by = None
            _stop_by(by)
            # SIGCONT has reached the command too, if the group was meant: passed on
            # as a matter of course it would undo a stop that came right after it.
            if not self._moves_by_itself():
                os.kill(self.tree.pid, signal.SIGCONT)  # we alone were meant
            self.tree.reap(os.WNOHANG | os.WUNTRACED)

    def _moves_by_itself(self) -> bool:
        """Whether the command goes on without our doing, which the kernel tells by SIGCHLD."""
        deadline = time.monotonic() + _GROUP_SECONDS
        while not self.tree.has_moved():
            left = deadline - time.monotonic()
            if left <= 0 or signal.sigtimedwait({signal.SIGCHLD}, left) is None:
                return self.tree.has_moved()
        return True

    def _time_out(self, grace_seconds: float) -> None:
        self.timed_out = self.tree.status is None
        self.tree.end(grace_seconds)

    def _hold(self, meter: TreeMeter) -> None:
        passed = meter.passed() if self.tree.status is None else None
        if passed is not None:
            self.limit = passed
            self.tree.kill()


def _ignore(*_signal: object) -> None:
    """Take a signal that came too late."""


def _ended_by() -> list[int]:
    """The signals that would end us: those that are ignored stay so."""
    return [number for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN]


def _stop_by(number: int) -> None:
    """Stop as the command did, until the shell continues the group.

    By the same signal, which the shell reports: 148 for Ctrl-Z. To this thread,
    so that it goes no step further; another would take its time to hear.
    """
    before = signal.signal(number, signal.SIG_DFL)
    signal.pthread_kill(get_ident(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    # It was delivered before that returned, and this goes on after the stop.
    signal.pthread_sigmask(signal.SIG_BLOCK, {number} & _WATCHED)
    signal.signal(number, before)


def _keep_descriptors() -> None:
    """Hand on nothing but the standard streams: a folder's descriptor is a way out of isolation."""
    for number in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - pathlib takes 10 ms
        # That of the folder that was just listed is closed again.
        if number > _STDERR and os.path.exists(f"/proc/self/fd/{number}"):  # noqa: PTH110 - as above
            os.set_inheritable(number, False)  # noqa: FBT003 - positional only


def _try_to_join(files: Sequence[str]) -> None:
    """Join cgroups; where that is refused the command runs without, and they stay at zero."""
    try:
        join_cgroups(files)
    except OSError:
        return


def _sum(earlier: Iterable[float], copied: Iterable[float]) -> tuple[float, ...]:
    """Add the figures of two usages; the third, the largest process, is no sum."""
    pairs = list(zip(earlier, copied, strict=True))
    return tuple(max(pair) if at == _MAX_RSS else sum(pair) for at, pair in enumerate(pairs))


def _pause(deadline: float | None, wake: float | None, *, meter: TreeMeter | None) -> float:
    now = time.monotonic()
    instants = [instant - now for instant in (deadline, wake) if instant is not None]
    return max(0.0, min([*instants, _FOREVER if meter is None else meter.pause_seconds]))
