"""Appends records to a segment that this process alone writes.

One `write` call a record: what it has taken survives the death of the process
by any signal, without `fsync`. Never raises into the program after it is
opened; what could not be written is counted, and its reason reported once.

While a segment is written its writer holds a `flock` on it. That is how others
know that the writer lives: the lock goes with the process, also when the
process becomes another by `exec`. A new writer takes over the segment of a
dead one where it can, so that a thousand short commands leave a few files.

Imports next to nothing, as `segments`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time

from otel_codomon._platform.threads_and_forks import on_fork
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor, identity_of
from otel_codomon.errors import JournalUnavailableError
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.segments import NO_KEY
from otel_codomon.journal.trouble import reason_of

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from otel_codomon._platform.verified_descriptor import Identity
    from otel_codomon.journal.trouble import TroubleReport
    from otel_codomon.words import Durability

# A segment is the unit of eviction: 32 of these make the cap of 256 MiB.
MAX_SEGMENT_BYTES = 8 * 1024 * 1024
# So that the age cap of 48 h is kept to within an hour.
MAX_SEGMENT_AGE_NS = 3600 * 10**9
# A dead process's segment that is older than this is left as it is.
TAKE_OVER_AGE_NS = MAX_SEGMENT_AGE_NS // 2
# How many segments of others are tried before a new one is made.
_TAKE_OVER_TRIES = 4
# How often it is checked that the folder is still the one of that name.
_FOLDER_CHECK_NS = 10**9
_AS_EFFECTIVE_USER = os.access in os.supports_effective_ids


class Writer:
    """Appends to one stream of the journal.

    Args:
        folder: Path of the journal.
        stream: One of the streams of `folder`.
        durability: ``process``: a record survives the process. ``power``: it
            survives the machine once `sync` was called, which somebody must do
            every 100 ms. ``strict``: it survives the machine once appended.
        max_segment_bytes: When to begin another segment, bytes.
        max_journal_bytes: How much all segments together may have, bytes: where
            nobody ships the journal, who begins a segment makes room for it.
        report: Reports why nothing can be written; None for a process that
            looks at `trouble` itself.

    Attributes:
        trouble: Why the last record could not be written; empty where it was.

    Raises:
        JournalUnavailableError: The folder cannot be used.
    """

    def __init__(
        self,
        folder: str,
        *,
        stream: str = folders.TRACES,
        durability: Durability = "process",
        max_segment_bytes: int = MAX_SEGMENT_BYTES,
        max_journal_bytes: int = folders.MAX_JOURNAL_BYTES,
        takes_over: bool = True,
        report: TroubleReport | None = None,
    ) -> None:
        self.folder = folder
        self.trouble = ""
        self._report = report
        self.stream = stream
        self.durability = durability
        self.written = 0
        self.unwritten = 0
        self.evicted = 0
        self._max_segment_bytes = max_segment_bytes
        self._max_journal_bytes = max_journal_bytes
        self._takes_over = takes_over
        self._reset()
        os.close(folders.open_folder(folder))
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=_AS_EFFECTIVE_USER):
            raise JournalUnavailableError(folder, "nothing can be written there")
        _writers[id(self)] = self

    def _reset(self) -> None:
        """Begin a session of this process, with no segment open."""
        # Reentrant: a signal handler may end an execution while this thread appends.
        self._lock = threading.RLock()
        self._kept: VerifiedDescriptor | None = None
        self._kept_folder: Identity | None = None
        self._checked_ns = 0
        self._name = ""
        self._created_ns = 0
        self._sign_of_life_ns = 0
        self.must_sync = False
        self.session = os.urandom(8)
        self._declared: set[bytes] = set()
        self._resources: dict[bytes, bytes] = {}
        self._open: dict[bytes, bytes] = {}

    # --- what goes in ---

    def declare(self, key: bytes, resource: bytes) -> None:
        """Remember a resource that STARTED and ENDED records refer to by *key*.

        It is written before the next record, in each segment again, so that
        every segment can be read by itself.
        """
        self._resources[key] = resource

    def append(
        self,
        signal: int,
        payload: bytes,
        *,
        key: bytes = NO_KEY,
        flags: int = 0,
        time_unix_ns: int | None = None,
        dated_unix_ns: int | None = None,
    ) -> bool:
        """Append one record; False, and counted, if that is not possible.

        Args:
            signal: What it is.
            payload: What it holds.
            key: The execution it belongs to.
            flags: As for `segments.encode`.
            time_unix_ns: Now, nanoseconds since the epoch; None for the clock's.
            dated_unix_ns: The time that the record bears, where it is recorded
                long after; None for now. A segment's age does not depend on it.
        """
        now = time.time_ns() if time_unix_ns is None else time_unix_ns
        dated = now if dated_unix_ns is None else dated_unix_ns
        try:
            encoded = segments.encode(signal, payload, key=key, flags=flags, time_unix_ns=dated)
            with self._lock:
                self._write(encoded, now)
                if key != NO_KEY:
                    self._note(signal, key, encoded)
        except (OSError, ValueError) as error:  # a full disk, a lost folder, a payload too long
            self.unwritten += 1
            if isinstance(error, OSError):
                self._is_wrong(reason_of(error))
            return False
        self.written += 1
        if self.trouble:
            self._is_right()
        return True

    def _is_wrong(self, reason: str) -> None:
        self.trouble = reason
        if self._report is not None:
            self._report.wrong(reason)

    def _is_right(self) -> None:
        self.trouble = ""
        if self._report is not None:
            self._report.right()

    def _note(self, signal: int, key: bytes, encoded: bytes) -> None:
        """Keep the starts of what runs: the next segment repeats them."""
        if signal == segments.STARTED:
            self._open[key] = encoded
        else:
            self._open.pop(key, None)

    @property
    def segment_name(self) -> str:
        """Name of the segment of the last record; empty before the first."""
        return self._name

    @property
    def running(self) -> int:
        """Executions that were started and not ended."""
        return len(self._open)

    def open_keys(self) -> frozenset[bytes]:
        """The keys of the executions that were started and not ended."""
        return frozenset(self._open)

    def sync(self) -> None:
        """Make what was appended survive the loss of power, if that was asked for."""
        if not self.must_sync:
            return
        self.must_sync = False
        kept = self._kept
        if kept is None:
            return
        try:
            os.fdatasync(kept.checked())
        except OSError:  # closed by another thread, which synced; or a disk that fails
            return

    def sign_of_life(self) -> None:
        """Leave a sign of life: should the process die, its executions ended after this.

        A segment that was lost, and its lock with it, is replaced at once: to
        others this process would look dead.
        """
        now = time.time_ns()
        try:
            with self._lock:
                if self._kept is None:
                    return
                if self._usable_size(now) is None:
                    self._write(b"", now)
                else:
                    os.utime(self._kept.number)
        except OSError as error:  # the sign is a nicety; the lock is what tells that we live
            self._is_wrong(reason_of(error))

    def close(self) -> None:
        """Let go of the segment. The next append takes up one again."""
        with self._lock:
            self._let_go()

    def forget(self) -> None:
        """Close for good."""
        self.close()
        _writers.pop(id(self), None)

    # --- the segment ---

    def _write(self, encoded: bytes, now: int) -> None:
        size = self._ready_segment(now, len(encoded))
        preface = self._preface(now)
        if preface:
            encoded = preface + encoded
        self._write_whole(encoded, size)
        if preface:
            self._declared.update(self._resources, (self.session,))
        if self.durability != "process":
            self.must_sync = True
            if self.durability == "strict":
                self.sync()

    def _write_whole(self, encoded: bytes, size: int) -> None:
        """Write all of *encoded* or leave the segment as it was."""
        count = 0
        try:
            count = os.write(self._number, encoded)
            if count == len(encoded):
                return
            # A short write is a disk that filled up meanwhile, or a limit on file sizes.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - as write would
        except OSError:
            # Not undone where a signal handler has appended since: readers pass over a torn record.
            found = None if self._kept is None else self._kept.status()
            if count and found is not None and found.st_size == size + count:
                os.ftruncate(self._number, size)
            raise

    def _preface(self, now: int) -> bytes:
        """What must come before a record in this segment: who writes, and for which resources."""
        if len(self._declared) > len(self._resources):
            return b""
        parts = []
        if self.session not in self._declared:
            who: dict[str, object] = {"pid": os.getpid(), "segment": self._name}
            if self._sign_of_life_ns:
                who["touched"] = self._sign_of_life_ns
            payload = json.dumps(who).encode()
            parts.append(
                segments.encode(segments.SESSION, payload, key=self.session, time_unix_ns=now)
            )
            parts += self._open.values()
        parts += [
            segments.encode(segments.RESOURCE, resource, key=key, time_unix_ns=now)
            for key, resource in self._resources.items()
            if key not in self._declared
        ]
        return b"".join(parts)

    def _ready_segment(self, now: int, needed: int) -> int:
        """Have a segment open that takes *needed* bytes more; its size now, bytes."""
        size = self._usable_size(now)
        if size is not None and not self._is_full(size + needed, now):
            return size
        self._begin_segment(now)
        return os.fstat(self._number).st_size

    @property
    def _number(self) -> int:
        """The segment's descriptor, which was verified by `_usable_size` just before."""
        return -1 if self._kept is None else self._kept.number

    def _usable_size(self, now: int) -> int | None:
        """Size of the segment, bytes; None where there is none that may be written to.

        That is one that other code has closed or put another file in the place
        of, that was removed, that is not in the folder of that name any more, or
        that belongs to the user this process was before.
        """
        found = None if self._kept is None else self._kept.status()
        if found is None or not found.st_nlink or found.st_uid != os.geteuid():
            return None
        if self._has_moved(now):
            return None
        return found.st_size

    def _has_moved(self, now: int) -> bool:
        if 0 <= now - self._checked_ns < _FOLDER_CHECK_NS:
            return False
        try:
            found = identity_of(os.stat(self.folder))
        except OSError:  # removed, or not there while a disk is away
            return True
        if found == self._kept_folder:
            self._checked_ns = now
        return found != self._kept_folder

    def _is_full(self, size: int, now: int) -> bool:
        return size > self._max_segment_bytes or not (
            0 <= now - self._created_ns < MAX_SEGMENT_AGE_NS
        )

    def _begin_segment(self, now: int) -> None:
        """Open the next segment, and only then let go of the one before."""
        folder_fd = folders.open_folder(self.folder)
        try:
            # Only a first segment may be another's: who looks for the dead
            # trusts that one who moves on moves to a new file.
            taken = None if self._kept is not None else self._adopt_segment(folder_fd, now)
            descriptor, name = taken or self._make(folder_fd, now)
            if taken is None:
                self._make_room(folder_fd, now)
            folder = identity_of(os.fstat(folder_fd))
        finally:
            os.close(folder_fd)
        self._let_go()
        if self._kept_folder not in (None, folder) and self._report is not None:
            self._report.moved()
        self._kept, self._name = VerifiedDescriptor(descriptor), name
        self._kept_folder, self._checked_ns = folder, now
        self._created_ns = folders.created_unix_ns(name)

    def _adopt_segment(self, folder_fd: int, now: int) -> tuple[int, str] | None:
        """A segment that a dead process left and that has room."""
        if not self._takes_over:
            return None
        names = folders.segment_names(folder_fd, self.stream)
        for name in names[: -_TAKE_OVER_TRIES - 1 : -1]:
            if not 0 <= now - folders.created_unix_ns(name) < TAKE_OVER_AGE_NS:
                break
            try:
                descriptor = _lock_segment(folder_fd, name, os.O_WRONLY | os.O_APPEND)
            except OSError:  # a directory, a fifo, a link, another user's: none of ours
                continue
            if descriptor is None:
                continue
            found = os.fstat(descriptor)
            if found.st_size < self._max_segment_bytes // 2:
                # The last sign of life of its writer, which our first write overwrites.
                self._sign_of_life_ns = found.st_mtime_ns
                return descriptor, name
            os.close(descriptor)
        return None

    def _make(self, folder_fd: int, now: int) -> tuple[int, str]:
        for _ in range(3):  # one that evicts may lock it first, and then removes it
            name = folders.new_segment_name(self.stream, time_unix_ns=now)
            descriptor = _lock_segment(
                folder_fd, name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
            )
            if descriptor is not None:
                if self.durability != "process":
                    os.fsync(folder_fd)
                return descriptor, name
        raise OSError(errno.EAGAIN, "three new segments were deleted as soon as they were created")

    def _make_room(self, folder_fd: int, now: int) -> None:
        """Evict the oldest segments where there are too many; rarely, and cheap otherwise."""
        try:
            names = folders.segment_names(folder_fd)
            sizes = [(name, os.stat(name, dir_fd=folder_fd).st_size) for name in names]
            size = sum(size for _, size in sizes)
            logs = sum(size for name, size in sizes if name[:1] == folders.LOGS)
            age_ns = now - folders.created_unix_ns(names[0]) if names else 0
            is_full = size > self._max_journal_bytes or logs > folders.MAX_LOGS_BYTES
            if is_full or age_ns > folders.MAX_AGE_SECONDS * 1e9:
                from otel_codomon.journal.retention import make_room  # noqa: PLC0415 - 20 ms, rarely

                self.evicted += make_room(folder_fd, size_bytes=self._max_journal_bytes)
        except OSError:  # somebody else makes room at the same time
            return

    def _let_go(self) -> None:
        if self._kept is None:
            return
        self.sync()
        kept, self._kept = self._kept, None
        self._declared.clear()
        kept.close()


def _lock_segment(folder_fd: int, name: str, flags: int) -> int | None:
    """Open and lock a segment; None where somebody else has it or it is gone."""
    try:
        descriptor = folders.open_file(folder_fd, name, flags)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except BlockingIOError:
        pass  # its writer lives
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


# --- fork ---

_writers: dict[int, Writer] = {}


def open_sessions(stream: str) -> list[tuple[str, bytes]]:
    """Folder and session of each writer of *stream* that this process has."""
    return [
        (writer.folder, writer.session)
        for writer in tuple(_writers.values())
        if writer.stream == stream
    ]


_held: list[Writer] = []


def _before_fork() -> None:
    _held[:] = _writers.values()
    for writer in _held:
        writer._lock.acquire()  # noqa: SLF001 - same module


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop()._lock.release()  # noqa: SLF001 - same module


def _after_fork_in_child() -> None:
    for writer in tuple(_writers.values()):
        kept = writer._kept  # noqa: SLF001 - same module
        writer._reset()  # noqa: SLF001 - same module
        writer.written = writer.unwritten = 0
        if kept is not None:
            kept.close()  # the parent's lock stays: the parent has it open


on_fork(
    "writer",
    before=_before_fork,
    in_parent=_after_fork_in_parent,
    in_child=_after_fork_in_child,
)
