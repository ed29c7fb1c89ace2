"""What waits to be delivered, in order, a batch at a time."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_codomon._platform.otlp_variables import LOGS, METRICS, TRACES
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.index import MAX_READ_BYTES, read_from
from otel_codomon.journal.segment_reader import SegmentReader, segment_size
from otel_codomon.journal.segments import HISTORY, UNSAMPLED, Record, decode
from otel_codomon.journal.span_data import read_span_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
    from otel_codomon.journal.delivery.state import State
    from otel_codomon.journal.execution_metrics.counting import ExecutionMetrics

MAX_BATCH_BYTES: Final = 2 * 1024 * 1024 - 64 * 1024
"""Of one request: collectors take 4 MiB over gRPC and 20 MiB over HTTP; with room to spare."""

METRICS_AGE_SECONDS: Final = 3600.0
"""Metrics that are older are not worth sending: stores refuse points out of their order."""

_REQUESTS: Final = {
    TRACES: (segments.TRACES, segments.ENDED),
    METRICS: (segments.METRICS,),
    LOGS: (segments.LOGS,),
}
"""The kinds of records that a signal is made of."""

_SUMS: Final = ""
"""In the place of a segment: of what is in none of them."""


DAMAGED: Final = "damaged"
OUTDATED: Final = "outdated"
MALFORMED: Final = "malformed"


class Item(NamedTuple):
    """A piece of the journal that is delivered or passed over as one.

    Attributes:
        segment: Its segment; empty for the sums of executions.
        end: Offset after it; None for a part of a record that is not the last.
        payload: The request; None for what is not to be delivered.
        time_unix_ns: When it was written.
        fate: Why it is passed over and counted: `DAMAGED`, `OUTDATED` or
            `MALFORMED`; empty where it is none of these.
        content: The payload of a `MALFORMED` record, to be set aside.
    """

    segment: str
    end: int | None
    payload: bytes | None
    time_unix_ns: int
    fate: str = ""
    content: bytes = b""


class Backlog:
    """What of one signal waits in a journal.

    Args:
        kept: The journal's folder.
        signal: One of `endpoints.SIGNALS`.
        state: How far it was delivered; moved on by `done`.
        executions: The metrics of executions, which go with `METRICS`; None
            where they are not wanted.
    """

    def __init__(
        self,
        kept: VerifiedDescriptor,
        signal: str,
        state: State,
        executions: ExecutionMetrics | None = None,
    ) -> None:
        self.signal = signal
        self.fates: Counter[str] = Counter()
        self._kept = kept
        self._offsets = state.sent[signal]
        self._executions = executions
        self._reader = SegmentReader(kept)

    @property
    def has_newer(self) -> bool:
        """Whether it came upon a record of a later version, which it leaves."""
        return self._reader.has_newer

    @property
    def takeovers(self) -> Mapping[str, int]:
        """The segments that a process has taken over: see `SegmentReader`."""
        return self._reader.takeovers

    def waiting_bytes(self) -> dict[str, int]:
        """Bytes after what was delivered, by segment: what there is to look through."""
        return {name: end - self._offsets.get(name, 0) for name, end in self.waiting_ends().items()}

    def waiting_ends(self) -> dict[str, int]:
        """Where each segment ends that was not delivered up to there, oldest first."""
        found = {}
        for name in folders.segment_names(self._kept.checked(), folders.STREAMS[self.signal]):
            end = segment_size(self._kept.checked(), name)
            if self._offsets.get(name, 0) > end:  # a damaged state: begin again
                self._offsets[name] = 0
            if end > self._offsets.get(name, 0):
                found[name] = end
        return found

    def waiting_records(self) -> int:
        """How many records wait to be delivered."""
        wanted = _REQUESTS[self.signal]
        return sum(
            count_records(
                self._kept.checked(), name, signals=wanted, start=self._offsets.get(name, 0)
            )
            for name in self.waiting_ends()
        )

    def next_batch(
        self, max_bytes: int = MAX_BATCH_BYTES, *, is_urgent: bool = False
    ) -> list[Item]:
        """The next items in order; their payloads together no longer than *max_bytes*.

        At least one payload, however long, if any waits. One that would harm
        its neighbours in a request is alone. Items without a payload are to be
        passed over.

        Args:
            max_bytes: How large a request may be, bytes.
            is_urgent: Whether somebody waits, or this process is about to end.
        """
        if self._executions is not None:
            sums = self._executions.next_request(is_urgent=is_urgent)
            if sums is not None:
                return [Item(_SUMS, None, sums, time.time_ns())]
        batch: list[Item] = []
        size = 0
        for name in self.waiting_ends():
            for item in self._items(name, max_bytes):
                length = len(item.payload or b"")
                is_alone = item.payload is not None and not segments.is_request(item.payload)
                if size and (is_alone or size + length > max_bytes):
                    return batch
                size += length
                _add(batch, item)
                if is_alone:
                    return batch
        return batch

    def done(self, items: list[Item]) -> None:
        """Note that *items* need not be looked at again, and count what was passed over."""
        for item in items:
            if item.fate:
                self.fates[item.fate] += 1
            if item.segment == _SUMS and self._executions is not None:
                self._executions.request_done()
            if item.end is not None:
                self._offsets[item.segment] = max(item.end, self._offsets.get(item.segment, 0))

    def _items(self, name: str, window: int) -> Iterator[Item]:
        at = self._offsets.get(name, 0)
        for end, record in self._reader.records(name, at, window):
            yield (
                Item(name, end, None, 0, DAMAGED)
                if record is None
                else self._item(name, end, record)
            )

    def _item(self, name: str, end: int, record: Record) -> Item:
        written = record.time_unix_ns
        try:
            payload = self._payload(record, name)
        except Exception:  # noqa: BLE001 - content that is not ours: json and protobuf raise much
            return Item(name, end, None, written, MALFORMED, record.payload)
        if payload is not None and self._is_outdated(record):
            return Item(name, end, None, written, OUTDATED)
        return Item(name, end, payload, written)

    def _payload(self, record: Record, name: str) -> bytes | None:
        """The request in *record*; None for what is not delivered.

        Raises:
            Exception: Its content is malformed: any exception at all.
        """
        if record.signal not in _REQUESTS[self.signal] or record.flags & _KEPT:
            return None
        return self._request_of(record, name) if record.signal == segments.ENDED else record.payload

    def _request_of(self, record: Record, name: str) -> bytes:
        """The request that an execution written as a value becomes."""
        from otel_codomon.journal import span_otlp  # noqa: PLC0415 - protobuf, 40 ms; not every journal has such

        span = read_span_data(record)
        if span is None:
            raise ValueError("not an execution")
        resource = self._reader.resource(span.resource_key, name)
        return span_otlp.span_request(span, span_otlp.resource_attributes(resource))

    def _is_outdated(self, record: Record) -> bool:
        age_seconds = (time.time_ns() - record.time_unix_ns) / 1e9
        return self.signal == METRICS and age_seconds > METRICS_AGE_SECONDS


def _add(batch: list[Item], item: Item) -> None:
    """Add *item*; one to pass over takes the place of one before it in its segment."""
    if item.payload is None and batch:
        last = batch[-1]
        if last.payload is None and not last.fate and last.segment == item.segment:
            batch.pop()
    batch.append(item)


def count_records(folder_fd: int, name: str, *, signals: tuple[int, ...], start: int = 0) -> int:
    """How many records of *signals* a segment has after *start*, history left out."""
    try:
        descriptor = folders.open_file(folder_fd, name, os.O_RDONLY)
    except OSError:  # evicted since it was listed
        return 0
    try:
        read = read_from(descriptor, start, MAX_READ_BYTES)
    finally:
        os.close(descriptor)
    return sum(
        isinstance(item, Record) and item.signal in signals and not item.flags & _KEPT
        for item in decode(read)
    )


def count_damaged(folder_fd: int, name: str) -> int:
    """How many stretches of a segment are not records; a torn end is not counted."""
    try:
        descriptor = folders.open_file(folder_fd, name, os.O_RDONLY)
    except OSError:  # evicted since it was listed
        return 0
    try:
        read = read_from(descriptor, 0, MAX_READ_BYTES)
    finally:
        os.close(descriptor)
    return sum(signal == segments.DAMAGE for signal, *_ in segments.heads(read))


_KEPT: Final = HISTORY | UNSAMPLED
"""What is history alone."""
