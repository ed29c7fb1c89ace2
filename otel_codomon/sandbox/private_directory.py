"""A directory of an execution's own: made for it, and removed whatever became of it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.logs import get_logger
from otel_codomon._platform.quantities import in_words
from otel_codomon.sandbox.removal import DIRECTORY_FLAGS, Removal, identity, why
from otel_codomon.sandbox.toolchains import refused_by_the_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = get_logger(__name__)

# For all of a removal. On one core 3,000 levels take 0.1 s, and 50,000 files 0.4 s.
REMOVAL_SECONDS: Final = 10.0
_WAY_OUT: Final = "set TMPDIR to a directory that can be written to"
# Windows can open no directory, and remove nothing relative to one.
_BY_DESCRIPTOR: Final = {os.open, os.rmdir, os.unlink} <= os.supports_dir_fd


class PrivateDirectory:
    """A directory of ours, known by what it is and not by where it is.

    Attributes:
        path: Where it was made, without links.

    Raises:
        UnavailableError: It cannot be made.
    """

    def __init__(self) -> None:
        with refused_by_the_kernel("make a private directory", _WAY_OUT):
            self.path = os.path.realpath(tempfile.mkdtemp(prefix="otel-codomon-"))
            self._fd = os.open(self.path, DIRECTORY_FLAGS) if _BY_DESCRIPTOR else -1
            self._identity = identity(self._fd) if _BY_DESCRIPTOR else (0, 0)

    def remove(self) -> str | None:
        """Remove it with everything in it, within `REMOVAL_SECONDS`.

        An exception that interrupts this, such as a signal handler's, is raised
        once the removal is over.

        Returns:
            What remains and why, for people, which is logged too; None when
            nothing remains.
        """
        until = time.monotonic() + REMOVAL_SECONDS
        interruption: BaseException | None = None
        while True:
            try:
                left = self._remove(until)
                break
            except BaseException as error:  # noqa: BLE001 - raised below
                interruption = error
                if time.monotonic() >= until:
                    left = f"{self.path}: interrupted by {type(error).__name__}"
                    break
        if left is not None:
            _log.warning("a private directory was not removed: %s", left)
        if interruption is not None:
            raise interruption
        return left

    def _remove(self, until: float) -> str | None:
        if not _BY_DESCRIPTOR:
            shutil.rmtree(self.path, ignore_errors=True)
            return f"{self.path}: it is in use" if os.path.lexists(self.path) else None
        try:
            with self._opened() as fd:
                removal = Removal(fd, until=until)
                removal.run()
                if not removal.failures:
                    self._remove_itself(fd)
        except OSError as error:
            if error.errno is None:
                raise
            return f"{self.path}: {why(error)}"
        if removal.failures:
            entries = in_words(removal.failures, "entry", "entries")
            return f"{self.path}: {entries} left, such as {removal.first}"
        self._close()
        return None

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor of it: from ours, or by its path where the program has closed ours."""
        fd = os.dup(self._fd) if self._is_ours(self._fd) else os.open(self.path, DIRECTORY_FLAGS)
        try:
            if not self._is_ours(fd):
                raise OSError(errno.ENOENT, "another directory is in its place")
            yield fd
        finally:
            os.close(fd)

    def _is_ours(self, fd: int) -> bool:
        with suppress(OSError):  # it is closed
            return identity(fd) == self._identity
        return False

    def _remove_itself(self, fd: int) -> None:
        """Remove it, now empty, where it was made or where the command has moved it to."""
        with suppress(FileNotFoundError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == self._identity:
                os.rmdir(self.path)
                return
        os.rmdir(os.readlink(f"/proc/self/fd/{fd}"))

    def _close(self) -> None:
        if self._is_ours(self._fd):
            os.close(self._fd)
