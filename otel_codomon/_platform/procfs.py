"""One process, read from its files in ``/proc`` (proc(5)).

A file that is kept open is bound to the process and not to its number: once
the process is gone reads fail, even if the number is in use again. How many
are kept open is bounded by a share of the descriptors this process may have,
since these are the observed program's; beyond, files are opened at each look.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.proc_stat import read_stat
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE: Final = 4096
_MAY_GO_ON: Final = (
    _PAGE - 256
)  # a page that is so full may have ended before a word that did not fit
_MAX_OPEN: Final = 8192
_SHARE_OF_LIMIT: Final = 4  # a quarter of the soft limit is ours at most


class OpenFiles:
    """Files of ``/proc`` that are kept open, up to a bound. May be used from several threads."""

    __slots__ = ("_kept", "_most")

    def __init__(self) -> None:
        self._kept: set[ProcessFile] = set()  # not a count, which two threads could get wrong
        self._most = _most_open()

    def file(self, path: str) -> ProcessFile:
        """The file at *path*, opened when it is first read."""
        return ProcessFile(path, self)

    def keep(self, file: ProcessFile) -> bool:
        """Whether *file* may stay open, until it is given back by `give_back`."""
        if len(self._kept) >= self._most:
            return False
        self._kept.add(file)
        return True

    def give_back(self, file: ProcessFile) -> None:
        """One that was kept is closed."""
        self._kept.discard(file)


class ProcessFile:
    """One file of one process.

    Args:
        path: Of the file.
        files: Who says whether it may be kept open.
    """

    __slots__ = ("_files", "_kept", "_path")

    def __init__(self, path: str, files: OpenFiles) -> None:
        self._path = path
        self._files = files
        self._kept: VerifiedDescriptor | None = None

    def read(self) -> bytes | None:
        """What it says; None if the process is gone, or it is not for us to see."""
        kept = self._kept
        try:
            if kept is None or not kept.is_ours:
                self.close()
                return self._open()
            text = os.pread(kept.number, _PAGE, 0)
            return text if len(text) < _MAY_GO_ON else _whole(kept.number, text)
        except OSError:
            return None

    def _open(self) -> bytes:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        is_kept = False
        try:
            text = _whole(descriptor, os.pread(descriptor, _PAGE, 0))
            is_kept = self._files.keep(self)
        finally:
            if not is_kept:
                os.close(descriptor)
        if is_kept:
            self._kept = VerifiedDescriptor(descriptor)
        return text

    def close(self) -> None:
        """Close it; reading opens it again."""
        kept, self._kept = self._kept, None
        if kept is not None:
            self._files.give_back(self)
            kept.close()


def _whole(descriptor: int, text: bytes) -> bytes:
    """*text* with what follows: the kernel hands out lists by the page, and ends none in a word."""
    chunk = text
    while len(chunk) >= _MAY_GO_ON:
        chunk = os.pread(descriptor, _PAGE, len(text))
        text += chunk
    return text


def read_once(path: str) -> bytes | None:
    """What a file says that is not kept open; None as in `ProcessFile`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _whole(descriptor, os.pread(descriptor, _PAGE, 0))
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _most_open() -> int:
    try:
        import resource  # noqa: PLC0415 - not on every platform
    except ImportError:
        return 0
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = soft == resource.RLIM_INFINITY
    return _MAX_OPEN if unlimited else min(_MAX_OPEN, soft // _SHARE_OF_LIMIT)


def peak_of(pid: int) -> int | None:
    """High water mark of the resident set of *pid* (``VmHWM``), bytes; None when it has none.

    A zombie has none any more, a thread of the kernel never had one.
    """
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - three times as fast
            text = file.read()
    except OSError:  # gone, hidden, or no such platform
        return None
    at = text.find(b"VmHWM:")
    return None if at < 0 else int(text[at + 6 : text.index(b"kB", at)]) * 1024


def transfers_of(pid: int) -> tuple[int, int] | None:
    """Bytes *pid* fetched from and sent to storage (``/proc/<pid>/io``); None if not for us."""
    try:
        descriptor = os.open(f"/proc/{pid}/io", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # gone, or of another user
        return None
    try:
        text = os.read(descriptor, 1024)
    except OSError:  # as above: some kernels let us open it and not read
        return None
    finally:
        os.close(descriptor)
    return _number_after(b"\nread_bytes: ", text), _number_after(b"\nwrite_bytes: ", text)


def _number_after(key: bytes, text: bytes) -> int:
    at = text.index(key) + len(key)
    return int(text[at : text.index(b"\n", at)])


def read_arguments(pid: int) -> tuple[str, ...]:
    """The command line of *pid* (``/proc/<pid>/cmdline``), its first page; empty if it is gone."""
    text = read_once(f"/proc/{pid}/cmdline") or b""
    return tuple(os.fsdecode(word) for word in text[:_PAGE].split(b"\0"))


def descriptors_of(pid: int) -> int | None:
    """Open file descriptors of *pid*; None if not for us to see."""
    try:
        # Since Linux 6.2 the size of the folder is their number.
        size = os.stat(f"/proc/{pid}/fd").st_size  # noqa: PTH116 - speed
        return size or len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - as above
    except OSError:  # gone, or of another user
        return None


def threads_of(pid: int) -> list[str]:
    """The thread ids of *pid*; empty when it is gone."""
    try:
        return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - as above
    except OSError:
        return []


def ancestors(pid: int) -> Iterator[int]:
    """*pid*, its parent, and so on up."""
    while pid > 0:
        yield pid
        stat = read_stat(pid)
        pid = 0 if stat is None else stat.parent
