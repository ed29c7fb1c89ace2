"""Where in the journal each execution is: heads are read, payloads are not.

100,000 executions are indexed in a fifth of a second and 30 MiB; what is in a
payload is decoded when somebody asks for that execution.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_codomon.journal import folder as folders
from otel_codomon.journal.segments import (
    DAMAGE,
    NO_KEY,
    RESOURCE,
    SESSION,
    STARTED,
    Record,
    decode,
    heads,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_READ_BYTES: Final = 64 * 1024 * 1024
"""Of a segment: ours have 8 MiB and at most one giant record more."""

_NOBODY: Final = -1


class Place(NamedTuple):
    """Where the latest record of an execution is, and what its heads tell.

    Attributes:
        started_unix_ns: When its start was written, nanoseconds since the epoch.
        written_unix_ns: When its latest record was.
        signal: STARTED while no end is known, otherwise ENDED or TRACES.
        segment: Number of the segment in `Index.names`.
        start: Offset of the record.
        end: Offset after it.
        session: Number of the session in `Index.sessions` that started it.
    """

    started_unix_ns: int
    written_unix_ns: int
    signal: int
    segment: int
    start: int
    end: int
    session: int


@dataclass(slots=True)
class Session:
    """One process that wrote, from its first record to its last.

    Attributes:
        key: Its id in the journal.
        pid: Its process id; None where the record that told is damaged.
        last_unix_ns: Last sign of life, nanoseconds since the epoch.
        is_alive: Whether it may write more.
    """

    key: bytes
    pid: int | None
    last_unix_ns: int = 0
    is_alive: bool = False


@dataclass(slots=True)
class Index:
    """What the heads of all segments tell.

    Attributes:
        names: The segments that were read, oldest first.
        places: The executions, by span id.
        sessions: The processes that wrote them.
        resources: Payloads of RESOURCE records, by key.
        damaged: Stretches of bytes that are no record.
        written: Names of segments that some process held when they were read.
        read_unix_ns: When the reading began, nanoseconds since the epoch.
    """

    names: list[str] = field(default_factory=list)
    places: dict[bytes, Place] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    resources: dict[bytes, bytes] = field(default_factory=dict)
    damaged: int = 0
    written: set[str] = field(default_factory=set)
    read_unix_ns: int = field(default_factory=time.time_ns)

    def is_alive(self, place: Place) -> bool:
        """Whether the process that started an execution may still end it."""
        return place.session != _NOBODY and self.sessions[place.session].is_alive

    def last_sign_unix_ns(self, place: Place) -> int:
        """When the process that started an execution was last known to live."""
        if place.session == _NOBODY:
            return place.started_unix_ns
        return max(place.started_unix_ns, self.sessions[place.session].last_unix_ns)

    def died(self) -> list[tuple[bytes, Place]]:
        """The executions whose process died before it ended them, oldest first."""
        found = [
            (key, place)
            for key, place in self.places.items()
            if place.signal == STARTED and not self.is_alive(place)
        ]
        return sorted(found, key=lambda item: item[1].started_unix_ns)


def build_index(
    folder_fd: int,
    *,
    since_unix_ns: int = 0,
    settled: Iterable[str] = (),
    check_payloads: bool = True,
) -> Index:
    """Read the heads of all segments with executions.

    Args:
        folder_fd: The journal's folder.
        since_unix_ns: Leave out segments that were last written before.
        settled: Segments to leave out.
        check_payloads: Whether a record counts as damaged if its payload is; if
            not, that is found out when it is read.
    """
    while True:
        builder = _Builder(folder_fd, check_payloads=check_payloads)
        names = folders.segment_names(folder_fd, folders.TRACES)
        for name in names:
            if name not in settled:
                builder.read(name, since_unix_ns)
        # A process that moved to a new segment while we read let go of its old
        # one: it would look dead. It cannot have moved without a new name.
        if set(folders.segment_names(folder_fd, folders.TRACES)) <= set(names):
            return builder.index


class _Builder:
    """Reads segments into an index, one after the other."""

    def __init__(self, folder_fd: int, *, check_payloads: bool) -> None:
        self.index = Index()
        self._folder_fd = folder_fd
        self._check_payloads = check_payloads
        self._session_numbers: dict[bytes, int] = {}

    def read(self, name: str, since_unix_ns: int) -> None:
        """Add one segment; nothing of one that is gone."""
        try:
            descriptor = folders.open_file(self._folder_fd, name, os.O_RDONLY)
        except OSError:  # evicted since it was listed, or not ours
            return
        try:
            sign_of_life_ns = os.fstat(descriptor).st_mtime_ns
            if sign_of_life_ns < since_unix_ns:
                return
            # Before the reading, and kept through it: a process that writes its
            # last end after we have read, and is gone when we ask, would look
            # as if it had died before that end.
            if not _nobody_writes(descriptor):
                self.index.written.add(name)
            segment = read_from(descriptor, 0, MAX_READ_BYTES)
        finally:
            os.close(descriptor)
        self._add(name, segment, sign_of_life_ns)

    def _add(self, name: str, segment: bytes, sign_of_life_ns: int) -> None:
        number = len(self.index.names)
        self.index.names.append(name)
        session = _NOBODY
        for head in heads(segment, check_payloads=self._check_payloads):
            signal, key, written_unix_ns, start, end = head
            if signal in (DAMAGE, SESSION, RESOURCE):
                session = self._note(segment, head, session)
            elif key != NO_KEY:
                self._place(
                    key, written_unix_ns, signal, segment=number, start=start, end=end, by=session
                )
                if session != _NOBODY:
                    found = self.index.sessions[session]
                    found.last_unix_ns = max(found.last_unix_ns, written_unix_ns)
        if session != _NOBODY:
            found = self.index.sessions[session]
            found.last_unix_ns = max(found.last_unix_ns, self._by_now(sign_of_life_ns))
            found.is_alive |= name in self.index.written

    def _note(self, segment: bytes, head: tuple[int, bytes, int, int, int], session: int) -> int:
        """Take in what is about no execution; the number of the session that goes on."""
        signal, key, _, start, end = head
        record = None if signal == DAMAGE else next(decode(segment[start:end]), None)
        if not isinstance(record, Record):
            self.index.damaged += 1
        elif signal == SESSION:
            return self._session(record, session)
        else:
            self.index.resources[key] = record.payload
        return session

    def _by_now(self, unix_ns: int) -> int:
        """A sign of life, or the start of the reading: a clock that was wrong shows the future."""
        return min(unix_ns, self.index.read_unix_ns)

    def _session(self, record: Record, before: int) -> int:
        """Begin or continue a session; it has taken over the segment from that of *before*."""
        number = self._session_numbers.get(record.key)
        if before != _NOBODY:
            found = self.index.sessions[before]
            found.last_unix_ns = max(found.last_unix_ns, self._by_now(touched_in(record.payload)))
        if number is None:
            number = self._session_numbers[record.key] = len(self.index.sessions)
            self.index.sessions.append(Session(record.key, pid_in(record.payload)))
        return number

    def _place(
        self,
        key: bytes,
        written_unix_ns: int,
        signal: int,
        *,
        segment: int,
        start: int,
        end: int,
        by: int,
    ) -> None:
        places = self.index.places
        before = places.get(key)
        started = written_unix_ns
        if before is not None:
            started = min(before.started_unix_ns, written_unix_ns)
            # A start again is one that is repeated in the segment its process moved to.
            if signal != STARTED:
                by = before.session
            elif before.signal != STARTED:
                return  # written again, but ended before: the end stands
        places[key] = Place(started, written_unix_ns, signal, segment, start, end, by)


def find_start(folder_fd: int, key: bytes, started_unix_ns: int) -> Record | None:
    """The start of an execution, whose end may be known too; None where it is gone.

    Args:
        folder_fd: The journal's folder.
        key: Its span id.
        started_unix_ns: When it started, nanoseconds since the epoch.
    """
    return next(records_of(folder_fd, folders.TRACES, STARTED, key, started_unix_ns), None)


def records_of(
    folder_fd: int, stream: str, signal: int, key: bytes, started_unix_ns: int
) -> Iterator[Record]:
    """The records of an execution, oldest first.

    Args:
        folder_fd: The journal's folder.
        stream: The segments to look through.
        signal: What kind of records.
        key: Its span id.
        started_unix_ns: When it started, nanoseconds since the epoch.
    """
    for name in folders.segment_names(folder_fd, stream):
        try:
            descriptor = folders.open_file(folder_fd, name, os.O_RDONLY)
        except OSError:  # evicted since it was listed, or not ours
            continue
        try:
            is_older = os.fstat(descriptor).st_mtime_ns < started_unix_ns
            segment = b"" if is_older else read_from(descriptor, 0, MAX_READ_BYTES)
        finally:
            os.close(descriptor)
        for found_signal, found, _, start, end in heads(segment, check_payloads=False):
            if found_signal == signal and found == key:
                yield from (i for i in decode(segment[start:end]) if isinstance(i, Record))


def is_locked(folder_fd: int, name: str) -> bool:
    """Whether the process that writes a segment lives."""
    try:
        descriptor = folders.open_file(folder_fd, name, os.O_RDONLY)
    except OSError:  # gone, so nobody writes it
        return False
    try:
        return not _nobody_writes(descriptor)
    finally:
        os.close(descriptor)


def _nobody_writes(descriptor: int) -> bool:
    """Whether no process writes an open segment; then none will until it is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def read_record(folder_fd: int, name: str, place: Place) -> Record | None:
    """The record at *place* in the segment *name*; None where it is gone."""
    try:
        descriptor = folders.open_file(folder_fd, name, os.O_RDONLY)
    except OSError:  # evicted since it was indexed
        return None
    try:
        raw = os.pread(descriptor, place.end - place.start, place.start)
    finally:
        os.close(descriptor)
    return next((item for item in decode(raw) if isinstance(item, Record)), None)


def read_from(descriptor: int, start: int, length: int) -> bytes:
    """Up to *length* bytes of a file from offset *start*; fewer at its end."""
    parts = []
    while length > 0:
        left = max(1, os.fstat(descriptor).st_size - start)
        part = os.pread(descriptor, min(length, left), start)
        if not part:
            break
        parts.append(part)
        start += len(part)
        length -= len(part)
    return b"".join(parts)


def pid_in(payload: bytes) -> int | None:
    """The process id that the payload of a SESSION record tells; None where it does not."""
    return _whole_number(payload, "pid")


def touched_in(payload: bytes) -> int:
    """When the segment was last touched before this session took it over; 0 where it did not.

    Nanoseconds since the epoch.
    """
    return _whole_number(payload, "touched") or 0


def _whole_number(payload: bytes, field: str) -> int | None:
    try:
        number = json.loads(payload)[field]
    except (ValueError, KeyError, TypeError, RecursionError):  # not written by us
        return None
    return number if isinstance(number, int) else None
