"""Looks at an execution: what was read, and what two readings say of the time between."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source read at one instant. None means not told, never zero.

    Attributes:
        taken_ns: End of the look, monotonic clock, nanoseconds.
        cpu_ns: CPU time of everything so far, nanoseconds. Never falls: what a
            process used stays in when it ends.
        memory_bytes: Memory in use. Of processes the sum of their resident set
            sizes, where pages shared by n of them count n times; of a cgroup
            what is charged to it, without page cache.
        processes: Living processes, zombies left out.
        threads: Their threads.
        file_descriptors: Their open file descriptors.
        read_bytes: Bytes fetched from storage so far.
        write_bytes: Bytes sent to storage so far.
    """

    taken_ns: int
    cpu_ns: int | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    threads: int | None = None
    file_descriptors: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at an execution, with what it did since the look before.

    Attributes:
        taken_ns: When, monotonic clock, nanoseconds.
        cpu_seconds: CPU time so far, seconds.
        cores: Cores in use since the look before: 2.0 is two, busy all the time.
        memory_bytes: As in a `Reading`.
        processes: As in a `Reading`.
        threads: As in a `Reading`.
        file_descriptors: As in a `Reading`.
        disk_read_bytes_per_second: Since the look before.
        disk_write_bytes_per_second: Since the look before.
    """

    taken_ns: int
    cpu_seconds: float | None = None
    cores: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    threads: int | None = None
    file_descriptors: int | None = None
    disk_read_bytes_per_second: float | None = None
    disk_write_bytes_per_second: float | None = None


def sample_between(earlier: Reading | None, later: Reading, *, cores: int) -> Sample:
    """The sample that *later* makes, with rates since *earlier*.

    Args:
        earlier: The look before, None at the first.
        later: The look that is the sample.
        cores: Cores of the machine. A parent that reaps a child learns of its
            whole life at once; no rate is larger than what the machine can do.
    """
    elapsed_ns = 0 if earlier is None else later.taken_ns - earlier.taken_ns
    before = earlier or later
    busy = _rate(before.cpu_ns, later.cpu_ns, elapsed_ns)
    reading = _rate(before.read_bytes, later.read_bytes, elapsed_ns)
    writing = _rate(before.write_bytes, later.write_bytes, elapsed_ns)
    return Sample(
        taken_ns=later.taken_ns,
        cpu_seconds=None if later.cpu_ns is None else later.cpu_ns / 1e9,
        cores=None if busy is None else min(busy, float(cores)),
        memory_bytes=later.memory_bytes,
        processes=later.processes,
        threads=later.threads,
        file_descriptors=later.file_descriptors,
        disk_read_bytes_per_second=None if reading is None else reading * 1e9,
        disk_write_bytes_per_second=None if writing is None else writing * 1e9,
    )


def _rate(before: int | None, after: int | None, elapsed_ns: int) -> float | None:
    """Growth per nanosecond, never negative; None where it cannot be known."""
    if before is None or after is None or elapsed_ns <= 0:
        return None
    return max(0, after - before) / elapsed_ns


def add_readings(readings: tuple[Reading, ...], *, taken_ns: int) -> Reading:
    """The sum of what several sources read; what none of them tells stays unknown.

    Args:
        readings: One from each source.
        taken_ns: When the last was taken.
    """
    if len(readings) == 1:
        return readings[0]
    sums = {field: _sum(getattr(reading, field) for reading in readings) for field in _SUMMED}
    return Reading(taken_ns=taken_ns, **sums)


_SUMMED: Final = tuple(field.name for field in fields(Reading) if field.name != "taken_ns")


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
