"""Memory of a tree where no cgroup counts it: what is resident, and what is hidden.

A process need not map memory to hold it: it may be in a memfd that it has open,
or in a tmpfs that only the tree can see.
"""

from __future__ import annotations

import os

from otel_codomon._platform.proc_stat import PAGE_BYTES, read_stat
from otel_codomon.sandbox.counting import UnreadError
from otel_codomon.sandbox.held_files import HeldFiles
from otel_codomon.sandbox.private_tmpfs import PrivateTmpfs
from otel_codomon.sandbox.tree import descendants, read_file

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    from collections.abc import Iterable

_IN_NO_FILE = (b"RssAnon", b"RssShmem")  # of ``/proc/<pid>/status``, proc(5)


class MemoryMeter:
    """Measures the memory of everything below this process."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._tmpfs = PrivateTmpfs()
        self._memfds: set[tuple[int, int]] = set()

    def seen(self) -> int:
        """Memory in use, bytes; an upper bound where that is below the limit.

        The sum of resident sets counts shared pages of forked workers many
        times over. What decides is the exact figure, which costs far more.

        Raises:
            UnreadError: A process lets nobody of its own user see its memory.
        """
        pids = descendants()
        self._tmpfs.find(pids)
        held = HeldFiles(pids).memfds
        self._memfds = set(held)
        hidden = sum(held.values()) + self._tmpfs.used_bytes()
        pages = sum(stat.rss_pages for pid in pids if (stat := read_stat(pid)) is not None)
        roughly = pages * PAGE_BYTES + hidden
        return roughly if roughly <= self._limit_bytes else hidden + self._mapped_bytes(pids)

    def _mapped_bytes(self, pids: Iterable[int]) -> int:
        """Mapped memory with each shared page divided among its users (PSS), bytes.

        Without what is in memfds and tmpfs, which is counted whole.
        """
        is_plain = not self._memfds and not self._tmpfs.devices
        file, count = ("smaps_rollup", _pss) if is_plain else ("smaps", self._pss_apart)
        maps = {pid: _read(f"/proc/{pid}/{file}") for pid in pids}
        found = sum(count(text) for text in maps.values() if text is not None)
        closed = [pid for pid, text in maps.items() if text is None]
        if closed:
            raise UnreadError(
                f"{len(closed)} of its processes hide their memory",
                # Any of them may share what it has, but only with the others.
                at_least=found + max(map(_own_bytes, closed)),
            )
        return found

    def _pss_apart(self, smaps: bytes) -> int:
        found, counts = 0, True
        for line in smaps.splitlines():
            words = line.split(None, 5)
            if words[0].endswith(b":"):
                found += int(words[1]) * 1024 if counts and words[0] == b"Pss:" else 0
            else:  # addresses, permissions, offset, device, inode, path
                major, _, minor = words[3].partition(b":")
                device = os.makedev(int(major, 16), int(minor, 16))
                is_memfd = (device, int(words[4])) in self._memfds
                counts = not is_memfd and device not in self._tmpfs.devices
        return found


def _read(path: str) -> bytes | None:
    """A file of the kernel about a process; empty when that is gone.

    None where it is closed to us: see ``PR_SET_DUMPABLE`` of prctl(2).
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs 5 ms
            return file.read()
    except PermissionError:
        return None
    except (FileNotFoundError, ProcessLookupError):  # it ended in this instant
        return b""


def _own_bytes(pid: int) -> int:
    """Resident memory of process *pid* that is in no file, bytes: anybody may read that."""
    fields = (line.partition(b":") for line in read_file(f"/proc/{pid}/status").splitlines())
    return sum(int(v.split()[0]) * 1024 for key, _, v in fields if key in _IN_NO_FILE)


def _pss(smaps_rollup: bytes) -> int:
    return sum(
        int(line.split()[1]) * 1024
        for line in smaps_rollup.splitlines()
        if line.startswith(b"Pss:")
    )
