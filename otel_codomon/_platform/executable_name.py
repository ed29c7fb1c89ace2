"""The name of the file that a process runs, which is not the name it was called by.

Imports only what the interpreter has loaded: `otel-codomon run` comes by here.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as in typing, which takes 5 ms to import
if TYPE_CHECKING:
    from collections.abc import Iterable

_FIRST_LINE_BYTES = 256  # all that the kernel reads of a script, execve(2)
_MOST_INTERPRETERS = 5  # an interpreter may be a script in turn; execve(2)
_ELF = b"\x7fELF"
_DELETED = " (deleted)"  # what the kernel adds to the name of a file that is gone, proc(5)


def executable_name(pid: int | None, paths: Iterable[str] = ()) -> str | None:
    """Base name of the file that a process runs, as ``process.executable.name`` has it.

    Args:
        pid: The process, whose ``/proc/<pid>/exe`` is read; None where it is not
            the command itself, or was never started.
        paths: Where its program may be, for a process that has ended before it
            could be read: the first that may be executed is what the kernel started.

    Returns:
        The name; None where neither says it.
    """
    return _running(pid) or next(filter(None, map(_of_file, paths)), None)


def _running(pid: int | None) -> str | None:
    if pid is None:
        return None
    try:
        target = os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115 - a command waits for it
    except OSError:  # it has ended, is not ours to read, or there is no /proc
        return None
    return os.path.basename(target.removesuffix(_DELETED)) or None  # noqa: PTH119 - as above


def _of_file(path: str) -> str | None:
    """What ``/proc/<pid>/exe`` says once *path* is started: of a script its interpreter."""
    for _ in range(_MOST_INTERPRETERS):
        path = os.path.realpath(path)
        line = _first_line(path)
        if line.startswith(_ELF):
            return os.path.basename(path)  # noqa: PTH119 - as above
        if not line.startswith(b"#!"):
            return None
        path = os.fsdecode((line[2:].split() or [b""])[0])
    return None


def _first_line(path: str) -> bytes:
    """The first line of a file that may be executed; empty of any other, and where it is secret."""
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):  # noqa: PTH113 - as above
        return b""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:  # what may be executed need not be readable
        return b""
    try:
        return os.read(descriptor, _FIRST_LINE_BYTES).partition(b"\n")[0]
    except OSError:  # of a file system that is failing
        return b""
    finally:
        os.close(descriptor)
