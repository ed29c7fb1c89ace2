"""Descriptors that are kept over time: verified before each use.

A number that was opened a while ago may belong to another file by now: code
that makes a daemon of its process closes every descriptor, some code closes a
number twice or puts another file in its place with `os.dup2`, and the
program's next file gets the number. So whatever we keep is kept as a
`VerifiedDescriptor`, and nothing else writes to, reads from or closes such a
number.

Between the check and the use another thread could still close the number: the
kernel has no call that does both. That instant is all that remains.

Imports next to nothing, as `private_folder`.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    Identity = tuple[int, int]

_CLOSED = -1


class VerifiedDescriptor:
    """One descriptor, and which file it was when it was opened.

    Files, directories, pipes, sockets, memfds and the files of ``/proc`` and of
    cgroups each have an inode of their own. Not for epoll, eventfd, timerfd and
    inotify, which share one, as do pidfds before Linux 6.9.

    Args:
        number: The descriptor; nothing else closes it without asking `is_ours`.

    Attributes:
        number: The same; only to be used right after `status` or `checked`.
    """

    __slots__ = ("_identity", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self._identity = identity_of(os.fstat(number))

    def status(self) -> os.stat_result | None:
        """What `os.fstat` says of the file; None where the number is not its any more."""
        try:
            found = os.fstat(self.number)
        except OSError:  # EBADF: closed by other code, or by `close`
            return None
        return found if (found.st_dev, found.st_ino) == self._identity else None

    @property
    def is_ours(self) -> bool:
        """Whether the number still belongs to the file."""
        return self.status() is not None

    def checked(self) -> int:
        """The number, verified now.

        Raises:
            OSError: It is closed, or belongs to another file.
        """
        if self.status() is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self.number

    def is_same(self, other: VerifiedDescriptor) -> bool:
        """Whether both were opened for the same file."""
        return self._identity == other._identity

    def is_at(self, path: str) -> bool:
        """Whether *path* leads to the file: not where it was removed, renamed or unmounted."""
        try:
            return identity_of(os.stat(path)) == self._identity  # noqa: PTH116 - pathlib takes 10 ms
        except OSError:
            return False

    def close(self) -> None:
        """Close it, unless the number belongs to another file by now."""
        is_ours = self.is_ours
        number, self.number = self.number, _CLOSED
        if is_ours:
            os.close(number)


def identity_of(status: os.stat_result) -> Identity:
    """What no two files have in common as long as either is open: device and inode."""
    return status.st_dev, status.st_ino
