"""Takes executions back out of the journal: those of any process on this machine.

Whatever is in the files, reading does not fail: what cannot be understood is
left out and counted.
"""

from __future__ import annotations

import heapq
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.facts import facts_of
from otel_codomon.journal.index import build_index
from otel_codomon.journal.segments import Record, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from otel_codomon.journal.index import Index, Place
    from otel_codomon.values.execution import ExecutionRecord


class JournalReader:
    """Reads the journal in *folder*; nothing where there is none.

    Args:
        folder: Path of the journal.

    Attributes:
        unreadable: What could not be understood in all readings so far:
            damaged stretches of segments, and records of strange content.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.unreadable = 0

    def executions(
        self,
        *,
        since_unix_ns: int = 0,
        until_unix_ns: int | None = None,
        limit: int | None = None,
    ) -> Iterator[ExecutionRecord]:
        """Yield executions, the newest start first, decoding each when it is asked for.

        An execution whose process died before it ended has the outcome
        ``host_died``, and ends at the last sign of life of that process.

        Args:
            since_unix_ns: Leave out what started before, nanoseconds since the epoch.
            until_unix_ns: Leave out what started after; None for now.
            limit: How many at most; None for all.
        """
        with _opened(self.folder) as folder_fd:
            if folder_fd is None:
                return
            index = build_index(folder_fd, since_unix_ns=since_unix_ns)
            self.unreadable += index.damaged
            keys = [
                (place.started_unix_ns, key)
                for key, place in index.places.items()
                if since_unix_ns <= place.started_unix_ns
                and (until_unix_ns is None or place.started_unix_ns <= until_unix_ns)
            ]
            newest = sorted(keys, reverse=True) if limit is None else heapq.nlargest(limit, keys)
            with _Payloads(folder_fd, index) as payloads:
                for _, key in newest:
                    found = payloads.execution(key)
                    if found is None:
                        self.unreadable += 1
                    else:
                        yield found

    def find(self, wanted: str) -> ExecutionRecord | None:
        """The newest execution whose id, trace id or span id begins with *wanted*.

        None where there is none; *wanted* must not be empty.
        """
        for found in self.executions():
            ids = (found.execution_id, found.span_id, found.trace_id)
            if wanted and any(one.startswith(wanted) for one in ids):
                return found
        return None


class _Payloads:
    """Fetches and decodes the records that an index points to."""

    def __init__(self, folder_fd: int, index: Index) -> None:
        self._folder_fd = folder_fd
        self._index = index
        self._descriptors: dict[int, int | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for descriptor in self._descriptors.values():
            if descriptor is not None:
                os.close(descriptor)

    def execution(self, key: bytes) -> ExecutionRecord | None:
        """The execution of this span id; None where it cannot be understood."""
        place = self._index.places[key]
        record = self._record(place)
        facts = None if record is None else facts_of(record)
        if facts is None:
            return None
        pid = None if place.session < 0 else self._index.sessions[place.session].pid
        if place.signal == segments.STARTED and not self._index.is_alive(place):
            facts = facts.as_died(self._index.last_sign_unix_ns(place))
        return facts.execution(host_pid=pid)

    def _record(self, place: Place) -> Record | None:
        descriptor = self._open(place.segment)
        if descriptor is None:
            return None
        raw = os.pread(descriptor, place.end - place.start, place.start)
        for item in decode(raw):
            return item if isinstance(item, Record) else None
        return None

    def _open(self, segment: int) -> int | None:
        if segment not in self._descriptors:
            try:
                self._descriptors[segment] = folders.open_file(
                    self._folder_fd, self._index.names[segment], os.O_RDONLY
                )
            except OSError:  # evicted since it was indexed
                self._descriptors[segment] = None
        return self._descriptors[segment]


@contextmanager
def _opened(folder: str) -> Iterator[int | None]:
    """A descriptor of *folder*, which is not made where it is missing."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
