"""Empty a directory that untrusted code has filled.

It may be thousands of levels deep, hold directories without permissions, links
to anywhere, mounts and names of any bytes, and change while it is emptied. So
nothing here recurses, follows a link or trusts a path: each step is one name
relative to an open directory, and however deep it goes, only a few are open at
a time. The way back up is ``..``, once it has proved to be the directory that
we came from.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.scrubbed_values import scrubbed_name

if TYPE_CHECKING:
    from collections.abc import Callable

    Identity = tuple[int, int]

DIRECTORY_FLAGS: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
# Other processes may move directories while we are in them, but not forever.
_RESTARTS: Final = 100
_FOUND: Final = {
    errno.EBUSY: "something is mounted on it",
    errno.EXDEV: "it is on another file system",
    errno.EPERM: "it is immutable, or another user's",
}


class Removal:
    """One attempt to empty a directory.

    Attributes:
        failures: How many entries remain, not counting those within them.
        first: The first of them and why it remains, for people; empty without one.
    """

    def __init__(self, root: int, *, until: float) -> None:
        """Prepare to empty the directory that *root* is open on.

        Args:
            root: Its descriptor; stays open.
            until: `time.monotonic` at which to give up.
        """
        self._root = root
        self._until = until
        self._fd = -1
        self._levels: list[_Level] = []
        self.failures = 0
        self.first = ""

    def run(self) -> None:
        """Remove everything in it that can be removed; raises nothing of the file system's."""
        for _ in range(_RESTARTS):
            self.failures = 0
            try:
                self._walk()
            except _MovedError:
                continue
            except OSError as error:  # out of time, or of descriptors
                self._fail(self._levels[-1].name if self._levels else ".", error)
            finally:
                self._go(-1)
            return
        self._fail(".", OSError(errno.EAGAIN, "it keeps changing"))

    def _walk(self) -> None:
        self._levels = [_Level(".", identity(self._root))]
        self._go(os.dup(self._root))
        self._clear()
        while self._levels[-1].directories or len(self._levels) > 1:
            if self._levels[-1].directories:
                self._descend(self._levels[-1].directories.pop())
            else:
                self._ascend()

    def _go(self, fd: int) -> None:
        """Be in the directory that *fd* is open on."""
        self._fd, left = fd, self._fd
        if left >= 0:
            os.close(left)

    def _clear(self) -> None:
        """Unlink what is no directory in the one we are in, and note the rest."""
        level = self._levels[-1]
        allow(self._fd)
        with os.scandir(self._fd) as entries:
            for entry in entries:
                self._check_time()
                if entry.is_dir(follow_symlinks=False):
                    level.directories.append(entry.name)
                elif self._attempt(entry.name, os.unlink) == errno.EISDIR:
                    level.directories.append(entry.name)  # swapped since it was listed

    def _descend(self, name: str) -> None:
        """Remove the directory *name* if it is empty, else be in it."""
        self._check_time()
        # Also what tells a mount from a directory: the kernel refuses the first
        # with EBUSY, whatever is in it, so that a bind mount is never entered.
        found = self._attempt(name, os.rmdir)
        if found == errno.ENOTDIR:
            self._attempt(name, os.unlink)  # swapped since it was listed
        if found != errno.ENOTEMPTY:
            return
        try:
            child = self._enter(name)
        except OSError as error:
            self._fail(name, error)
            return
        self._go(child)
        self._levels.append(_Level(name, identity(child)))
        self._clear()

    def _enter(self, name: str) -> int:
        try:
            child = os.open(name, DIRECTORY_FLAGS, dir_fd=self._fd)
        except PermissionError:
            _allow_at(name, self._fd)
            child = os.open(name, DIRECTORY_FLAGS, dir_fd=self._fd)
        if os.fstat(child).st_dev == self._levels[0].identity[0]:
            return child
        os.close(child)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def _ascend(self) -> None:
        """Leave the directory we are in, and remove it."""
        done = self._levels.pop()
        try:
            parent = os.open("..", DIRECTORY_FLAGS, dir_fd=self._fd)
        except (PermissionError, FileNotFoundError):
            raise _MovedError from None
        self._go(parent)
        if identity(parent) != self._levels[-1].identity:
            raise _MovedError
        if done.has_failed:
            self._levels[-1].has_failed = True
        elif self._attempt(done.name, os.rmdir) == errno.ENOTEMPTY:
            self._levels[-1].directories.append(done.name)  # it was filled again

    def _attempt(self, name: str, remove: Callable[..., None]) -> int:
        """Remove one entry; what it turns out to be if it is not as expected, else 0."""
        try:
            remove(name, dir_fd=self._fd)
        except FileNotFoundError:
            return 0
        except OSError as error:
            number = errno.ENOTEMPTY if error.errno == errno.EEXIST else error.errno or 0
            if number not in (errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR):
                self._fail(name, error)
            return number
        return 0

    def _fail(self, name: str, error: OSError) -> None:
        self.failures += 1
        self.first = self.first or f"{scrubbed_name(name, default='?')!r}: {why(error)}"
        if self._levels:
            self._levels[-1].has_failed = True

    def _check_time(self) -> None:
        if time.monotonic() >= self._until:
            raise OSError(errno.ETIME, "there was not enough time")


class _Level:
    """A directory on the way down.

    Attributes:
        name: Its name in the one above.
        identity: What it is.
        directories: Names of directories in it that are still to be removed.
        has_failed: Whether something in it cannot be removed.
    """

    __slots__ = ("directories", "has_failed", "identity", "name")

    def __init__(self, name: str, found: Identity) -> None:
        self.name = name
        self.identity = found
        self.directories: list[str] = []
        self.has_failed = False


class _MovedError(Exception):
    """A directory is not where it was entered: begin again at the top."""


def identity(fd: int) -> Identity:
    """What *fd* is open on: device and inode."""
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def why(error: OSError) -> str:
    """Why something remains, for people."""
    return _FOUND.get(error.errno or 0) or (error.strerror or type(error).__name__).lower()


def allow(fd: int) -> None:
    """Let the owner into the directory that *fd* is open on."""
    if os.fstat(fd).st_mode & stat.S_IRWXU != stat.S_IRWXU:
        try:
            os.fchmod(fd, stat.S_IRWXU)
        except OSError:  # another user's: what is in it says so when it stays
            return


def _allow_at(name: str, parent: int) -> None:
    """Let the owner into the directory *name*, which may not be read, but never through a link."""
    if not hasattr(os, "O_PATH"):  # macOS
        os.chmod(name, stat.S_IRWXU, dir_fd=parent, follow_symlinks=False)
        return
    place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{place}", stat.S_IRWXU)  # fchmod refuses such a descriptor
    finally:
        os.close(place)
