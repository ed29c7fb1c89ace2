"""What is kept, and for how long: caps on size and age, the oldest goes first."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.logs import get_logger
from otel_codomon._platform.otlp_variables import LOGS, METRICS, TRACES
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.delivery.state import load_state
from otel_codomon.journal.index import MAX_READ_BYTES, read_from
from otel_codomon.journal.segments import HISTORY, UNSAMPLED, Record, decode

if TYPE_CHECKING:
    from otel_codomon.journal.delivery.state import State

_log = get_logger(__name__)
_SIGNALS: Final = {folders.TRACES: TRACES, folders.METRICS: METRICS, folders.LOGS: LOGS}
_KEPT: Final = HISTORY | UNSAMPLED
_REQUESTS: Final = frozenset({segments.TRACES, segments.METRICS, segments.ENDED, segments.LOGS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How much is kept.

    Attributes:
        size_bytes: All segments together, bytes.
        age_seconds: Since a segment was last written, seconds.
    """

    size_bytes: int = folders.MAX_JOURNAL_BYTES
    age_seconds: float = folders.MAX_AGE_SECONDS


DEFAULT_CAPS: Final = Caps()


@dataclass(frozen=True, slots=True)
class Evicted:
    """What was thrown away.

    Attributes:
        segments: How many segments.
        undelivered: Records in them that nobody had taken yet.
    """

    segments: int = 0
    undelivered: int = 0


def evict(
    folder_fd: int, state: State, *, caps: Caps = DEFAULT_CAPS, now_unix_ns: int | None = None
) -> Evicted:
    """Remove the oldest segments beyond *caps*; never one whose writer lives.

    Logs have a cap of their own, within that of all.

    Args:
        folder_fd: The journal's folder.
        state: How far each was delivered.
        caps: How much is kept.
        now_unix_ns: Nanoseconds since the epoch; None for now.
    """
    now = time.time_ns() if now_unix_ns is None else now_unix_ns
    _evict_heartbeats(folder_fd, state, caps, now)
    found = [(name, *_facts(folder_fd, name)) for name in folders.segment_names(folder_fd)]
    total = sum(size for _, size, _ in found)
    beyond = _logs_beyond_their_cap([(name, size) for name, size, _ in found])
    count = undelivered = 0
    # Those first: then what is left may be within the cap of all.
    for name, size, written_unix_ns in sorted(found, key=lambda one: one[0] not in beyond):
        is_old = now - written_unix_ns > caps.age_seconds * 1e9
        if total <= caps.size_bytes and not (is_old or name in beyond):
            continue
        lost = _remove(folder_fd, name, state)
        if lost is not None:
            total -= size
            count += 1
            undelivered += lost
    return Evicted(count, undelivered)


def _logs_beyond_their_cap(sizes: list[tuple[str, int]]) -> set[str]:
    """The oldest segments of logs, as many as are beyond `folder.MAX_LOGS_BYTES`."""
    logs = [(name, size) for name, size in sizes if name[:1] == folders.LOGS]
    total = sum(size for _, size in logs)
    beyond = set()
    for name, size in logs:
        if total <= folders.MAX_LOGS_BYTES:
            break
        beyond.add(name)
        total -= size
    return beyond


def _evict_heartbeats(folder_fd: int, state: State, caps: Caps, now_unix_ns: int) -> None:
    """Remove the oldest heartbeats of dead processes beyond their own cap; they are not counted."""
    names = folders.segment_names(folder_fd, folders.HEARTBEATS)
    found = [(name, *_facts(folder_fd, name)) for name in names]
    total = sum(size for _, size, _ in found)
    for name, size, written_unix_ns in found:
        is_old = now_unix_ns - written_unix_ns > caps.age_seconds * 1e9
        is_beyond = total > min(folders.MAX_HEARTBEATS_BYTES, caps.size_bytes)
        if (is_old or is_beyond) and _remove(folder_fd, name, state) is not None:
            total -= size


def make_room(folder_fd: int, *, size_bytes: int) -> int:
    """Evict for a writer, where there may be no sender; records that nobody had taken."""
    evicted = evict(folder_fd, load_state(folder_fd), caps=Caps(size_bytes=size_bytes))
    if evicted.undelivered:
        _log.info(
            "evicted %d records from the journal that were not delivered: it is full or they are "
            "too old",
            evicted.undelivered,
        )
    return evicted.undelivered


def _facts(folder_fd: int, name: str) -> tuple[int, int]:
    """Size in bytes, and when it was last written, nanoseconds since the epoch."""
    try:
        found = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except OSError:  # somebody else evicted it
        return 0, time.time_ns()
    return found.st_size, found.st_mtime_ns


def _remove(folder_fd: int, name: str, state: State) -> int | None:
    """Remove a segment; how many records nobody had taken, None where it has to stay."""
    try:
        descriptor = folders.open_file(folder_fd, name, os.O_RDONLY)
    except OSError:
        return None
    try:
        # A writer that takes it over now waits for nobody: it tries another.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lost = _undelivered(descriptor, name, state)
        os.unlink(name, dir_fd=folder_fd)
    except OSError:  # its writer lives
        return None
    finally:
        os.close(descriptor)
    return lost


def _undelivered(descriptor: int, name: str, state: State) -> int:
    signal = _SIGNALS.get(name[:1])
    if signal is None:
        return 0
    start = state.sent[signal].get(name, 0)
    return sum(
        isinstance(item, Record) and item.signal in _REQUESTS and not item.flags & _KEPT
        for item in decode(read_from(descriptor, start, MAX_READ_BYTES))
    )
