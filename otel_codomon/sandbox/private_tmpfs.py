"""The tmpfs that only the processes of a tree can see: memory, and room for files."""

from __future__ import annotations

import os

from otel_codomon.sandbox.tree import read_file

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class PrivateTmpfs:
    """Finds them by the mount namespaces of the processes, and counts what is in them.

    Attributes:
        devices: The file systems that were found.
    """

    def __init__(self) -> None:
        self._own_namespace = _namespace_of(os.getpid())
        self._known = {device for device, _ in _tmpfs_in(read_file("/proc/self/mountinfo"))}
        self._opened: dict[str, dict[int, int]] = {}  # namespace -> device -> descriptor
        self._mounts: dict[str, bytes] = {}  # namespace -> what was mounted when it was read

    def find(self, pids: Iterable[int]) -> None:
        """Look for namespaces that have come and gone."""
        seen: dict[str, int] = {}
        for pid in pids:
            namespace = _namespace_of(pid)
            if namespace not in ("", self._own_namespace):
                seen[namespace] = pid
        for namespace in self._opened.keys() - seen.keys():
            # An open descriptor would keep alive what went with the namespace.
            self._close(self._opened.pop(namespace))
            del self._mounts[namespace]
        for namespace, pid in seen.items():
            mounts = read_file(f"/proc/{pid}/mountinfo")
            if mounts != self._mounts.get(namespace):  # bubblewrap mounts one after another
                self._mounts[namespace] = mounts
                self._close(self._opened.pop(namespace, {}))
                self._opened[namespace] = self._open(pid, mounts)

    @property
    def devices(self) -> set[int]:
        """Numbers of the file systems that were found."""
        return {device for opened in self._opened.values() for device in opened}

    def used_bytes(self) -> int:
        """What is in them, bytes; each counts once."""
        once = {d: fd for opened in self._opened.values() for d, fd in opened.items()}
        used = map(os.fstatvfs, once.values())
        return sum((fs.f_blocks - fs.f_bfree) * fs.f_frsize for fs in used)

    def _open(self, pid: int, mounts: bytes) -> dict[int, int]:
        found: dict[int, int] = {}
        for device, point in _tmpfs_in(mounts):
            if device in self._known or device in found:
                continue
            try:
                fd = os.open(f"/proc/{pid}/root{point}", os.O_PATH | os.O_DIRECTORY)
            except OSError:  # a file, or closed to us
                continue
            if os.fstat(fd).st_dev == device:
                found[device] = fd
            else:  # something else is mounted over it
                os.close(fd)
        return found

    @staticmethod
    def _close(opened: dict[int, int]) -> None:
        for descriptor in opened.values():
            os.close(descriptor)


def _namespace_of(pid: int) -> str:
    """Identifies the mount namespace of *pid*; empty when it is not for us to know."""
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")  # noqa: PTH115 - pathlib costs 5 ms
    except OSError:
        return ""


def _tmpfs_in(mounts: bytes) -> Iterator[tuple[int, str]]:
    """Device and mount point of each tmpfs in a ``mountinfo`` (proc(5))."""
    for line in mounts.splitlines():
        left, _, right = line.partition(b" - ")
        if right.startswith(b"tmpfs "):
            words = left.split()
            major, _, minor = words[2].partition(b":")
            point = words[4].decode("utf-8", "surrogateescape")
            yield os.makedev(int(major), int(minor)), _unescaped(point)


def _unescaped(point: str) -> str:
    for written, meant in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(written, meant)
    return point
