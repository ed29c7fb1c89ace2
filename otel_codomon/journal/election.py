"""Which one process ships the journal: the one that holds a record lock on a file in it.

A `lockf` lock is not inherited by a forked child, which a `flock` would be,
silently. But it goes when its process closes *any* descriptor of the file:
here the file is opened once in a process and stays open.

Imports next to nothing, as `segments`.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys

from otel_codomon.journal import folder as folders

LOCK_FILE = "sender.lock"

# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")
_CAN_ASK = sys.platform.startswith("linux") and sys.maxsize > 2**32

_descriptors: dict[str, int] = {}
_holder: dict[str, int] = {}


def stand(folder: str) -> bool:
    """Become the process that ships *folder*, if nobody else is; whether we are.

    Two candidates in one process both win: they must agree among themselves.

    Raises:
        OSError: The folder cannot be used.
    """
    descriptor = _descriptor(folder)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, by POSIX: it is held
        return False
    _holder[folder] = os.getpid()
    return True


def step_down(folder: str) -> None:
    """Let others ship *folder*."""
    if _holder.pop(folder, None) == os.getpid():
        fcntl.lockf(_descriptors[folder], fcntl.LOCK_UN)


def is_ours(folder: str) -> bool:
    """Whether this process ships *folder*."""
    return _holder.get(folder) == os.getpid()


def holder_pid(folder: str) -> int | None:
    """Process that ships *folder* now; None when nobody does.

    0 for one whose id cannot be told, such as one in another PID namespace.

    Raises:
        OSError: The folder cannot be used.
    """
    if is_ours(folder):
        return os.getpid()
    descriptor = _descriptor(folder)
    if not _CAN_ASK:
        if not stand(folder):
            return 0
        step_down(folder)
        return None
    question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
    return None if answer[0] == fcntl.F_UNLCK else max(0, answer[4])


def _descriptor(folder: str) -> int:
    """The one descriptor of the lock file; another one when the file was removed."""
    descriptor = _descriptors.get(folder)
    if descriptor is not None and os.fstat(descriptor).st_nlink:
        return descriptor
    folder_fd = folders.open_folder(folder)
    try:
        fresh = folders.open_file(folder_fd, LOCK_FILE, os.O_RDWR | os.O_CREAT)
    finally:
        os.close(folder_fd)
    if descriptor is not None:
        os.close(descriptor)
        _holder.pop(folder, None)
    _descriptors[folder] = fresh
    return fresh
