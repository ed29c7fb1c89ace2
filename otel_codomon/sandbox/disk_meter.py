"""Blocks allocated by a tree: in some directories, in its tmpfs, in deleted files."""

from __future__ import annotations

import os
import time

from otel_codomon.sandbox.counting import COUNTING_SECONDS, TooManyFilesError
from otel_codomon.sandbox.held_files import BLOCK_BYTES, HeldFiles
from otel_codomon.sandbox.private_tmpfs import PrivateTmpfs
from otel_codomon.sandbox.tree import descendants

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# A path from an open directory, well below what the kernel takes at once (4096).
_PATH_CHARACTERS = 1024
# So many files are told apart, so that one with two names counts once.
_MAX_TOLD_APART = 500_000
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class DiskMeter:
    """Measures how much disk everything below this process has taken since the start."""

    def __init__(self, places: Sequence[str], limit_bytes: int) -> None:
        """Count what is there at the start.

        Args:
            places: The directories that it may write to. Other file systems
                that are mounted in them do not count.
            limit_bytes: What may be added.

        Raises:
            TooManyFilesError: They hold too many files.
        """
        # Kept open: where they are moved to they still count.
        self._tops = [top for place in _apart(places) if (top := _open(place)) is not None]
        self._limit_bytes = limit_bytes
        self._tmpfs = PrivateTmpfs()
        count = _Count(until=time.monotonic() + COUNTING_SECONDS)
        for top in self._tops:
            count.add_below(top)
        self._start_bytes = count.found_bytes

    def seen(self) -> int:
        """What was added, bytes; a lower bound where that is beyond the limit."""
        pids = descendants()
        self._tmpfs.find(pids)
        count = _Count(enough_bytes=self._start_bytes + self._limit_bytes)
        count.found_bytes = self._tmpfs.used_bytes()
        for top in self._tops:
            count.add_below(top)
        for (device, inode), size in HeldFiles(pids).deleted.items():
            if device in count.devices:
                count.add(inode, size)
        return count.found_bytes - self._start_bytes


class _Count:
    """One count of everything below some directories.

    Attributes:
        found_bytes: What was found so far.
        devices: The file systems that were counted on.
    """

    def __init__(self, *, until: float | None = None, enough_bytes: int | None = None) -> None:
        self.found_bytes = 0
        self.devices: set[int] = set()
        self._inodes: set[int] = set()
        self._until = until
        self._enough_bytes = enough_bytes

    def add_below(self, top: _Opened) -> None:
        """Count everything in *top*, on the same file system.

        Raises:
            TooManyFilesError: The time is over.
        """
        self.devices.add(device := os.fstat(top.fd).st_dev)
        waiting = [(top, ".")]
        while waiting and not self._is_enough():
            base, path = waiting.pop()
            try:
                folder = _Opened(path, base)
                inner = self._add_entries(folder, device)
            except OSError:  # removed, or closed to us
                continue
            is_far = len(path) > _PATH_CHARACTERS
            waiting += [(folder, n) if is_far else (base, f"{path}/{n}") for n in inner]

    def _is_enough(self) -> bool:
        if self._until is not None and time.monotonic() >= self._until:
            raise TooManyFilesError
        return self._enough_bytes is not None and self.found_bytes > self._enough_bytes

    def _add_entries(self, folder: _Opened, device: int) -> list[str]:
        """Count what is directly in *folder*, and list its directories."""
        inner = []
        with os.scandir(folder.fd) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:  # removed in this instant
                    continue
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and found.st_dev == device:
                    inner.append(entry.name)
                if not is_folder or found.st_dev == device:
                    self.add(found.st_ino, found.st_blocks * BLOCK_BYTES)
        return inner

    def add(self, inode: int, size_bytes: int) -> None:
        """Count one file, once."""
        if inode in self._inodes:
            return
        if len(self._inodes) < _MAX_TOLD_APART:
            self._inodes.add(inode)
        self.found_bytes += size_bytes


class _Opened:
    """An open directory; closed when nothing refers to it any more."""

    __slots__ = ("fd",)

    def __init__(self, path: str, base: _Opened | None = None) -> None:
        self.fd = -1
        self.fd = os.open(path, _FLAGS, dir_fd=None if base is None else base.fd)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def _open(place: str) -> _Opened | None:
    try:
        return _Opened(place)
    except OSError:  # closed to us
        return None


def _apart(places: Iterable[str]) -> list[str]:
    """*places* without those that lie in another of them."""
    found: list[str] = []
    for place in sorted({os.path.realpath(place) for place in places}):
        if not any(f"{place}/".startswith(f"{outer.rstrip('/')}/") for outer in found):
            found.append(place)
    return found
