"""Reads on in segments, record by record: the one cursor over the journal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.index import MAX_READ_BYTES, is_locked, read_from
from otel_codomon.journal.segments import Record, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon._platform.verified_descriptor import VerifiedDescriptor

_MIN_READ_BYTES: Final = 64 * 1024
"""Read at once, where little is asked for."""

_MAX_RESOURCES: Final = 1000
"""Kept: each process has one of its own."""


class SegmentReader:
    """Follows the segments of a journal.

    Args:
        kept: The journal's folder.

    Attributes:
        has_newer: Whether it came upon a record of a later version, which it leaves.
        takeovers: Where a process began to write last, by segment that one before it had left.
    """

    def __init__(self, kept: VerifiedDescriptor) -> None:
        self.has_newer = False
        self.takeovers: dict[str, int] = {}
        self._kept = kept
        self._resources: dict[bytes, bytes] = {}

    def records(self, name: str, at: int, window: int) -> Iterator[tuple[int, Record | None]]:
        """The records of a segment after *at*, each with the offset after it.

        None stands for a stretch that is damaged. A record that is being written
        is left for the next time; one that its process left torn is damaged. At a
        record of a later version the reading ends.

        Args:
            name: The segment; one that is gone has no records.
            at: Offset to begin at, bytes.
            window: How much to read at once, bytes.
        """
        try:
            descriptor = folders.open_file(self._kept.checked(), name, os.O_RDONLY)
        except OSError:  # evicted since it was listed
            return
        try:
            yield from self._records(name, descriptor, at, max(window, _MIN_READ_BYTES))
        finally:
            os.close(descriptor)

    def _records(
        self, name: str, descriptor: int, at: int, window: int
    ) -> Iterator[tuple[int, Record | None]]:
        while True:
            read = read_from(descriptor, at, window)
            is_end = len(read) < window
            end = 0
            for item in decode(read, is_end=is_end):
                end = item.end
                if not isinstance(item, Record):
                    if self._is_newer(read, item.start):
                        return
                    yield at + end, None
                    continue
                self._note(item, name, at + item.start)
                yield at + end, item
            if is_end:
                if self._is_torn(name, read, end):
                    yield at + len(read), None
                return
            if not end and window < MAX_READ_BYTES:  # one record longer than the window
                window = min(4 * window, MAX_READ_BYTES)
            elif not end:  # no record begins in what is longer than any record
                end = len(read) - segments.MAX_RECORD_BYTES
                yield at + end, None
            at += end

    def _is_torn(self, name: str, read: bytes, end: int) -> bool:
        """Whether what is left after *end* is what a process left when it died."""
        is_left = end < len(read) and not self._is_newer(read, end)
        return is_left and not is_locked(self._kept.checked(), name)

    def _is_newer(self, read: bytes, at: int) -> bool:
        found = segments.is_newer(read, at)
        self.has_newer = self.has_newer or found
        return found

    def resource(self, key: bytes | None, name: str) -> bytes | None:
        """The payload of the resource *key*; it may stand in *name* before where we began."""
        if key is not None and key not in self._resources:
            for _ in self.records(name, 0, MAX_READ_BYTES):
                if key in self._resources:
                    break
        return None if key is None else self._resources.get(key)

    def _note(self, record: Record, name: str, start: int) -> None:
        """Keep what *record* tells of those after it, if it is about no execution."""
        if record.signal == segments.RESOURCE:
            self._keep(record)
        elif record.signal == segments.SESSION and start:
            self.takeovers[name] = max(start, self.takeovers.get(name, 0))

    def _keep(self, record: Record) -> None:
        if len(self._resources) >= _MAX_RESOURCES:
            self._resources.clear()
        self._resources[record.key] = record.payload


def segment_size(folder_fd: int, name: str) -> int:
    """Size of a segment, bytes; 0 where it is gone, or not ours."""
    try:
        found = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except OSError:  # evicted since it was listed
        return 0
    return found.st_size if folders.is_own_file(found) else 0
