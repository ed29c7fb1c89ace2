"""Files without a name that processes hold open: memfds, and files deleted since."""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK_BYTES = 512  # of `st_blocks`, see stat(2)


class HeldFiles:
    """What some processes hold open at one instant.

    A file that is mapped and no longer open, or whose descriptor is under way in a
    socket, is not seen.

    Attributes:
        memfds: Device and inode of each memfd, and its bytes.
        deleted: The same of each regular file on a disk that has no name any more.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self.memfds: dict[tuple[int, int], int] = {}
        self.deleted: dict[tuple[int, int], int] = {}
        for pid in pids:
            for path in _descriptors(pid):
                self._add(path)

    def _add(self, path: str) -> None:
        try:
            found = os.stat(path)  # noqa: PTH116 - pathlib costs 5 ms
            if found.st_nlink or not stat.S_ISREG(found.st_mode):
                return
            is_memfd = os.readlink(path).startswith("/memfd:")  # noqa: PTH115 - as above
        except OSError:  # closed in this instant
            return
        held = self.memfds if is_memfd else self.deleted
        held[found.st_dev, found.st_ino] = found.st_blocks * BLOCK_BYTES


def _descriptors(pid: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    try:
        numbers = os.listdir(folder)  # noqa: PTH208 - as above
    except OSError:  # it has ended, or is closed to us
        return
    for number in numbers:
        yield f"{folder}/{number}"
