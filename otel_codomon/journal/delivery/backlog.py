"""What waits to be delivered, in order, a batch at a time."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_codomon._platform.otlp_variables import METRICS, TRACES
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.index import MAX_READ_BYTES, is_locked, read_from
from otel_codomon.journal.segments import HISTORY, UNSAMPLED, Record, decode
from otel_codomon.journal.span_data import facts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
    from otel_codomon.journal.delivery.state import State

MAX_BATCH_BYTES: Final = 2 * 1024 * 1024 - 64 * 1024
"""Of one request: collectors take 4 MiB over gRPC and 20 MiB over HTTP; with room to spare."""

METRICS_AGE_SECONDS: Final = 3600.0
"""Metrics that are older are not worth sending: stores refuse points out of their order."""

_MIN_READ_BYTES: Final = 64 * 1024
"""Read at once, where a batch is small."""

# The streams whose segments a signal is found in, and the kind of record that
# holds its requests. An ENDED record becomes requests of both signals.
_STREAMS: Final = {TRACES: (folders.TRACES,), METRICS: (folders.TRACES, folders.METRICS)}
_REQUESTS: Final = {TRACES: segments.TRACES, METRICS: segments.METRICS}


DAMAGED: Final = "damaged"
OUTDATED: Final = "outdated"
MALFORMED: Final = "malformed"


class Item(NamedTuple):
    """A piece of the journal that is delivered or passed over as one.

    Attributes:
        segment: Its segment.
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
        signal: `TRACES` or `METRICS`.
        state: How far it was delivered; moved on by `done`.
    """

    def __init__(self, kept: VerifiedDescriptor, signal: str, state: State) -> None:
        self.signal = signal
        self.fates: Counter[str] = Counter()
        self._kept = kept
        self._offsets = state.sent[signal]
        self._resources: dict[bytes, bytes] = {}

    def waiting_bytes(self) -> dict[str, int]:
        """Bytes after what was delivered, by segment: what there is to look through."""
        return {name: end - self._offsets.get(name, 0) for name, end in self.waiting_ends().items()}

    def own_waiting_bytes(self) -> dict[str, int]:
        """The same of the signal's own segments alone: what people are shown.

        The ends of executions are in those of traces, whatever becomes of them.
        """
        stream = folders.STREAMS[self.signal]
        return {name: n for name, n in self.waiting_bytes().items() if name[:1] == stream}

    def waiting_ends(self) -> dict[str, int]:
        """Where each segment ends that was not delivered up to there, oldest first."""
        found = {}
        for stream in _STREAMS[self.signal]:
            for name in folders.segment_names(self._kept.checked(), stream):
                end = segment_size(self._kept.checked(), name)
                if self._offsets.get(name, 0) > end:  # a damaged state: begin again
                    self._offsets[name] = 0
                if end > self._offsets.get(name, 0):
                    found[name] = end
        return found

    def waiting_records(self) -> int:
        """How many records wait to be delivered; an execution counts as a span's only."""
        return sum(self._count(name) for name in self.waiting_ends())

    def _count(self, name: str) -> int:
        if name[:1] != folders.STREAMS[self.signal]:
            return 0
        wanted = (_REQUESTS[self.signal], segments.ENDED)
        start = self._offsets.get(name, 0)
        return count_records(self._kept.checked(), name, signals=wanted, start=start)

    def next_batch(self, max_bytes: int = MAX_BATCH_BYTES) -> list[Item]:
        """The next items in order; their payloads together no longer than *max_bytes*.

        At least one payload, however long, if any waits. One that would harm
        its neighbours in a request is alone. Items without a payload are to be
        passed over.
        """
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
            if item.end is not None:
                self._offsets[item.segment] = max(item.end, self._offsets.get(item.segment, 0))

    def _items(self, name: str, window: int) -> Iterator[Item]:
        try:
            descriptor = folders.open_file(self._kept.checked(), name, os.O_RDONLY)
        except OSError:  # evicted since it was listed
            return
        try:
            yield from self._items_of(name, descriptor, max(window, _MIN_READ_BYTES))
        finally:
            os.close(descriptor)

    def _items_of(self, name: str, descriptor: int, window: int) -> Iterator[Item]:
        at = self._offsets.get(name, 0)
        while True:
            read = read_from(descriptor, at, window)
            is_end = len(read) < window
            end = 0
            for item in decode(read, is_end=is_end):
                end = item.end
                yield self._item(name, at, item, descriptor)
            if is_end:
                yield from self._tail(name, at + end, at + len(read))
                return
            if not end and window < MAX_READ_BYTES:  # one record longer than the window
                window = min(4 * window, MAX_READ_BYTES)
            elif not end:  # no record begins in what is longer than any record
                end = len(read) - segments.MAX_RECORD_BYTES
                yield Item(name, at + end, None, 0, DAMAGED)
            at += end

    def _item(self, name: str, base: int, item: Record | segments.Damage, descriptor: int) -> Item:
        end = base + item.end
        if not isinstance(item, Record):
            return Item(name, end, None, 0, DAMAGED)
        if item.signal == segments.RESOURCE:
            self._resources[item.key] = item.payload
        written = item.time_unix_ns
        try:
            payload = self._payload(item, descriptor)
        except Exception:  # noqa: BLE001 - content that is not ours: json and protobuf raise much
            # Both signals read it, and one sets it aside.
            if item.signal == segments.ENDED and self.signal != TRACES:
                return Item(name, end, None, written)
            return Item(name, end, None, written, MALFORMED, item.payload)
        if payload is not None and self._is_outdated(item):
            return Item(name, end, None, written, OUTDATED)
        return Item(name, end, payload, written)

    def _payload(self, record: Record, descriptor: int) -> bytes | None:
        """The request in *record*; None for what is not delivered.

        Raises:
            Exception: Its content is malformed: any exception at all.
        """
        if record.flags & _KEPT[self.signal]:
            return None
        if record.signal == _REQUESTS[self.signal]:
            return record.payload
        if record.signal == segments.ENDED:
            return self._request_of(record, descriptor)
        return None

    def _request_of(self, record: Record, descriptor: int) -> bytes:
        """The request that an execution written as a value becomes."""
        from otel_codomon.journal import conversion  # noqa: PLC0415 - protobuf, 40 ms; not every journal has such

        facts = facts_of(record)
        if facts is None:
            raise ValueError("not an execution")
        make = _MAKERS[self.signal]
        resource = self._resource(facts.resource_key, descriptor)
        return make(conversion, facts, conversion.resource_attributes(resource))

    def _resource(self, key: bytes | None, descriptor: int) -> bytes | None:
        """The resource of this key; it may stand before where we began to read."""
        if key is not None and key not in self._resources:
            for item in decode(read_from(descriptor, 0, MAX_READ_BYTES)):
                if isinstance(item, Record) and item.signal == segments.RESOURCE:
                    self._resources[item.key] = item.payload
        return None if key is None else self._resources.get(key)

    def _is_outdated(self, record: Record) -> bool:
        age_seconds = (time.time_ns() - record.time_unix_ns) / 1e9
        return self.signal == METRICS and age_seconds > METRICS_AGE_SECONDS

    def _tail(self, name: str, start: int, end: int) -> Iterator[Item]:
        """Pass over, and count, a record that a process left torn when it died."""
        # One that is being written now is none of that: its writer has the lock.
        if start < end and not is_locked(self._kept.checked(), name):
            yield Item(name, end, None, 0, DAMAGED)


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
        isinstance(item, Record) and item.signal in signals and not item.flags & _KEPT[TRACES]
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


def segment_size(folder_fd: int, name: str) -> int:
    """Size of a segment, bytes; 0 where it is gone, or not ours."""
    try:
        found = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except OSError:  # evicted since it was listed
        return 0
    return found.st_size if folders.is_own_file(found) else 0


_MAKERS: Final[dict[str, Callable[..., bytes]]] = {
    TRACES: lambda conversion, facts, resource: conversion.span_request(facts, resource),
    METRICS: lambda conversion, facts, resource: conversion.metrics_request(facts, resource),
}
# What is history alone, by signal: the metrics of an unsampled execution count.
_KEPT: Final = {TRACES: HISTORY | UNSAMPLED, METRICS: HISTORY}
