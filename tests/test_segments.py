from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, strategies as st

from otel_codomon.journal import segments
from otel_codomon.journal.segments import Damage, Record, decode, encode, heads

payloads = st.lists(st.binary(max_size=64), max_size=8)


def written(payload: bytes) -> bytes:
    return encode(segments.TRACES, payload, time_unix_ns=7, key=b"12345678", flags=1)


def read(segment: bytes) -> list[bytes]:
    return [item.payload for item in decode(segment) if isinstance(item, Record)]


@given(
    st.integers(0, 255),
    st.binary(max_size=99),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 2**16 - 1),
)
def test_a_record_comes_back_as_it_was(
    signal: int, payload: bytes, time_unix_ns: int, key: bytes, flags: int
) -> None:
    encoded = encode(signal, payload, time_unix_ns=time_unix_ns, key=key, flags=flags)

    (record,) = decode(encoded)

    assert isinstance(record, Record)
    assert (record.signal, record.flags, record.time_unix_ns) == (signal, flags, time_unix_ns)
    assert (record.key, record.payload) == (key, payload)
    assert (record.start, record.end) == (0, len(encoded))
    assert record.encoded() == encoded


@given(payloads)
def test_what_is_written_is_read_back(history: list[bytes]) -> None:
    assert read(b"".join(map(written, history))) == history


@given(payloads, st.data())
def test_a_segment_cut_anywhere_loses_only_its_tail(
    history: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(map(written, history))
    cut = data.draw(st.integers(0, len(whole)))

    survivors = read(whole[:cut])

    assert survivors == history[: len(survivors)]
    assert len(b"".join(map(written, history[: len(survivors) + 1]))) > cut or (
        survivors == history
    )


@given(payloads, st.binary(max_size=80), st.data())
def test_damage_costs_only_the_records_it_touches(
    history: list[bytes], noise: bytes, data: st.DataObject
) -> None:
    records = list(map(written, history))
    whole = bytearray(b"".join(records))
    start = data.draw(st.integers(0, len(whole)))
    whole[start : start + len(noise)] = noise  # may also grow at the end
    end = start + len(noise)

    survivors = read(bytes(whole))

    at, untouched = 0, []
    for payload, record in zip(history, records, strict=True):
        if at + len(record) <= start or at >= end:
            untouched.append(payload)
        at += len(record)
    remaining = iter(survivors)
    assert all(payload in remaining for payload in untouched)


@given(st.binary(max_size=400))
def test_any_bytes_at_all_are_read_without_a_complaint(noise: bytes) -> None:
    end = 0
    for item in decode(segments.MAGIC + noise):
        assert item.start == end
        assert item.end > item.start
        end = item.end


def test_heads_tell_of_every_mutated_segment_what_reading_all_of_it_tells() -> None:
    chance = random.Random(20_27)
    whole = b"".join(written(chance.randbytes(chance.randrange(120))) for _ in range(12))
    for _ in range(2_000):
        mutated, _touched = _mutate(chance, whole)

        found = list(heads(mutated))

        assert found == [
            (item.signal, item.key, item.time_unix_ns, item.start, item.end)
            if isinstance(item, Record)
            else (segments.DAMAGE, segments.NO_KEY, 0, item.start, item.end)
            for item in decode(mutated)
        ]


def test_heads_that_trust_payloads_find_also_the_record_whose_payload_is_damaged() -> None:
    records = [written(b"one"), written(b"two"), written(b"three")]
    damaged = b"".join(records).replace(b"two", b"TWO")

    trusting = [(start, end) for *_, start, end in heads(damaged, check_payloads=False)]
    checking = [signal for signal, *_ in heads(damaged)]

    ends = [sum(map(len, records[: count + 1])) for count in range(3)]
    assert trusting == list(zip([0, *ends], ends, strict=False))
    assert checking == [segments.TRACES, segments.DAMAGE, segments.TRACES]


def test_ten_thousand_mutated_segments_lose_nothing_that_is_whole() -> None:
    chance = random.Random(20_26)
    history = [written(chance.randbytes(chance.randrange(120))) for _ in range(12)]
    whole = b"".join(history)
    ends = [sum(map(len, history[: index + 1])) for index in range(len(history))]
    for _ in range(10_000):
        mutated, touched = _mutate(chance, whole)

        found = {(item.start, item.end) for item in decode(mutated) if isinstance(item, Record)}

        for start, end in zip([0, *ends], ends, strict=False):
            if touched.stop <= start or end <= touched.start:
                assert (start, end) in found


def _mutate(chance: random.Random, whole: bytes) -> tuple[bytes, range]:
    """A segment with bits flipped, zeroed, swapped, cut or given a giant length, and where."""
    start = chance.randrange(len(whole))
    length = chance.randrange(1, 60)
    piece = whole[start : start + length]
    touched = range(start, start + len(piece))
    way = chance.randrange(5)
    if way == 0:
        piece = bytes(byte ^ (1 << chance.randrange(8)) for byte in piece)
    elif way == 1:
        piece = bytes(len(piece))
    elif way == 2:
        piece = piece[::-1]
    elif way == 3:
        piece = (b"\xff" * length)[: len(piece)]
    else:
        return whole[:start], range(start, len(whole))
    return whole[:start] + piece + whole[start + len(piece) :], touched


def test_damage_is_told_with_its_place() -> None:
    one, two, three = written(b"one"), written(b"two"), written(b"three")
    broken = one + bytes([two[0] ^ 1]) + two[1:] + three

    items = list(decode(broken))

    assert [type(item) for item in items] == [Record, Damage, Record]
    assert (items[1].start, items[1].end) == (len(one), len(one) + len(two))
    assert repr(items[1]) == f"Damage({len(one)}..{len(one) + len(two)})"


def test_a_record_of_a_later_version_is_passed_over() -> None:
    import struct
    from zlib import crc32

    later = bytearray(written(b"from the future"))
    later[4] = 9
    later[32:36] = struct.pack("<I", crc32(later[:32]))

    items = list(decode(bytes(later) + written(b"now")))

    assert [type(item) for item in items] == [Damage, Record]


def test_a_length_of_four_gigabytes_is_not_believed() -> None:
    import struct
    from zlib import crc32

    giant = bytearray(written(b"x"))
    giant[8:12] = b"\xff\xff\xff\xff"
    giant[32:36] = struct.pack("<I", crc32(giant[:32]))

    assert read(bytes(giant) + written(b"next")) == [b"next"]


def test_a_torn_record_that_was_written_over_is_damage_not_an_end() -> None:
    torn = written(b"a long payload that never came")[:-10]

    assert read(torn + written(b"next")) == [b"next"]


def test_a_record_that_is_too_long_is_refused_with_the_way_out() -> None:
    expected = re.escape("cannot encode a record of 33554433 bytes: at most 33554432 fit; split it")

    with pytest.raises(ValueError, match=f"^{expected}$"):
        encode(segments.TRACES, bytes(segments.MAX_PAYLOAD_BYTES + 1), time_unix_ns=0)


def test_no_text_can_hold_what_looks_like_a_record() -> None:
    with pytest.raises(UnicodeDecodeError):
        segments.MAGIC.decode()
