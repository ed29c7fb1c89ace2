"""Takes executions back out of the journal: those of any process on this machine.

Whatever is in the files, reading does not fail: what cannot be understood is
left out and counted.
"""

from __future__ import annotations

import heapq
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.errors import AmbiguousExecutionError
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.heartbeats import usage_so_far
from otel_codomon.journal.index import build_index, find_start
from otel_codomon.journal.segments import Record, decode
from otel_codomon.journal.span_data import IDENTITY, command_in, read_span_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    from otel_codomon.journal.execution_record import ExecutionRecord
    from otel_codomon.journal.index import Place
    from otel_codomon.resources.usage import Usage

_OUR_ID: Final = re.compile("[0-9a-f]{32}").fullmatch
_TELLING_CHARACTERS: Final = 8
_SHOWN_IDS: Final = 3
_WINDOW_BYTES: Final = 32 * 1024
"""Read of a segment at once: thirty executions or so."""


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
        self._payloads: _Payloads | None = None

    def executions(
        self,
        *,
        since_unix_ns: int = 0,
        until_unix_ns: int | None = None,
        limit: int | None = None,
        keys: frozenset[str] | None = None,
    ) -> Iterator[ExecutionRecord]:
        """Yield executions, the newest start first, decoding each when it is asked for.

        An execution whose process died before it ended has the outcome
        ``host_died``, and ends at the last sign of life of that process.

        Args:
            since_unix_ns: Leave out what started before, nanoseconds since the epoch.
            until_unix_ns: Leave out what started after; None for now.
            limit: How many at most; None for all.
            keys: The attributes that are wanted, besides those that say which
                execution it is; None for all. Of most executions nobody looks
                at the rest, which takes half of the time. `complete` fetches
                those of one.

        Raises:
            JournalUnavailableError: There is a folder, and it cannot be read.
        """
        opened = self.opened(
            since_unix_ns=since_unix_ns, until_unix_ns=until_unix_ns, limit=limit, keys=keys
        )
        with opened as found:
            yield from found

    @contextmanager
    def opened(
        self,
        *,
        since_unix_ns: int = 0,
        until_unix_ns: int | None = None,
        limit: int | None = None,
        keys: frozenset[str] | None = None,
    ) -> Iterator[Iterator[ExecutionRecord]]:
        """As `executions`; until the end of the block `of_span` and `complete` fetch more of them.

        Raises:
            JournalUnavailableError: There is a folder, and it cannot be read.
        """
        wanted = None if keys is None else keys | IDENTITY
        with _opened(self.folder) as kept:
            if kept is None:
                yield iter(())
                return
            with _Payloads(kept, since_unix_ns, missed=self._miss) as payloads:
                self._payloads = payloads
                newest = payloads.newest(since_unix_ns, until_unix_ns, limit)
                found = (payloads.execution(key, wanted) for key in newest)
                yield (record for record in found if record is not None)

    def _miss(self, records: int) -> None:
        self.unreadable += records

    def complete(self, record: ExecutionRecord) -> ExecutionRecord:
        """The same with all its attributes, while `executions` is being gone through."""
        return self.of_span(record.span_id) or record

    def of_span(self, span_id: str) -> ExecutionRecord | None:
        """The execution of this span with all its attributes, while it is open; or None."""
        if self._payloads is None:
            return None
        return self._payloads.execution(bytes.fromhex(span_id))

    def command_of(self, record: ExecutionRecord) -> tuple[str, ...]:
        """Program and arguments of a command, scrubbed; empty where they are not known."""
        with _opened(self.folder) as kept:
            if kept is None:
                return ()
            key = bytes.fromhex(record.span_id)
            found = find_start(kept.checked(), key, record.started_unix_ns)
        return () if found is None else command_in(found)

    def of_id(self, execution_id: str) -> ExecutionRecord | None:
        """The newest execution of exactly this id; None where there is none."""
        for found in self.executions(keys=frozenset()):
            if found.execution_id == execution_id:
                return self.complete(found)
        return None

    def find(self, wanted: str) -> ExecutionRecord | None:
        """The execution whose id, trace id or span id is *wanted*, or begins with it.

        Of a whole trace it is the newest.

        Returns:
            None where there is none, and for an empty text.

        Raises:
            AmbiguousExecutionError: The beginning fits executions of several traces.
        """
        fitting: list[ExecutionRecord] = []
        for found in self.executions(keys=frozenset()) if wanted else ():
            ids = (found.execution_id, found.span_id, found.trace_id)
            if wanted in ids:
                return self.complete(found)
            if any(one.startswith(wanted) for one in ids):
                fitting.append(self.complete(found) if not fitting else found)
                # Our own ids do not begin alike by chance; those of callers do.
                if len(wanted) >= _TELLING_CHARACTERS and _OUR_ID(found.execution_id):
                    break
        if len({found.trace_id for found in fitting}) > 1:
            shown = tuple(found.execution_id for found in fitting[:_SHOWN_IDS])
            raise AmbiguousExecutionError(wanted, shown)
        return fitting[0] if fitting else None


class _Payloads:
    """Fetches and decodes executions, and finds out where they are.

    The first index believes the heads: to look at every payload takes longer
    than all the rest, and is rarely needed to show the newest. The first
    payload that is not what its head says has all of them looked at.

    Args:
        kept: The journal's folder; the caller may go through the executions for
            hours, and close every descriptor meanwhile.
        since_unix_ns: Segments that were last written before are left out.
        missed: Told how many more records cannot be read.
    """

    def __init__(
        self, kept: VerifiedDescriptor, since_unix_ns: int, *, missed: Callable[[int], None]
    ) -> None:
        self._kept = kept
        self._since_unix_ns = since_unix_ns
        self._missed = missed
        self._windows: dict[int, tuple[int, bytes]] = {}
        self._opened: dict[int, VerifiedDescriptor | None] = {}
        self._used: dict[str, Usage] | None = None
        self._is_checked = False
        self._index = build_index(kept.checked(), since_unix_ns=since_unix_ns, check_payloads=False)
        missed(self._index.damaged)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._close()

    def newest(
        self, since_unix_ns: int, until_unix_ns: int | None, limit: int | None
    ) -> list[bytes]:
        """Span ids of the executions that started in this time, the newest first."""
        keys = [
            (place.started_unix_ns, key)
            for key, place in self._index.places.items()
            if since_unix_ns <= place.started_unix_ns
            and (until_unix_ns is None or place.started_unix_ns <= until_unix_ns)
        ]
        newest = sorted(keys, reverse=True) if limit is None else heapq.nlargest(limit, keys)
        return [key for _, key in newest]

    def execution(self, key: bytes, keys: frozenset[str] | None = None) -> ExecutionRecord | None:
        """The execution of this span id; None where it cannot be understood."""
        found = self._read(key, keys)
        if found is None and not self._is_checked:
            self._look_at_all()
            found = self._read(key, keys)
        if found is None and key in self._index.places:
            self._missed(1)  # otherwise it is among what is damaged, or was evicted
        return found

    def _look_at_all(self) -> None:
        """Find out what is damaged, and what else tells of the same executions."""
        before, self._is_checked = self._index.damaged, True
        self._close()
        self._index = build_index(self._kept.checked(), since_unix_ns=self._since_unix_ns)
        self._missed(self._index.damaged - before)

    def _read(self, key: bytes, keys: frozenset[str] | None) -> ExecutionRecord | None:
        place = self._index.places.get(key)
        record = None if place is None else self._record(place)
        if place is None or record is None:
            return None
        span = read_span_data(record, keys=keys)
        if span is None:
            return None
        pid = None if place.session < 0 else self._index.sessions[place.session].pid
        if place.signal == segments.STARTED:
            used = self._used_so_far().get(key.hex())
            if self._index.is_alive(place):
                span = span.with_usage(used)
            else:
                span = span.as_died(self._index.last_sign_unix_ns(place), used)
        return span.execution(host_pid=pid)

    def _used_so_far(self) -> dict[str, Usage]:
        """What executions without an end used by their last heartbeat; read when one is met."""
        if self._used is None:
            self._used = usage_so_far(self._kept.checked())
        return self._used

    def _record(self, place: Place) -> Record | None:
        found = next(decode(self._bytes(place)), None)
        return found if isinstance(found, Record) else None

    def _bytes(self, place: Place) -> bytes:
        """Bytes of a record; what was written never changes, so its neighbours are kept too."""
        start, window = self._windows.get(place.segment, (0, b""))
        if not start <= place.start <= place.end <= start + len(window):
            opened = self._open(place.segment)
            if opened is None:
                return b""
            start = max(0, min(place.start, place.end - _WINDOW_BYTES))  # the older ones are next
            window = os.pread(opened.number, place.end - start, start)
            self._windows[place.segment] = (start, window)
        return window[place.start - start : place.end - start]

    def _open(self, segment: int) -> VerifiedDescriptor | None:
        if segment in self._opened:
            opened = self._opened[segment]
            if opened is None or opened.is_ours:
                return opened
        try:
            self._opened[segment] = VerifiedDescriptor(
                folders.open_file(self._kept.checked(), self._index.names[segment], os.O_RDONLY)
            )
        except OSError:  # evicted since it was indexed; or the folder's descriptor was closed
            self._opened[segment] = None
        return self._opened[segment]

    def _close(self) -> None:
        for opened in self._opened.values():
            if opened is not None:
                opened.close()
        self._opened.clear()
        self._windows.clear()


@contextmanager
def _opened(folder: str) -> Iterator[VerifiedDescriptor | None]:
    """A descriptor of *folder*; None where there is none."""
    folder_fd = folders.find_folder(folder)
    if folder_fd is None:
        yield None
        return
    kept = VerifiedDescriptor(folder_fd)
    try:
        yield kept
    finally:
        kept.close()
