"""Fork, prepare the copy, and turn it into a program.

Imports only what the interpreter has loaded or built in: a command waits for it.
"""

from __future__ import annotations

import errno
import os
import resource

from otel_codomon.sandbox.tree import read_file, signal

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36

_LEAST_NICE = -20
# The C library, once it was needed: opening it takes as long as ten calls.
_libc: list[Any] = []
# Python ignores these two in itself; a program expects them as the system has them.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)


def adopt_orphans() -> None:
    """Make this process the parent of every orphan below it, not init."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def prctl(option: int, value: int) -> None:
    """Set one attribute of this process.

    Raises:
        OSError: The kernel refused.
    """
    import ctypes  # noqa: PLC0415 - 2 ms, which `otel-codomon run` spends only where it must

    if not _libc:
        _libc.append(ctypes.CDLL(None, use_errno=True))
    if _libc[0].prctl(option, value, 0, 0, 0) != 0:
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
        os.write(tell, " ".join(figures(_used_so_far(peak_kib))).encode("ascii"))
        _execute(paths, argv, env)
    except OSError as error:
        os.write(tell, b"!%d" % (error.errno or errno.EINVAL))
    except BaseException:  # noqa: BLE001 - a forked copy must not run on, whatever happened
        os.write(tell, b"!%d" % errno.EINVAL)
    finally:
        os._exit(127)


def own_peak_kib() -> int:
    """Peak of this process, KiB: its own, where ``ru_maxrss`` begins at its spawner's size."""
    for line in read_file("/proc/self/status").splitlines():
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
        members = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(members, b"0")
        finally:
            os.close(members)


class Ahead:
    """Has this thread run before a command, however many processes of it are busy.

    Only root may: else the command is as important as we are. What is started
    or forked in the meantime is not ahead (sched(7), `SCHED_RESET_ON_FORK`), and
    has lost its niceness, which `give_back` restores.
    """

    def __init__(self) -> None:
        self._policy = os.sched_getscheduler(0)
        self._param = os.sched_getparam(0)
        self._niceness = os.getpriority(os.PRIO_PROCESS, 0)

    def take(self) -> None:
        """Be ahead from now on, as far as that is allowed."""
        first = os.sched_param(os.sched_get_priority_min(os.SCHED_RR))
        # The niceness for where a cgroup has no time for the other policy.
        _attempt(os.setpriority, os.PRIO_PROCESS, 0, _LEAST_NICE)
        _attempt(os.sched_setscheduler, 0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, first)

    def give_back(self) -> None:
        """Be as before."""
        _attempt(os.sched_setscheduler, 0, self._policy, self._param)
        _attempt(os.setpriority, os.PRIO_PROCESS, 0, self._niceness)


def _attempt(call: Callable[..., object], *arguments: object) -> None:
    """Make a call that may be refused."""
    try:
        call(*arguments)
    except OSError:
        return


def figures(rusage: Iterable[float]) -> Iterator[str]:
    """All sixteen as text, in the order of `resource.struct_rusage`."""
    return map(repr, rusage)
