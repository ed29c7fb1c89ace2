"""Starts a command, waits for it, and leaves nothing of its tree behind.

Two ways in. The library starts this file as a program of its own
(``python -I -S supervisor.py FD``), because what it does is process-wide and
must not happen inside somebody's program: it adopts orphans, forks, and waits
for any child. `otel-codomon run` is such a process itself and imports it.

So it imports nothing of the package and only what the interpreter has loaded
or built in: a start takes as long as ``python -c pass``.

The conversation is over one socket (a pipe could be opened by the command
through ``/proc``). In comes the plan, then at most ``stop``; out go reports,
one a line. End of file on it is the host's death, and ends the tree.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import sys
import time

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    import signal as signal  # noqa: PLC0414 - offered to who imports this module
    from collections.abc import Callable, Iterable, Iterator
else:
    import _signal as signal  # what `signal` wraps in enums, at the price of a third of the start

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

# A look at the tree takes tens of microseconds, so that 20 a second cost 0.1 %
# of a core, and a limit is passed by at most 50 ms of what the tree can do.
LOOK_SECONDS = 0.05
# How often the host is looked for in vain, when there are no limits to look at.
IDLE_SECONDS = 1.0
# After so long, what was sent SIGKILL and is still there cannot be killed:
# it belongs to another user now or hangs in the kernel.
GIVE_UP_SECONDS = 5.0
# Above whatever this process and the interpreter have open.
TOLD_FD = 100
# Python ignores these two in itself; a program expects them as the system has them.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class TreeLimits:
    """What a whole tree may use, held by looking: no kernel holds these on a tree.

    Attributes:
        cpu_seconds: CPU time, seconds; 0 for no limit.
        memory_bytes: Memory; 0 for no limit.
        processes: Living processes; 0 for no limit.
    """

    def __init__(self, cpu_seconds: float, memory_bytes: int, processes: int) -> None:
        self.cpu_seconds = cpu_seconds
        self.memory_bytes = memory_bytes
        self.processes = processes

    def __bool__(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.cpu_seconds or self.memory_bytes or self.processes)


class Plan:
    """What to start, and what it may use.

    Read from ``key=value`` fields that each end in NUL, which no argument,
    variable or path can contain.

    Attributes:
        argv: Path of the program, then its name and arguments.
        env: The whole environment.
        cwd: Working folder.
        limits: ``RLIMIT`` number, soft and hard value.
        cgroups: Files into which the command writes itself.
        tree_limits: What the whole tree may use.
        told: File that the command finds open as `TOLD_FD`; empty for none.
        grace_seconds: From SIGTERM to SIGKILL.
        host_pid: Who asked.
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
            float(fields[b"cpu"][0]), int(fields[b"memory"][0]), int(fields[b"processes"][0])
        )
        self.told = fields[b"told"][0]
        self.grace_seconds = float(fields[b"grace"][0])
        self.host_pid = int(fields[b"host"][0])


def _pair(entry: bytes) -> tuple[bytes, bytes]:
    name, _, value = entry.partition(b"=")
    return name, value


def _limit(entry: bytes) -> tuple[int, tuple[int, int]]:
    which, soft, hard = map(int, entry.split())
    return which, (soft, hard)


# --- starting ----------------------------------------------------------------


def adopt_orphans() -> None:
    """Make this process the parent of every orphan below it, not init."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    import ctypes  # noqa: PLC0415 - 2 ms, which `otel-codomon run` spends only where it must

    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def spawn(
    paths: Iterable[bytes],
    argv: list[bytes],
    env: dict[bytes, bytes],
    prepare: Callable[[], None],
) -> tuple[int, bytes]:
    """Fork, *prepare* the child and turn it into a program.

    Only for a process with one thread. Returns when the program runs.

    Args:
        paths: Where the program may be; the first that can be started is.
        argv: What it finds as its name and arguments.
        env: Its whole environment.
        prepare: Called in the child; the `OSError` it raises is raised here.

    Returns:
        The process id, and what the child had used up to the program's first
        instruction: the figures of a `resource.struct_rusage` as text. They are
        our doing, and in all that is ever told of it.

    Raises:
        OSError: It could not be started; ``errno`` says why.
    """
    told, tell = os.pipe()  # closed by the start of the program
    peak_kib = own_peak_kib()
    pid = os.fork()
    if pid == 0:
        _become(paths, argv, env, prepare, tell, peak_kib)
    os.close(tell)
    with open(told, "rb") as reader:  # noqa: PTH123 - a descriptor
        before, _, failure = reader.read().partition(b"!")
    if failure:
        os.waitpid(pid, 0)
        raise OSError(int(failure), os.strerror(int(failure)), os.fsdecode(argv[0]))
    return pid, before


def _become(  # noqa: PLR0917 - what a fork has at hand
    paths: Iterable[bytes],
    argv: list[bytes],
    env: dict[bytes, bytes],
    prepare: Callable[[], None],
    tell: int,
    peak_kib: int,
) -> None:
    """Never returns: the program, or the reason why not on *tell*."""
    try:
        for number in _RESTORED:
            signal.signal(number, signal.SIG_DFL)
        prepare()
        os.write(tell, " ".join(_figures(_used_so_far(peak_kib))).encode("ascii"))
        _execute(paths, argv, env)
    except OSError as error:
        os.write(tell, b"!%d" % (error.errno or errno.EINVAL))
    except BaseException:  # noqa: BLE001 - a forked copy must not run on, whatever happened
        os.write(tell, b"!%d" % errno.EINVAL)
    finally:
        os._exit(127)


def own_peak_kib() -> int:
    """Peak of this process, KiB: its own, where ``ru_maxrss`` begins at its spawner's size."""
    for line in _read("/proc/self/status").splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _used_so_far(peak_kib: int) -> list[float]:
    """What this forked copy has used; of memory as much as it may come to be charged with.

    The kernel takes over the peak of the copy at the very last moment, with
    counters that are exact to some hundred pages. No copy is larger than the
    process it was made from, whose own peak therefore bounds it.
    """
    figures = list(resource.getrusage(resource.RUSAGE_SELF))
    figures[2] = max(figures[2], peak_kib)
    return figures


def _execute(paths: Iterable[bytes], argv: list[bytes], env: dict[bytes, bytes]) -> None:
    """Become the first of *paths* that can be started, by the rules of execvp(3)."""
    refusals = [_try(path, argv, env) for path in paths]
    found = errno.EACCES if errno.EACCES in refusals else errno.ENOENT
    raise OSError(found, os.strerror(found))


def _try(path: bytes, argv: list[bytes], env: dict[bytes, bytes]) -> int:
    """Become *path*, or say why there is nothing there that could be."""
    try:
        os.execve(path, argv, env)  # noqa: S606 - starting what was asked for is the job
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # a script that names no interpreter
            os.execve("/bin/sh", [b"sh", path, *argv[1:]], env)  # noqa: S606 - as above
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            raise
        return error.errno


def apply_limits(limits: Iterable[tuple[int, tuple[int, int]]]) -> None:
    """Set resource limits of this process, each no higher than it is allowed to."""
    for which, (soft, hard) in limits:
        _, ceiling = resource.getrlimit(which)
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)  # noqa: PLW2901 - lowered, no more
        resource.setrlimit(which, (soft, hard))


def join_cgroups(files: Iterable[bytes | str]) -> None:
    """Move this process, which has one thread, into the cgroups that are entered by *files*."""
    for path in files:
        with open(path, "wb", buffering=0) as members:  # noqa: PTH123 - pathlib costs 5 ms
            members.write(b"0")


# --- the tree ----------------------------------------------------------------


def children_of(pid: int) -> list[int]:
    """Children of every thread of *pid*, zombies included; none if it is gone."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - as above
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as listed:  # noqa: PTH123 - as above
                found += map(int, listed.read().split())
    except OSError:  # it, or the thread, ended while we looked
        pass
    return found


def descendants() -> list[int]:
    """Everything below this process, parents before children."""
    found = children_of(os.getpid())
    for pid in found:  # grows while it is walked over
        found += children_of(pid)
    return found


def send(pid: int, number: int) -> None:
    """Send a signal; who is gone or is not ours any more does not get it."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


class Tree:
    """A command and whatever else is below this process.

    Attributes:
        pid: The command.
        status: Its wait status; None while it lives.
        rusage: What it used, with the children it waited for; None while it lives.
        stopped_by: The signal that stopped it, once; None while it runs.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None
        self.rusage: resource.struct_rusage | None = None
        self.stopped_by: int | None = None

    def reap(self, options: int = os.WNOHANG) -> bool:
        """Collect every child that has ended; whether any child is left."""
        while True:
            try:
                pid, status, rusage = os.wait4(-1, options)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid:
                self._note(status, rusage)

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

        From the top down each process is stopped before its children are
        listed: who is stopped neither forks nor reaps, so the list is whole and
        its numbers are not used again. Repeated, as stopping takes a moment.

        Returns:
            How many are left: 0 but for what cannot be killed.
        """
        for _ in self._pauses(GIVE_UP_SECONDS):
            frozen = children_of(os.getpid())
            for pid in frozen:  # grows while it is walked over
                send(pid, signal.SIGSTOP)
                frozen += children_of(pid)
            for pid in frozen:
                send(pid, signal.SIGKILL)
        return len(descendants())

    def end(self, grace_seconds: float) -> int:
        """Ask everything below this process to end, then `kill` what has not."""
        asked = descendants()
        for number in (signal.SIGTERM, signal.SIGCONT):  # who is stopped cannot hear
            for pid in asked:
                send(pid, number)
        for _ in self._pauses(grace_seconds):
            pass
        return self.kill()

    def _pauses(self, seconds: float) -> Iterator[None]:
        """One turn after another, each a little later, while children are left.

        At least one, and a look after the last: where we were stopped meanwhile,
        the time is over and they are too.
        """
        pause = 0.0002
        until = time.monotonic() + seconds
        is_over = False
        while self.reap() and not is_over:
            yield
            is_over = time.monotonic() >= until
            time.sleep(pause)
            pause = min(pause * 2, 0.02)


# --- limits that no kernel holds on a tree -----------------------------------


class Look:
    """A tree at one instant.

    Attributes:
        processes: Living processes.
        cpu_seconds: CPU time of all, the dead that were waited for included, seconds.
        memory_bytes: Sum of resident sets: shared pages count once a process.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.processes = 0
        self.memory_bytes = 0
        self.cpu_seconds = reaped.ru_utime + reaped.ru_stime
        for pid in pids:
            self._add(_read(f"/proc/{pid}/stat").rpartition(b")")[2].split())

    def _add(self, fields: list[bytes]) -> None:
        # proc(5), counted from the state: utime, stime, cutime, cstime are 11
        # to 14, rss in pages is 21.
        if len(fields) > 21:  # noqa: PLR2004 - as just said
            self.cpu_seconds += sum(map(int, fields[11:15])) / _TICKS_A_SECOND
            self.memory_bytes += int(fields[21]) * _PAGE_BYTES
            self.processes += fields[0] not in b"ZX"


def proportional_bytes(pids: Iterable[int]) -> int:
    """Memory of *pids* with each shared page divided among its users (PSS), bytes."""
    return sum(
        int(line.split()[1]) * 1024
        for pid in pids
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines()
        if line.startswith(b"Pss:")
    )


def limit_reached(limits: TreeLimits) -> tuple[str, float] | None:
    """The limit that the tree is over, and what was seen; None when it is over none."""
    pids = descendants()
    seen = Look(pids)
    if limits.cpu_seconds and seen.cpu_seconds > limits.cpu_seconds:
        return "cpu", seen.cpu_seconds
    if limits.processes and seen.processes > limits.processes:
        return "processes", seen.processes
    if limits.memory_bytes and seen.memory_bytes > limits.memory_bytes:
        # The sum counts shared pages of forked workers many times over. What
        # decides is the exact figure, which costs ten times as much to read.
        proportional = proportional_bytes(pids)
        if proportional > limits.memory_bytes:
            return "memory", proportional
    return None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs 5 ms
            return file.read()
    except OSError:  # it ended while we looked
        return b""


# --- the program of its own --------------------------------------------------


class Supervisor:
    """One command, from the plan on the socket to the report of its end."""

    def __init__(self, control: int) -> None:
        self._control = control
        self._plan = Plan(self._receive_plan())

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
        except OSError:  # nobody listens: the host has died, and the next look says so
            return

    def run(self) -> None:
        """Start the command, stay until nothing of it is left, report."""
        adopt_orphans()
        plan = self._plan
        try:
            pid, before = spawn(plan.argv[:1], plan.argv[1:], plan.env, self._prepare)
        except OSError as error:
            self._report("failed", error.errno)
            return
        self._report("started", pid, before.decode("ascii"))
        tree = Tree(pid)
        left = self._stay(tree)
        totals = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = totals if tree.rusage is None else tree.rusage
        status = -1 if tree.status is None else tree.status
        self._report("ended", status, left, *_figures(own), *_figures(totals))

    def _prepare(self) -> None:
        """In the child: everything that the program must find in place."""
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if self._plan.told:
            os.dup2(os.open(self._plan.told, os.O_WRONLY), TOLD_FD)
        join_cgroups(self._plan.cgroups)
        os.chdir(self._plan.cwd)
        apply_limits(self._plan.limits)

    def _stay(self, tree: Tree) -> int:
        """Until the command ends, is stopped, passes a limit, or its host dies."""
        ended = os.pidfd_open(tree.pid)
        while tree.status is None:
            ready, _, _ = select.select([self._control, ended], [], [], self._pause())
            tree.reap()
            if self._control in ready:
                # One word is ever said here; without a word the host has died.
                return tree.end(self._plan.grace_seconds) if self._heard() else tree.kill()
            if os.getppid() != self._plan.host_pid:
                return tree.kill()
            reached = limit_reached(self._plan.tree_limits) if self._plan.tree_limits else None
            if reached is not None:
                self._report("limit", *reached)
                return tree.kill()
        return tree.kill()

    def _pause(self) -> float:
        return LOOK_SECONDS if self._plan.tree_limits else IDLE_SECONDS

    def _heard(self) -> bytes:
        try:
            return os.read(self._control, 16)
        except ConnectionError:
            return b""


def _figures(rusage: Iterable[float]) -> Iterator[str]:
    """All sixteen, in the order of `resource.struct_rusage`."""
    return map(repr, rusage)


def main() -> None:
    """Be the program: ``supervisor.py FD``."""
    control = int(sys.argv[1])
    # The command must not speak for us.
    os.set_inheritable(control, False)  # noqa: FBT003 - positional only
    # the command must not speak for us
    Supervisor(control).run()


if __name__ == "__main__":
    main()
