"""Which one process has a job: the one that holds a record lock on a file of that name.

A `lockf` lock is not inherited by a forked child, which a `flock` would be,
silently. But it goes when its process closes *any* descriptor of the file:
here the file is opened once in a process and stays open.

Imports next to nothing, as `private_folder`.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys

from otel_codomon.private_folder import open_file, open_folder

# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")
_CAN_ASK = sys.platform.startswith("linux") and sys.maxsize > 2**32


class Election:
    """One job, which in each folder at most one process has. Make one for each lock file.

    Args:
        lock_file: Name of the file in the folder. Its descriptor must be the
            only one in this process.
    """

    def __init__(self, lock_file: str) -> None:
        self.lock_file = lock_file
        self._descriptors: dict[str, int] = {}
        self._holder: dict[str, int] = {}

    def stand(self, folder: str) -> bool:
        """Become the process that has the job in *folder*, if nobody else has; whether we are.

        Two candidates in one process both win: they must agree among themselves.

        Raises:
            OSError: The folder cannot be used.
        """
        descriptor = self._descriptor(folder)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, by POSIX: it is held
            return False
        self._holder[folder] = os.getpid()
        return True

    def step_down(self, folder: str) -> None:
        """Let others have the job in *folder*."""
        if self._holder.pop(folder, None) == os.getpid():
            fcntl.lockf(self._descriptors[folder], fcntl.LOCK_UN)

    def is_ours(self, folder: str) -> bool:
        """Whether this process has the job in *folder*."""
        return self._holder.get(folder) == os.getpid()

    def holder_pid(self, folder: str) -> int | None:
        """Process that has the job in *folder* now; None when nobody does.

        0 for one whose id cannot be told, such as one in another PID namespace.

        Raises:
            OSError: The folder cannot be used.
        """
        if self.is_ours(folder):
            return os.getpid()
        descriptor = self._descriptor(folder)
        if not _CAN_ASK:
            if not self.stand(folder):
                return 0
            self.step_down(folder)
            return None
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
        return None if answer[0] == fcntl.F_UNLCK else max(0, answer[4])

    def _descriptor(self, folder: str) -> int:
        """The one descriptor of the lock file; another one when the file was removed."""
        descriptor = self._descriptors.get(folder)
        if descriptor is not None and os.fstat(descriptor).st_nlink:
            return descriptor
        folder_fd = open_folder(folder)
        try:
            fresh = open_file(folder_fd, self.lock_file, os.O_RDWR | os.O_CREAT)
        finally:
            os.close(folder_fd)
        if descriptor is not None:
            os.close(descriptor)
            self._holder.pop(folder, None)
        self._descriptors[folder] = fresh
        return fresh
