"""Records as bytes and back: the pure core of the journal.

A segment is a sequence of records. A record is a head of 36 bytes and a
payload; both have a checksum of their own, so that damage to one record is
seen and costs that record only. Imports next to nothing: a command that runs
for milliseconds writes records too.

Theory of operation
===================

Each process appends to a segment of its own, under a lock that shows that it is
alive. One process, elected by another lock, reads all segments and delivers
them. Nothing else is shared, so a record's state follows from four facts: what
the segment holds, who holds its lock, what the collector answered, and what
``sent.json`` says. A move is one append, one rename or one unlink: a crash leaves
the state before it or the state after it.

=============  ==============================  ========================================
state          moved on by                     a crash in this state leaves
=============  ==============================  ========================================
pending        Flusher.flush_soon              nothing: only spans that are no
                                               executions wait here, for 0.1 s
torn           Backlog.next_batch              a tail that is passed over, and counted
                                               as damaged once its writer is dead
written        Writer.sync                     the record, unless the machine loses
                                               power: the kernel has it
synced         Backlog.next_batch              the record
orphaned       Recovery.search                 the start of an execution, found again by
                                               the next elected process
in flight      BatchSender.deliver             the record, sent again: the same bytes
                                               and ids
acknowledged   save_state                      the record, sent again: what is sent in
                                               vain is at most a twentieth
rejected       DeliverySession.work            the record, rejected again: a second
                                               dead letter
sent           evict                           the record, as history; where the file
                                               is damaged, all are sent again
evicted        nothing                         nothing; it was counted and logged if it
                                               had not been sent
=============  ==============================  ========================================

``tests/test_record_states.py`` holds this table to the code: each mover exists, and
each row names the tests that crash there.
"""

from __future__ import annotations

import struct
from zlib import crc32

TYPE_CHECKING = False  # not from typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Iterator

# The first and last byte are in no UTF-8 text, so no text that somebody chose
# can hold what looks like a record.
MAGIC = b"\xffOC\xfe"
VERSION = 1

# Kinds of records. TRACES, METRICS and LOGS hold one complete OTLP export request
# each; the others hold a JSON object.
SESSION = 1
RESOURCE = 2
STARTED = 3
ENDED = 4
TRACES = 5
METRICS = 6
HEARTBEAT = 7
LOGS = 8

# Flag: kept as this machine's history, delivered by somebody else's exporter.
HISTORY = 1
# Flag: of an execution that is not sampled. Its span is kept as history, its metrics count.
UNSAMPLED = 2
# Flag: in no metric that is made from ends: instruments report it, or no metrics are wanted.
UNCOUNTED = 4

NO_KEY = bytes(8)

# What `heads` says of a stretch of bytes that is no record.
DAMAGE = 0

# Longer than any request a collector takes (20 MiB over HTTP), short enough
# that a damaged length cannot ask for all memory.
MAX_PAYLOAD_BYTES = 32 * 1024 * 1024

# Little-endian: magic, version, signal, flags, length of the payload in bytes,
# time in nanoseconds since the epoch, key, CRC-32 of the payload. Then the
# CRC-32 of all these.
_HEAD = struct.Struct("<4sBBHIQ8sI")
_CHECK = struct.Struct("<I")
HEAD_BYTES = _HEAD.size + _CHECK.size
MAX_RECORD_BYTES = HEAD_BYTES + MAX_PAYLOAD_BYTES
_WHOLE_HEAD = struct.Struct(_HEAD.format + "I")

_MAX_TIME = 2**64 - 1
# How many times the size of a segment is read to look for what is behind damage.
_SEARCH_TIMES = 16
# In protobuf: field number 1, length-delimited; and a length has 32 bits.
_FIELD_1 = 0x0A
_MAX_VARINT_BITS = 35


class Record:
    """One whole record of a segment.

    Attributes:
        signal: What kind of record, one of the constants of this module, or a
            number that a later version will know.
        flags: `HISTORY`, `UNSAMPLED`, both or neither.
        key: Span id of the execution that a STARTED, ENDED, TRACES or LOGS record
            is about, or the id of a SESSION or RESOURCE; `NO_KEY` otherwise.
        time_unix_ns: When it was written, nanoseconds since the epoch.
        payload: Its content.
        start: Offset of its first byte in the segment.
        end: Offset after its last byte.
    """

    __slots__ = ("end", "flags", "key", "payload", "signal", "start", "time_unix_ns")

    def __init__(
        self,
        *,
        signal: int,
        flags: int,
        key: bytes,
        time_unix_ns: int,
        payload: bytes,
        start: int,
        end: int,
    ) -> None:
        self.signal = signal
        self.flags = flags
        self.key = key
        self.time_unix_ns = time_unix_ns
        self.payload = payload
        self.start = start
        self.end = end

    def encoded(self) -> bytes:
        """The bytes it was read from."""
        return encode(
            self.signal,
            self.payload,
            key=self.key,
            flags=self.flags,
            time_unix_ns=self.time_unix_ns,
        )

    def __repr__(self) -> str:
        return f"Record(signal={self.signal}, {self.start}..{self.end}, key={self.key.hex()})"


class Damage:
    """Bytes of a segment that are no record, between two that are.

    Attributes:
        start: Offset of the first byte.
        end: Offset after the last byte.
    """

    __slots__ = ("end", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end

    def __repr__(self) -> str:
        return f"Damage({self.start}..{self.end})"


def encode(
    signal: int,
    payload: bytes,
    *,
    time_unix_ns: int,
    key: bytes = NO_KEY,
    flags: int = 0,
) -> bytes:
    """Return *payload* with the head that lets `decode` find and trust it.

    Raises:
        ValueError: The payload is longer than `MAX_PAYLOAD_BYTES`.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(
            f"cannot encode a record of {len(payload)} bytes: at most {MAX_PAYLOAD_BYTES} fit; "
            "split it"
        )
    time_unix_ns = min(max(0, time_unix_ns), _MAX_TIME)
    head = _HEAD.pack(
        MAGIC, VERSION, signal, flags, len(payload), time_unix_ns, key, crc32(payload)
    )
    return head + _CHECK.pack(crc32(head)) + payload


def decode(segment: bytes, *, at: int = 0, is_end: bool = True) -> Iterator[Record | Damage]:
    """Yield the records of *segment* from offset *at*, and the damage between them.

    Args:
        segment: Its bytes, or a window of them.
        at: Where to begin.
        is_end: Whether nothing of the segment comes after these bytes. If more
            does, a record that goes beyond them is not damage.

    Bytes at the end that are not a whole record are not yielded: they may be
    one that is being written now, or one that a process left when it died.
    Which of the two only the caller can know; they begin where the last item
    ended.

    A record of a later version is damage to this one: see `is_newer`.
    """
    search = _Search(segment, is_end=is_end)
    while at + HEAD_BYTES <= len(segment):
        record = _record_at(segment, at)
        if record is None:
            following = None if search.goes_on_at(at) else search.next_record(at + 1)
            if following is None:
                return
            yield Damage(at, following)
            at = following
            continue
        yield record
        at = record.end


def heads(
    segment: bytes, *, check_payloads: bool = True
) -> Iterator[tuple[int, bytes, int, int, int]]:
    """Yield signal, key, time, start and end of each record of *segment*, payloads unread.

    Three times as fast as `decode`, for who needs to know where things are.
    As there, what is no record is told between two that are, with the signal
    `DAMAGE`, and the rest at the end is not.

    Args:
        segment: Its bytes.
        check_payloads: Whether a record whose payload is damaged is none. If
            not, the reader of a payload must verify its checksum. A record
            that is not followed by another is checked all the same: one that a
            process left torn may reach into those of the next.
    """
    view, size, at = memoryview(segment), len(segment), 0
    search = _Search(segment, is_end=True)
    while at + HEAD_BYTES <= size:
        magic, version, signal, _, length, time_unix_ns, key, checksum, head_checksum = (
            _WHOLE_HEAD.unpack_from(segment, at)
        )
        end = at + HEAD_BYTES + length
        if (
            magic == MAGIC
            and crc32(view[at : at + _HEAD.size]) == head_checksum
            and version == VERSION
            and length <= MAX_PAYLOAD_BYTES
            and end <= size
            and (
                not (check_payloads or not MAGIC.startswith(segment[end : end + len(MAGIC)]))
                or crc32(view[at + HEAD_BYTES : end]) == checksum
            )
        ):
            yield signal, key, time_unix_ns, at, end
        else:
            following = search.next_record(at + 1)
            if following is None:
                return
            end = following
            yield DAMAGE, NO_KEY, 0, at, end
        at = end


def is_newer(segment: bytes, at: int) -> bool:
    """Whether a record of a later version begins at offset *at*: its head begins as ours."""
    if segment[at : at + 4] != MAGIC or at + HEAD_BYTES > len(segment):
        return False
    (head_checksum,) = _CHECK.unpack_from(segment, at + _HEAD.size)
    return segment[at + 4] > VERSION and crc32(segment[at : at + _HEAD.size]) == head_checksum


def head_at(segment: bytes, at: int) -> tuple[int, int, int, int, bytes, int] | None:
    """Read the head at offset *at*, if there is one whose checksum is right.

    Returns:
        Signal, flags, end of the record, time, key and the payload's checksum;
        None where no head of this version is.
    """
    if segment[at : at + 4] != MAGIC or at + HEAD_BYTES > len(segment):
        return None
    _, version, signal, flags, length, time_unix_ns, key, checksum = _HEAD.unpack_from(segment, at)
    (head_checksum,) = _CHECK.unpack_from(segment, at + _HEAD.size)
    if crc32(segment[at : at + _HEAD.size]) != head_checksum:
        return None
    if version != VERSION or length > MAX_PAYLOAD_BYTES:
        return None
    return signal, flags, at + HEAD_BYTES + length, time_unix_ns, key, checksum


def _record_at(segment: bytes, at: int) -> Record | None:
    head = head_at(segment, at)
    if head is None:
        return None
    signal, flags, end, time_unix_ns, key, checksum = head
    if end > len(segment):
        return None
    payload = segment[at + HEAD_BYTES : end]
    if crc32(payload) != checksum:
        return None
    return Record(
        signal=signal,
        flags=flags,
        key=key,
        time_unix_ns=time_unix_ns,
        payload=payload,
        start=at,
        end=end,
    )


class _Search:
    """Looks for the next record behind damage.

    Bytes that were made to be slow, a valid head at every place with a payload
    that is wrong, would have all of the segment read again for each of them. So
    no more is read than a few times the segment; what is behind is damage too.
    """

    __slots__ = ("_is_end", "_left_bytes", "_segment")

    def __init__(self, segment: bytes, *, is_end: bool) -> None:
        self._segment = segment
        self._is_end = is_end
        self._left_bytes = _SEARCH_TIMES * len(segment)

    def goes_on_at(self, at: int) -> bool:
        """Whether a record begins at offset *at* and goes beyond what was read."""
        head = None if self._is_end else head_at(self._segment, at)
        return head is not None and head[2] > len(self._segment)

    def next_record(self, at: int) -> int | None:
        """Offset of the next record at or after *at*; None where there is none."""
        while (at := self._segment.find(MAGIC, at)) >= 0:
            head = head_at(self._segment, at)
            if head is not None:
                self._left_bytes -= min(head[2], len(self._segment)) - at
                if self._left_bytes < 0:
                    return None
                if self.goes_on_at(at) or _record_at(self._segment, at) is not None:
                    return at
            at += 1
        return None


def is_request(payload: bytes) -> bool:
    """Whether *payload* can stand beside others in one OTLP request.

    Requests of all signals have one repeated field, number 1, and nothing
    else. A payload that is cut, or has another field, would swallow the begin
    of its neighbour. What is inside the field is for the collector to judge.
    """
    at, size = 0, len(payload)
    while at < size:
        if payload[at] != _FIELD_1:
            return False
        length, shift, at = 0, 0, at + 1
        while at < size and shift < _MAX_VARINT_BITS:
            byte = payload[at]
            length |= (byte & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if byte < 0x80:  # noqa: PLR2004 - the last byte of a number
                break
        else:
            return False
        at += length
    return at == size
