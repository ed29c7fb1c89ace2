"""The executions that run now on this machine, in any process, without reading all of the journal.

A process that lives holds a lock on the segment it writes, and each segment
begins with the starts of what runs. So the segments that are locked tell
everything, and what was read of them before need not be read again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.facts import facts_of
from otel_codomon.journal.heartbeats import LivingHeartbeats
from otel_codomon.journal.index import MAX_READ_BYTES, is_locked, pid_in, read_from
from otel_codomon.journal.segments import NO_KEY, Record, decode

if TYPE_CHECKING:
    from otel_codomon.values.execution import ExecutionRecord
    from otel_codomon.values.heartbeat import Heartbeat


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


class LivingExecutions:
    """Looks, again and again, at what runs now.

    Args:
        folder: Path of the journal; nothing runs where there is none.

    Attributes:
        heartbeats: What those that have run for a second use now, by span id.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._segments: dict[str, _Segment] = {}
        self._living_heartbeats = LivingHeartbeats()
        self.heartbeats: dict[str, Heartbeat] = {}

    def look(self) -> tuple[ExecutionRecord, ...]:
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
            self._segments = {name: self._segments.get(name, _Segment()) for name in locked}
            for name, segment in self._segments.items():
                _read_on(folder_fd, name, segment)
            self.heartbeats = self._living_heartbeats.look(folder_fd)
        finally:
            os.close(folder_fd)
        return self._running()

    def _running(self) -> tuple[ExecutionRecord, ...]:
        # A process that moves to another segment holds both for a moment, and
        # the start is in both: by span id, once.
        found = {
            key: record
            for segment in self._segments.values()
            for key, record in segment.running.items()
        }
        return tuple(sorted(found.values(), key=lambda record: record.started_unix_ns))


def _read_on(folder_fd: int, name: str, segment: _Segment) -> None:
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
            _take_in(segment, item)
    segment.offset += end


def _take_in(segment: _Segment, record: Record) -> None:
    if record.signal == segments.SESSION:
        if record.key != segment.session:  # taken over from a process that died
            segment.running.clear()
        segment.session, segment.pid = record.key, pid_in(record.payload)
    elif record.signal == segments.STARTED:
        facts = facts_of(record)
        if facts is not None:
            segment.running[record.key] = facts.execution(host_pid=segment.pid)
    elif record.key != NO_KEY:
        segment.running.pop(record.key, None)
