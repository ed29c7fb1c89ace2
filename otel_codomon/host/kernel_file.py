"""A kernel file that is opened once and read again and again."""

from __future__ import annotations

import os

from otel_codomon._platform.verified_descriptor import VerifiedDescriptor

_CHUNK_BYTES = 32768


class KernelFile:
    """One file of the kernel, kept open: a read then costs half of what opening it each time does.

    A descriptor of ``/proc/self/…`` goes on looking at the process that opened
    it. So a file that another process reads, after a fork, is opened again, as
    is one whose descriptor other code has closed. Not for two threads at the
    same time.

    Args:
        path: Of the file; it is opened when first read.
    """

    __slots__ = ("_kept", "_pid", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._kept: VerifiedDescriptor | None = None
        self._pid = 0

    def read(self) -> bytes:
        """What the file says now; empty where it is not there or may not be read."""
        try:
            return self._read_all()
        except OSError:
            self.close()  # opened again next time: what it was bound to may be gone
            return b""

    def _read_all(self) -> bytes:
        descriptor = self._opened()
        chunks = []
        # The kernel hands out tables a page at a time: only an empty read is the end.
        position = 0
        while chunk := os.pread(descriptor, _CHUNK_BYTES, position):
            chunks.append(chunk)
            position += len(chunk)
        return b"".join(chunks)

    def _opened(self) -> int:
        pid = os.getpid()
        if self._kept is None or self._pid != pid or not self._kept.is_ours:
            self.close()
            self._kept = VerifiedDescriptor(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC))
            self._pid = pid
        return self._kept.number

    def close(self) -> None:
        """Give the descriptor back; reading opens the file again."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()
