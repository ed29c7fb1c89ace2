"""The executions that run now on this machine, in any process, without reading all of the journal.

A process that lives holds a lock on the segment it writes, and each segment
begins with the starts of what runs. So the segments that are locked tell
everything, and what was read of them before need not be read again.
"""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.heartbeats import RunningHeartbeats
from otel_codomon.journal.index import MAX_READ_BYTES, is_locked, pid_in, read_from
from otel_codomon.journal.segments import NO_KEY, Record, decode
from otel_codomon.journal.span_data import read_span_data

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_codomon.journal.execution_record import ExecutionRecord
    from otel_codomon.resources.heartbeat import Heartbeat

JUST_ENDED_SECONDS: Final = 60.0
"""For so long an execution that has ended is remembered."""

_MAX_ENDED: Final = 50
"""So many of them, however many end."""


@dataclass(slots=True)
class _Segment:
    """What was read of one segment so far.

    Attributes:
        offset: Offset after the last whole record.
        session: The process that writes it now, by its id in the journal.
        pid: Its process id; None where that is not known.
        running: Starts without an end, by span id.
    """

    offset: int = 0
    session: bytes = b""
    pid: int | None = None
    running: dict[bytes, ExecutionRecord] = field(default_factory=dict)


class RunningExecutions:
    """Looks, again and again, at what runs now.

    Args:
        folder: Path of the journal; nothing runs where there is none.

    Attributes:
        heartbeats: What those that have run for a second use now, by span id.
        ended: Those that ended within the last minute, the latest first. At the first
            look only of processes that still run.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._segments: dict[str, _Segment] = {}
        self._running_heartbeats = RunningHeartbeats()
        self.heartbeats: dict[str, Heartbeat] = {}
        self.ended: tuple[ExecutionRecord, ...] = ()
        self._sizes: dict[str, int] | None = None
        self._ends: deque[tuple[Record, int | None]] = deque(maxlen=_MAX_ENDED)
        self._ended: dict[str, ExecutionRecord] = {}

    def read(self) -> tuple[ExecutionRecord, ...]:
        """The executions that run now, oldest first."""
        try:
            folder_fd = folders.find_folder(self._folder)
        except OSError:  # reported by what reads the rest of it
            return ()
        if folder_fd is None:  # there is no journal (yet)
            return ()
        try:
            names = folders.segment_names(folder_fd, folders.TRACES)
            locked = {name for name in names if is_locked(folder_fd, name)}
            for name, segment in self._to_read(folder_fd, names, locked).items():
                _read_on(folder_fd, name, segment, self._ends)
            self._segments = {name: s for name, s in self._segments.items() if name in locked}
            self.heartbeats = self._running_heartbeats.read(folder_fd)
        finally:
            os.close(folder_fd)
        self._note_ends()
        return self._running()

    def _to_read(
        self, folder_fd: int, names: Iterable[str], locked: set[str]
    ) -> dict[str, _Segment]:
        """The segments of processes that live, and those that grew: short ones end in between."""
        before, self._sizes = self._sizes, {name: _size(folder_fd, name) for name in names}
        for name in locked - self._segments.keys():
            self._segments[name] = _Segment()
        found = dict(self._segments)
        for name, size in self._sizes.items():
            if name not in found and before is not None and size > before.get(name, 0):
                found[name] = _Segment(offset=before.get(name, 0))
        return found

    def _note_ends(self) -> None:
        """Decode the ends that were read, of which there are few enough."""
        while self._ends:
            record, pid = self._ends.popleft()
            span = read_span_data(record)
            if span is not None:
                self._ended[span.span_id] = span.execution(host_pid=pid)
        since_ns = time.time_ns() - int(JUST_ENDED_SECONDS * 1e9)
        latest = sorted(self._ended.values(), key=_ended_ns, reverse=True)[:_MAX_ENDED]
        self._ended = {one.span_id: one for one in latest if _ended_ns(one) >= since_ns}
        self.ended = tuple(self._ended.values())

    def _running(self) -> tuple[ExecutionRecord, ...]:
        # A process that moves to another segment holds both for a moment, and
        # the start is in both: by span id, once.
        found = {
            key: record
            for segment in self._segments.values()
            for key, record in segment.running.items()
        }
        return tuple(sorted(found.values(), key=lambda record: record.started_unix_ns))


def _ended_ns(record: ExecutionRecord) -> int:
    return record.ended_unix_ns or 0


def _size(folder_fd: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder_fd).st_size
    except OSError:  # evicted since it was listed
        return 0


def _read_on(
    folder_fd: int, name: str, segment: _Segment, ends: deque[tuple[Record, int | None]]
) -> None:
    """Take in what was appended since the last look."""
    try:
        descriptor = folders.open_file(folder_fd, name, os.O_RDONLY)
    except OSError:  # evicted since it was listed
        return
    try:
        appended = read_from(descriptor, segment.offset, MAX_READ_BYTES)
    finally:
        os.close(descriptor)
    end = 0
    for item in decode(appended):
        end = item.end
        if isinstance(item, Record):
            _take_in(segment, item, ends)
    segment.offset += end


def _take_in(segment: _Segment, record: Record, ends: deque[tuple[Record, int | None]]) -> None:
    if record.signal == segments.SESSION:
        if record.key != segment.session:  # taken over from a process that died
            segment.running.clear()
        segment.session, segment.pid = record.key, pid_in(record.payload)
    elif record.signal == segments.STARTED:
        span = read_span_data(record)
        if span is not None:
            segment.running[record.key] = span.execution(host_pid=segment.pid)
    elif record.key != NO_KEY:
        segment.running.pop(record.key, None)
        ends.append((record, segment.pid))
