"""Looks at an execution: what was read, and what two readings say of the time between.

Named tuples, since a look makes two for each execution: a frozen dataclass
takes four times as long to make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


_TICK_NS: Final = 10_000_000
"""The longest tick of a kernel (CONFIG_HZ=100), nanoseconds."""


class Reading(NamedTuple):
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
        storage_taken_ns: When the two below were read, which may be less often;
            None where they are not told.
        read_bytes: Bytes fetched from storage so far.
        write_bytes: Bytes sent to storage so far.
        reaped_ns: CPU time of processes that ended and were waited for, nanoseconds:
            what grew by it was not used by the threads that are there.
        own_threads: Threads of this process whose CPU time is in it, beside `threads`.
    """

    taken_ns: int
    cpu_ns: int | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    threads: int | None = None
    file_descriptors: int | None = None
    storage_taken_ns: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None
    reaped_ns: int | None = None
    own_threads: int | None = None


class Sample(NamedTuple):
    """One look at an execution, with what it did since the look before.

    Attributes:
        taken_ns: When, monotonic clock, nanoseconds.
        cpu_seconds: CPU time so far, seconds.
        cores: Cores in use since the look before, or, where that was less than 10 ms
            ago, since one that was not: 2.0 is two, busy all the time.
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


def sample_between(
    earlier: Reading | None, later: Reading, *, cores: int, storage: StorageRate | None = None
) -> Sample:
    """The sample that *later* makes, with rates since *earlier*.

    Args:
        earlier: The look that rates are counted from, None at the first.
        later: The look that is the sample.
        cores: Cores of the machine. A parent that reaps a child learns of its
            whole life at once; no rate is larger than what the machine can do.
        storage: What went from and to storage lately.
    """
    busy = None if earlier is None else cores_between(earlier, later, cores=cores)
    return Sample(
        taken_ns=later.taken_ns,
        cpu_seconds=None if later.cpu_ns is None else later.cpu_ns / 1e9,
        cores=busy,
        memory_bytes=later.memory_bytes,
        processes=later.processes,
        threads=later.threads,
        file_descriptors=later.file_descriptors,
        disk_read_bytes_per_second=None if storage is None else storage.read,
        disk_write_bytes_per_second=None if storage is None else storage.write,
    )


def cores_between(earlier: Reading, later: Reading, *, cores: int) -> float | None:
    """Cores in use between two readings, no more than the threads of both can use.

    The kernel counts in ticks, so that one thread may seem to use more than one
    core. Where processes may have come and gone in between, their threads are in
    neither reading: then what is beyond a tick of each thread was theirs, and
    only the machine's *cores* are the limit.
    """
    elapsed_ns = later.taken_ns - earlier.taken_ns
    busy = _rate(earlier.cpu_ns, later.cpu_ns, elapsed_ns)
    if busy is None:
        return None
    if earlier.threads is not None and later.threads is not None:
        usable = max(1, max(earlier.threads, later.threads) + (later.own_threads or 0))
        is_closed = earlier.reaped_ns is not None and earlier.reaped_ns == later.reaped_ns
        if is_closed or (busy - usable) * elapsed_ns <= usable * _TICK_NS:
            cores = min(cores, usable)
    return min(busy, float(cores))


class StorageRate(NamedTuple):
    """Bytes per second from and to storage, between the last two times that was looked at.

    Attributes:
        since: The reading that the next rate counts from.
        read: Bytes fetched per second; None before there were two.
        write: Bytes sent per second.
    """

    since: Reading
    read: float | None = None
    write: float | None = None

    def after(self, later: Reading) -> StorageRate:
        """The rate once *later* is known; the same if storage was not looked at again."""
        if later.storage_taken_ns is None or later.storage_taken_ns == self.since.storage_taken_ns:
            return self
        elapsed_ns = later.storage_taken_ns - (self.since.storage_taken_ns or 0)
        reading = _rate(self.since.read_bytes, later.read_bytes, elapsed_ns)
        writing = _rate(self.since.write_bytes, later.write_bytes, elapsed_ns)
        return StorageRate(
            later,
            None if reading is None else reading * 1e9,
            None if writing is None else writing * 1e9,
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


_SUMMED: Final = tuple(field for field in Reading._fields if not field.endswith("taken_ns"))


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
