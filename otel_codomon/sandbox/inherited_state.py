"""What a process that is started now would inherit from the calling thread.

A command has to inherit what a child of its caller would. Part of that is passed
on with its task. The rest is compared, and has to be equal.

Imports only what the interpreter has loaded or built in: a command waits for it.
"""

from __future__ import annotations

import errno
import os

from otel_codomon.sandbox.tree import signal

# Of proc_pid_status(5): who it is, what it may do, and where it runs.
_ROWS = (
    *(b"Umask", b"Uid", b"Gid", b"Groups", b"Cap", b"NoNewPrivs", b"Seccomp", b"Speculation"),
    *(b"Cpus_allowed:", b"Mems_allowed:", b"THP_enabled"),
)
_IGNORED = b"SigIgn:"
# Python ignores the first two in itself, and neither it nor a supervisor hands them
# on; the third a supervisor has as the system has it.
_OWN_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)
_OWN_BITS = sum(1 << (number - 1) for number in _OWN_SIGNALS)
# Of proc_pid_stat(5), counted from the state: niceness, real-time priority and policy.
_SCHEDULING = (16, 37, 38)
_FILES = (
    *("/proc/thread-self/cgroup", "/proc/thread-self/attr/current", "/proc/thread-self/limits"),
    *("/proc/thread-self/personality", "/proc/self/oom_score_adj", "/proc/self/coredump_filter"),
)
_NAMESPACES = "/proc/thread-self/ns"
_READ_BYTES = 16 * 1024
_USED_UP = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def inherited_state() -> bytes | None:
    """What the calling thread hands on to a process that it starts; None where that is not known.

    Two threads, of one process or two, for which this is equal start processes that
    are equal in all of this. Not seen are the I/O priority, timer slack, NUMA
    policy, session keyring and security bits, and restrictions by Landlock.

    Raises:
        OSError: There are no descriptors left to read it with.
    """
    try:
        root = os.stat("/")  # noqa: PTH116 - pathlib costs 5 ms
        parts = [b"root %d %d" % (root.st_dev, root.st_ino), *_namespaces(), *_scheduling()]
        parts += _credentials(_read("/proc/thread-self/status"))
    except (ValueError, IndexError):  # a kernel that tells them otherwise
        return None
    except OSError as error:  # no /proc, or not all of it
        if error.errno in _USED_UP:
            raise
        return None
    return b"\n".join([*parts, *map(_read_if_there, _FILES)])


def system_call_filters(state: bytes) -> list[bytes]:
    """The lines of *state* that tell of filters on system calls: whether, and how many."""
    return [line for line in state.splitlines() if line.startswith(b"Seccomp")]


def _read(path: str) -> bytes:
    """A file of the kernel, by a third of the calls that a file object takes."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while piece := os.read(descriptor, _READ_BYTES):
            data += piece
        return data
    finally:
        os.close(descriptor)


def _read_if_there(path: str) -> bytes:
    """A file that not every kernel has, or not for everybody."""
    try:
        return _read(path)
    except OSError as error:
        if error.errno in _USED_UP:
            raise
        return b""


def _credentials(status: bytes) -> list[bytes]:
    lines = status.splitlines()
    [ignored] = (line for line in lines if line.startswith(_IGNORED))
    handed_on = int(ignored[len(_IGNORED) :], 16) & ~_OWN_BITS
    return [*(line for line in lines if line.startswith(_ROWS)), b"%x" % handed_on]


def _scheduling() -> list[bytes]:
    stat = _read("/proc/thread-self/stat")
    fields = stat[stat.rindex(b")") + 2 :].split()
    return [fields[at] for at in _SCHEDULING]


def _namespaces() -> list[bytes]:
    names = sorted(os.listdir(_NAMESPACES))  # noqa: PTH208 - as above
    return [os.fsencode(os.readlink(f"{_NAMESPACES}/{name}")) for name in names]  # noqa: PTH115
