"""Heartbeats in the journal: what running executions use, once a second.

A stream of their own, for other processes of this machine and for the
executions of a process that dies. Never delivered, never synced, and under a
cap of their own, so that they evict no start and no end.

Most heartbeats are plain. Now and then one has the curve so far, and what this
process wrote before it can go: a process keeps a few times the size of such a
record, however long its executions run.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Final

from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.index import MAX_READ_BYTES, is_locked, read_from
from otel_codomon.journal.records import to_json
from otel_codomon.journal.segments import Record, decode
from otel_codomon.journal.writer import Writer
from otel_codomon.resources.heartbeat import Heartbeat, last_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otel_codomon.resources.usage import Usage

    # The executions of this process that run; the argument: with their curves.
    Source = Callable[[bool], Iterable[Heartbeat]]

HEARTBEAT_SECONDS: Final = 1.0
FRESH_SECONDS: Final = 3.0
"""What a heartbeat says is what an execution uses now, for so long."""

_SEGMENT_BYTES: Final = 256 * 1024
_WITH_CURVES_BYTES: Final = 64 * 1024
# A record with curves is this many times smaller than what may follow it.
_PLAIN_SHARE: Final = 4


class HeartbeatWriter:
    """Writes the heartbeats of this process.

    Args:
        folder: Path of the journal.
        source: Tells what runs.
    """

    def __init__(self, folder: str, source: Source) -> None:
        self._folder = folder
        self._source = source
        self._begin()

    def _begin(self) -> None:
        """Have written nothing: at the start, and in a forked child."""
        self._pid = os.getpid()
        self._writer: Writer | None = None
        self._last = -HEARTBEAT_SECONDS
        self._names: list[str] = []
        self._left_bytes = 0

    def beat(self) -> None:
        """Write what runs now, if a second has passed since the last time."""
        if self._pid != os.getpid():
            self._begin()
        now = time.monotonic()
        if now - self._last < HEARTBEAT_SECONDS * 0.9:
            return
        self._last = now
        has_curves = self._left_bytes <= 0
        beats = [beat.as_json() for beat in self._source(has_curves)]
        if beats:
            self._write(to_json({"executions": beats}), has_curves=has_curves)
        elif self._names:
            self.end()

    def _write(self, payload: bytes, *, has_curves: bool) -> None:
        if self._writer is None:
            self._writer = Writer(
                self._folder,
                stream=folders.HEARTBEATS,
                max_segment_bytes=_SEGMENT_BYTES,
                takes_over=False,
            )
        if not self._writer.append(segments.HEARTBEAT, payload):
            return
        self._left_bytes -= len(payload)
        name = self._writer.segment_name
        if name not in self._names:
            self._names.append(name)
        if has_curves:
            self._left_bytes = max(_WITH_CURVES_BYTES, _PLAIN_SHARE * len(payload))
            self._remove(self._names[:-1])
            self._names = self._names[-1:]

    def end(self) -> None:
        """Remove everything: what it was about has ended, and its end tells more."""
        if self._writer is not None:
            self._writer.close()
        self._remove(self._names)
        self._names, self._left_bytes = [], 0

    def _remove(self, names: list[str]) -> None:
        for name in names:
            _unlink(os.path.join(self._folder, name))  # noqa: PTH118 - text


class RunningHeartbeats:
    """The latest heartbeats of processes that live, looked for again and again."""

    def __init__(self) -> None:
        self._offsets: dict[str, int] = {}
        self._latest: dict[str, dict[str, tuple[int, Heartbeat]]] = {}

    def read(self, folder_fd: int) -> dict[str, Heartbeat]:
        """The heartbeats that are fresh, by span id."""
        names = folders.segment_names(folder_fd, folders.HEARTBEATS)
        locked = [name for name in names if is_locked(folder_fd, name)]
        self._offsets = {name: self._offsets.get(name, 0) for name in locked}
        self._latest = {name: self._latest.get(name, {}) for name in locked}
        for name in locked:
            self._offsets[name] = self._read_on(folder_fd, name)
        since_ns = time.time_ns() - int(FRESH_SECONDS * 1e9)
        return {
            span_id: beat
            for latest in self._latest.values()
            for span_id, (written_ns, beat) in latest.items()
            if written_ns >= since_ns
        }

    def _read_on(self, folder_fd: int, name: str) -> int:
        begin = end = self._offsets[name]
        for record in _records(folder_fd, name, begin):
            end = begin + record.end
            beats = {beat.span_id: (record.time_unix_ns, beat) for beat in _beats_of(record)}
            if beats:  # what ended since is not in the next
                self._latest[name] = beats
        return end


def usage_so_far(folder_fd: int) -> dict[str, Usage]:
    """What executions had used at their last heartbeat, by span id; of all that have one left."""
    beats: dict[str, list[Heartbeat]] = {}
    for name in folders.segment_names(folder_fd, folders.HEARTBEATS):
        for record in _records(folder_fd, name, 0):
            for beat in _beats_of(record):
                beats.setdefault(beat.span_id, []).append(beat)
    return {span_id: last_usage(found) for span_id, found in beats.items()}


def remove_of_dead(folder_fd: int) -> None:
    """Remove the heartbeats of dead processes: their executions are spans by now."""
    for name in folders.segment_names(folder_fd, folders.HEARTBEATS):
        if not is_locked(folder_fd, name):
            _unlink(name, dir_fd=folder_fd)


def _unlink(path: str, *, dir_fd: int | None = None) -> None:
    try:
        os.unlink(path, dir_fd=dir_fd)
    except OSError:  # evicted, removed by another process, or the folder is gone
        return


def _records(folder_fd: int, name: str, start: int) -> Iterator[Record]:
    """The records of a segment after *start*; their offsets count from there."""
    try:
        descriptor = folders.open_file(folder_fd, name, os.O_RDONLY)
    except OSError:  # removed since it was listed, or not a file of ours
        return
    try:
        read = read_from(descriptor, start, MAX_READ_BYTES)
    finally:
        os.close(descriptor)
    for item in decode(read):
        if isinstance(item, Record):
            yield item


def _beats_of(record: Record) -> Iterator[Heartbeat]:
    """The heartbeats in *record*; none of what is not one."""
    if record.signal != segments.HEARTBEAT:
        return
    try:
        told = json.loads(record.payload)["executions"]
        yield from [Heartbeat.of_json(one) for one in told]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return  # whole bytes with strange content: not written by this package
