"""Which one process has a job: the one that holds a record lock on a file of that name.

A `lockf` lock is not inherited by a forked child, which a `flock` would be,
silently. But it goes when its process closes *any* descriptor of the file,
and other code may: so what is opened here stays open, and a process that has
the job asks for the lock again at each step.

Imports next to nothing, as `private_folder`.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys

from otel_codomon._platform.private_folder import find_folder, open_file, open_folder
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    Kept = dict[str, VerifiedDescriptor]

# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")
_CAN_ASK = sys.platform.startswith("linux") and sys.maxsize > 2**32


class LeaderLock:
    """One job, which in each folder at most one process has. Make one for each lock file.

    Args:
        lock_file: Name of the file in the folder. Nothing else in this process
            may open it.
    """

    def __init__(self, lock_file: str) -> None:
        self.lock_file = lock_file
        self._held: Kept = {}
        self._queried: Kept = {}
        self._users: dict[str, int] = {}
        self._holder: dict[str, int] = {}

    def try_acquire(self, folder: str) -> bool:
        """Become the process that has the job in *folder*, if nobody else has; whether we are.

        Two candidates in one process both win: they must agree among themselves.

        Raises:
            OSError: The folder cannot be used.
        """
        kept = self._lock_descriptor(folder)
        try:
            fcntl.lockf(kept.checked(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, by POSIX: it is held
            self._holder.pop(folder, None)
            return False
        self._holder[folder] = os.getpid()
        return True

    def release(self, folder: str) -> None:
        """Let others have the job in *folder*."""
        kept = self._held.get(folder)
        if self._holder.pop(folder, None) == os.getpid() and kept is not None and kept.is_ours:
            fcntl.lockf(kept.number, fcntl.LOCK_UN)

    def is_ours(self, folder: str) -> bool:
        """Whether this process has the job in *folder*."""
        kept = self._held.get(folder)
        return self._holder.get(folder) == os.getpid() and kept is not None and kept.is_ours

    def holder_pid(self, folder: str) -> int | None:
        """Process that has the job in *folder* now; None when nobody does.

        0 for one whose id cannot be told, such as one in another PID namespace.
        Nothing is made or changed to find out.

        Raises:
            OSError: The folder cannot be used.
        """
        if self.is_ours(folder):
            return os.getpid()
        kept = self._query_descriptor(folder)
        if kept is None:
            return None
        if not _CAN_ASK:
            if not self.try_acquire(folder):
                return 0
            self.release(folder)
            return None
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = _FLOCK.unpack(fcntl.fcntl(kept.checked(), fcntl.F_GETLK, question))
        return None if answer[0] == fcntl.F_UNLCK else max(0, answer[4])

    def _lock_descriptor(self, folder: str) -> VerifiedDescriptor:
        """The descriptor that is locked; another one when the file is not there any more.

        Nor may it be kept by a process that has become another user: it could
        not do the job, and others could not have it.
        """
        kept = self._still_there(self._held, folder)
        if kept is not None and self._users.get(folder) == os.geteuid():
            return kept
        self._holder.pop(folder, None)
        lost = self._held.pop(folder, None)
        if lost is not None:
            lost.close()
        folder_fd = open_folder(folder)
        try:
            number = open_file(folder_fd, self.lock_file, os.O_RDWR | os.O_CREAT)
        finally:
            os.close(folder_fd)
        fresh = self._held[folder] = VerifiedDescriptor(number)
        self._users[folder] = os.geteuid()
        return fresh

    def _query_descriptor(self, folder: str) -> VerifiedDescriptor | None:
        """A descriptor that can be asked who holds the lock; None where there is no file.

        Not the one that is locked, and never closed: to close it would let go
        of a lock that another thread has taken since.
        """
        kept = self._still_there(self._queried, folder)
        if kept is not None:
            return kept
        folder_fd = find_folder(folder)
        if folder_fd is None:
            return None
        try:
            number = open_file(folder_fd, self.lock_file, os.O_RDONLY)
        except FileNotFoundError:
            return None
        finally:
            os.close(folder_fd)
        before, fresh = self._queried.get(folder), VerifiedDescriptor(number)
        self._queried[folder] = fresh
        if before is not None and not before.is_same(fresh):
            before.close()
        return fresh

    def _still_there(self, kept: Kept, folder: str) -> VerifiedDescriptor | None:
        """What is kept for *folder*, if its file is still the one of that name."""
        found = kept.get(folder)
        is_there = (
            found is not None
            and found.is_ours
            and found.is_at(os.path.join(folder, self.lock_file))
        )
        return found if is_there else None
