"""Starts a command, waits for it, and leaves nothing of its tree behind.

The library runs this in a process of its own, because what it does is
process-wide and must not happen inside the caller's program: it adopts orphans,
forks, and waits for any child. That process is a copy of the warm one
(`warm_process`), or an interpreter that `main` makes into one. `otel-codomon run` is
such a process itself and uses the modules beside this one.

They import only what the interpreter has loaded or built in: a start takes as
long as ``python -c pass``.

The conversation is over one socket (a pipe could be opened by the command
through ``/proc``). In comes the plan, then at most ``stop``; out go reports,
one a line. End of file on it is the host's death, and ends the tree.
"""

from __future__ import annotations

import os
import resource
import select
import sys

from otel_codomon.sandbox.counting import TooManyFilesError
from otel_codomon.sandbox.spawning import (
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    Ahead,
    adopt_orphans,
    apply_limits,
    figures,
    join_cgroups,
    prctl,
    spawn,
)
from otel_codomon.sandbox.tree import Tree, signal
from otel_codomon.sandbox.tree_limits import TreeLimits, TreeMeter
from otel_codomon.sandbox.wrapping import Wrapping

# How often to see whether the command has ended, where nothing tells it.
_POLL_SECONDS = 0.01


class Plan:
    """What to start, and what it may use.

    Read from ``key=value`` fields that each end in NUL, which no argument,
    variable or path can contain.

    Attributes:
        argv: Path of the program, then its name and arguments.
        env: The whole environment.
        cwd: Working directory.
        limits: ``RLIMIT`` number, soft and hard value.
        cgroups: Files into which the command writes itself.
        tree_limits: What the whole tree may use.
        options: What bubblewrap is to read from us; None without bubblewrap.
        call_filter: Its filter of system calls.
        grace_seconds: From SIGTERM to SIGKILL.
        host_pid: The process that asked, and is our parent unless we were forked for it.
    """

    def __init__(self, data: bytes) -> None:
        fields: dict[bytes, list[bytes]] = {}
        for field in data.split(b"\0")[:-1]:
            key, _, value = field.partition(b"=")
            fields.setdefault(key, []).append(value)
        self.argv = fields[b"arg"]
        self.env = dict(_pair(entry) for entry in fields.get(b"env", ()))
        self.cwd = fields[b"cwd"][0]
        self.limits = [_limit(entry) for entry in fields.get(b"rlimit", ())]
        self.cgroups = fields.get(b"cgroup", [])
        self.tree_limits = TreeLimits(
            cpu_seconds=float(fields[b"cpu"][0]),
            memory_bytes=int(fields[b"memory"][0]),
            processes=int(fields[b"processes"][0]),
            disk_bytes=int(fields[b"disk"][0]),
            places=[os.fsdecode(place) for place in fields.get(b"place", ())],
            cpu_counter=os.fsdecode(fields[b"counter"][0]),
            spare_processes=int(fields[b"spare"][0]),
        )
        options = fields.get(b"option")
        self.options = None if options is None else b"".join(word + b"\0" for word in options)
        self.call_filter = bytes.fromhex(fields.get(b"filter", [b""])[0].decode("ascii"))
        self.grace_seconds = float(fields[b"grace"][0])
        self.host_pid = int(fields[b"host"][0])


def _pair(entry: bytes) -> tuple[bytes, bytes]:
    name, _, value = entry.partition(b"=")
    return name, value


def _limit(entry: bytes) -> tuple[int, tuple[int, int]]:
    which, soft, hard = map(int, entry.split())
    return which, (soft, hard)


class Supervisor:
    """One command, from the plan on the socket to the report of its end.

    Args:
        control: The socket.
        host: A descriptor of the process that asked (pidfd_open(2)); None where that is
            our parent.
    """

    def __init__(self, control: int, *, host: int | None = None) -> None:
        self._control = control
        self._host = [] if host is None else [host]
        self._ahead = Ahead()
        self._plan = plan = Plan(self._receive_plan())
        self._wrapping = None if plan.options is None else Wrapping(plan.options, plan.call_filter)

    def _receive_plan(self) -> bytes:
        """The plan: its length in ten digits, then itself."""
        length = int(self._receive(10))
        return self._receive(length)

    def _receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = os.read(self._control, length - len(data))
            if not piece:
                raise SystemExit(1)  # the host died while it spoke
            data += piece
        return data

    def _report(self, *words: object) -> None:
        line = " ".join(map(str, words)) + "\n"
        try:
            os.write(self._control, line.encode("ascii"))
        except OSError:  # nobody listens: the host has died, and the next turn says so
            return

    def run(self) -> None:
        """Start the command, stay until nothing of it is left, report."""
        plan = self._plan
        self._protect()
        try:
            meter = TreeMeter(plan.tree_limits)
            program = plan.argv[0]
            if self._wrapping is not None:
                program = self._wrapping.program(program)
            pid, before = spawn([program], plan.argv[1:], plan.env, self._prepare)
        except TooManyFilesError:
            self._report("uncounted")
            return
        except OSError as error:
            self._report("failed", error.errno)
            return
        self._report("started", pid, before.decode("ascii"))
        meter.start()
        tree = Tree(pid)
        left = self._stay(tree, meter)
        self._report_unmeasured(meter)
        if self._wrapping is not None and self._wrapping.has_run():
            self._report("inside")
        totals = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = totals if tree.rusage is None else tree.rusage
        status = -1 if tree.status is None else tree.status
        has_unwaited = int(tree.has_unwaited or meter.has_unwaited)
        self._report("ended", status, left, has_unwaited, *figures(own), *figures(totals))

    def _protect(self) -> None:
        """Be out of the command's reach, as far as a process of the same user can be.

        It can still stop and kill us: for that the host has a clock of its own.
        """
        # Inherited from a caller that ignores it, children vanish unseen.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        adopt_orphans()
        # Nobody of this user may trace us, or open our descriptors and memory.
        prctl(PR_SET_DUMPABLE, 0)
        self._ahead.take()

    def _prepare(self) -> None:
        """In the child: everything that the program must find in place."""
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        self._ahead.give_back()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if self._wrapping is not None:
            self._wrapping.prepare()
        join_cgroups(self._plan.cgroups)
        os.chdir(self._plan.cwd)
        apply_limits(self._plan.limits)

    def _stay(self, tree: Tree, meter: TreeMeter) -> int:
        """Until the command ends, is stopped, passes a limit, or its host dies."""
        ended, pause_seconds = _end_of(tree.pid, meter.pause_seconds)
        watched = [self._control, meter.alarm, *self._host, *ended]
        while True:
            ready, _, _ = select.select(watched, [], [], pause_seconds)
            tree.reap()
            if self._control in ready:
                # One word is ever said here; without a word the host has died.
                return tree.end(self._plan.grace_seconds) if self._heard() else tree.kill()
            if tree.status is not None or self._is_host_dead(ready):
                return tree.kill()
            passed = meter.passed()
            self._report_unmeasured(meter)
            if passed is not None:
                self._report("limit", *(word for word in passed if word is not None))
                return tree.kill()

    def _is_host_dead(self, ready: list[int]) -> bool:
        """Whether who asked has died, though a forked child of its holds the same socket."""
        if self._host:
            return self._host[0] in ready
        return os.getppid() != self._plan.host_pid

    def _report_unmeasured(self, meter: TreeMeter) -> None:
        for limit, why in meter.unmeasured():
            self._report("unmeasured", limit, why)

    def _heard(self) -> bytes:
        try:
            return os.read(self._control, 16)
        except ConnectionError:
            return b""


def _end_of(pid: int, pause_seconds: float) -> tuple[list[int], float]:
    """A descriptor that is ready when process *pid* has ended, and how long to wait for it."""
    try:
        return [os.pidfd_open(pid)], pause_seconds
    except (OSError, AttributeError):  # refused by a filter on system calls, or not built in
        return [], _POLL_SECONDS


def main() -> None:
    """Be the program: its last argument is the descriptor of the socket."""
    control = int(sys.argv[-1])
    # The command must not speak for us.
    os.set_inheritable(control, False)  # noqa: FBT003 - positional only
    Supervisor(control).run()
    os._exit(0)  # there is nothing to clean up, and the caller waits for the end
