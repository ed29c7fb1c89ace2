"""What the kernel's files about a host and a process say: bytes in, values out, no I/O.

What is missing, cut off or spelled otherwise is left out; nothing raises.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon.host.sample import (
    CPU_FIELDS,
    CpuTimes,
    DiskTotals,
    InterfaceTotals,
    Memory,
    Paging,
    Swap,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

_SECTOR_BYTES: Final = 512  # in diskstats always, whatever the disk's own sectors are
_KIB: Final = 1024
_NEVER_USED: Final = [b"0"] * 11  # all that diskstats counts of a device
_MILLIS_PER_SECOND: Final = 1000
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
# One end of a virtual pair, with a made-up name, comes with each container: a
# host that starts many would have more series than a meter keeps.
_PASSING_INTERFACES: Final = (b"veth",)


def number_after(text: bytes, key: bytes) -> int | None:
    """The number that follows the line start *key* in *text*.

    Faster than taking apart the whole of a file of which a few lines count.
    """
    begin = 0 if text.startswith(key) else text.find(b"\n" + key) + 1
    if not text.startswith(key, begin):
        return None
    begin += len(key)
    word = text[begin : begin + 32].split(None, 1)[:1]
    return int(word[0]) if word and is_number(word[0]) else None


def is_number(word: bytes) -> bool:
    """Whether *word* is a number of the kernel's, none of which is longer than 64 bits."""
    return word.isdigit() and len(word) <= 20  # noqa: PLR2004 - 2**64 has 20 digits


# --- /proc/stat ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stat:
    """What ``/proc/stat`` says.

    Attributes:
        cpu: All cores together, those that were switched off meanwhile included.
        logical_cores: How many cores are switched on.
        processes_created: The line ``processes``: forks and clones.
    """

    cpu: CpuTimes | None
    logical_cores: int | None
    processes_created: int | None


def parse_stat(text: bytes) -> Stat:
    """Read ``/proc/stat`` but for the single cores, of which there may be hundreds."""
    return Stat(
        _cpu(text.partition(b"\n")[0]) if text.startswith(b"cpu ") else None,
        text.count(b"\ncpu") or None,
        number_after(text, b"processes "),
    )


def parse_cores(text: bytes) -> tuple[CpuTimes, ...]:
    """Read the cores of ``/proc/stat`` that are switched on."""
    end = text.find(b"\nintr")  # a line of up to thousands of numbers that nobody asks for
    return tuple(
        cpu
        for line in text[: end if end >= 0 else None].splitlines()
        if line.startswith(b"cpu") and (cpu := _cpu(line)) is not None and cpu.core is not None
    )


def _cpu(line: bytes) -> CpuTimes | None:
    """One line: ``cpu0 user nice system idle iowait irq softirq steal guest guest_nice``."""
    name, *words = line.split()
    core = name[3:]
    ticks = _numbers(words[:8])
    if ticks is None or len(ticks) < 4 or (core and not is_number(core)):  # noqa: PLR2004 - the first four are always there
        return None
    if len(ticks) > 6:  # noqa: PLR2004 - hardware's and software's interrupts are one mode
        ticks[5:7] = [ticks[5] + ticks[6]]
    # The two columns of guests are in user and nice already.
    told = dict(zip(CPU_FIELDS, [n / _TICKS_PER_SECOND for n in ticks], strict=False))
    return CpuTimes(core=int(core) if core else None, **told)


# --- /proc/meminfo, /proc/vmstat, /proc/swaps ------------------------------------


def parse_meminfo(text: bytes) -> Memory | None:
    """Read ``/proc/meminfo``; None where it does not even tell the total."""

    def of(key: bytes) -> int | None:
        found = number_after(text, key)
        return None if found is None else found * _KIB

    total, cached, reclaimable = of(b"MemTotal:"), of(b"Cached:"), of(b"SReclaimable:")
    if not total:
        return None
    return Memory(
        total_bytes=total,
        free_bytes=of(b"MemFree:"),
        available_bytes=of(b"MemAvailable:"),
        buffers_bytes=of(b"Buffers:"),
        cached_bytes=None if cached is None else cached + (reclaimable or 0),
        shared_bytes=of(b"Shmem:"),
        slab_reclaimable_bytes=reclaimable,
        slab_unreclaimable_bytes=of(b"SUnreclaim:"),
    )


def parse_vmstat(text: bytes) -> Paging | None:
    """Read ``/proc/vmstat``, whose count of faults has the major ones in it."""
    if not text:
        return None
    faults, major = number_after(text, b"pgfault "), number_after(text, b"pgmajfault ")
    return Paging(
        major_faults=major,
        minor_faults=None if faults is None or major is None else max(0, faults - major),
        swapped_in_pages=number_after(text, b"pswpin "),
        swapped_out_pages=number_after(text, b"pswpout "),
    )


def parse_swaps(text: bytes) -> tuple[Swap, ...]:
    """Read ``/proc/swaps``: name, type, size and used in KiB, priority."""
    return tuple(
        Swap(
            name=_path(words[0]), total_bytes=int(words[2]) * _KIB, used_bytes=int(words[3]) * _KIB
        )
        for words in _rows(text, least=4)
        if is_number(words[2]) and is_number(words[3])
    )


# --- /proc/diskstats, /proc/partitions --------------------------------------------


def parse_diskstats(text: bytes, sizes: dict[str, int]) -> tuple[DiskTotals, ...]:
    """Read ``/proc/diskstats``: the whole disks that were ever used.

    Args:
        text: The file.
        sizes: Name -> bytes, from `parse_partitions`.
    """
    rows = {
        row[2].decode(errors="replace"): numbers
        for line in text.splitlines()
        if (row := line.split())[3:14] != _NEVER_USED
        and len(row) > 13  # noqa: PLR2004 - two of the device, its name, eleven numbers
        and (numbers := _numbers(row[3:14])) is not None
    }
    return tuple(
        _disk(name, numbers, sizes.get(name))
        for name, numbers in rows.items()
        if not is_partition(name, rows)
    )


def _disk(name: str, numbers: list[int], size: int | None) -> DiskTotals:
    # Documentation/admin-guide/iostats.rst, from the first number after the name.
    reads, merged_reads, read_sectors, read_ms, *rest = numbers
    writes, merged_writes, write_sectors, write_ms, _in_flight, busy_ms, _weighted_ms = rest
    return DiskTotals(
        name=name,
        read_bytes=read_sectors * _SECTOR_BYTES,
        write_bytes=write_sectors * _SECTOR_BYTES,
        reads=reads,
        writes=writes,
        merged_reads=merged_reads,
        merged_writes=merged_writes,
        read_seconds=read_ms / _MILLIS_PER_SECOND,
        write_seconds=write_ms / _MILLIS_PER_SECOND,
        busy_seconds=busy_ms / _MILLIS_PER_SECOND,
        total_bytes=size,
    )


def is_partition(name: str, names: Container[str]) -> bool:
    """Whether *name* is a part of another one of *names*, by the kernel's way to name parts.

    The number is set off by a ``p`` where the disk's own name ends in a digit:
    ``sda1`` of ``sda`` and ``nvme0n1p1`` of ``nvme0n1``, but not ``dm-10`` of ``dm-1``.
    """
    disk = name.rstrip("0123456789")
    if disk == name:
        return False
    if disk.endswith("p") and disk[-2:-1].isdigit():
        return disk[:-1] in names
    return disk in names


def parse_partitions(text: bytes) -> dict[str, int]:
    """Read ``/proc/partitions``: name -> size in bytes, disks and parts alike."""
    return {
        words[3].decode(errors="replace"): int(words[2]) * _KIB
        for words in _rows(text, least=4)
        if is_number(words[2])
    }


# --- /proc/net/dev -----------------------------------------------------------------


def parse_net_dev(text: bytes) -> tuple[InterfaceTotals, ...]:
    """Read ``/proc/net/dev``: the interfaces that were ever used."""
    found = []
    for line in text.splitlines():
        name, colon, rest = line.rpartition(b":")
        name = name.strip()
        if not colon or name.startswith(_PASSING_INTERFACES):
            continue
        numbers = _numbers(rest.split())
        if numbers is not None and len(numbers) > 11 and any(numbers):  # noqa: PLR2004 - 8 received, 8 sent
            found.append(_interface(name.decode(errors="replace"), numbers))
    return tuple(found)


def _interface(name: str, numbers: list[int]) -> InterfaceTotals:
    return InterfaceTotals(
        name=name,
        receive_bytes=numbers[0],
        receive_packets=numbers[1],
        receive_errors=numbers[2],
        receive_dropped=numbers[3],
        transmit_bytes=numbers[8],
        transmit_packets=numbers[9],
        transmit_errors=numbers[10],
        transmit_dropped=numbers[11],
    )


# --- /proc/self/mounts --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of ``/proc/self/mounts``.

    Attributes:
        device: What is mounted.
        mountpoint: Where.
        type: Kind of file system.
        mode: ``rw`` or ``ro``.
    """

    device: str
    mountpoint: str
    type: str
    mode: str


def parse_mounts(text: bytes) -> tuple[Mount, ...]:
    """Read ``/proc/self/mounts``: what is on storage of this host, each device once.

    Those of ``/dev`` that are no FUSE, and the root whatever it is. Never what
    a network or another program answers for: asking it may take for ever.
    """
    chosen: dict[str, Mount] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 4 or not _is_local(words):  # noqa: PLR2004 - device, path, kind, options
            continue
        device, mountpoint, kind = map(_path, words[:3])
        mode = "ro" if b"ro" in words[3].split(b",") else "rw"
        known = chosen.get(device)
        if known is None or len(mountpoint) < len(known.mountpoint):
            chosen[device] = Mount(device, mountpoint, kind, mode)
    return tuple(chosen.values())


def _is_local(words: list[bytes]) -> bool:
    on_storage = words[0].startswith(b"/dev/") and not words[2].startswith(b"fuse")
    return on_storage or words[1] == b"/"


# --- /proc/self/stat, /proc/self/io --------------------------------------------------


@dataclass(frozen=True, slots=True)
class OwnStat:
    """What ``/proc/self/stat`` says of a process.

    Attributes:
        threads: Its threads.
        started_seconds: When it started, seconds after the host did.
        virtual_bytes: Its address space, bytes.
        resident_pages: Its pages in memory.
    """

    threads: int
    started_seconds: float
    virtual_bytes: int
    resident_pages: int


def parse_own_stat(text: bytes) -> OwnStat | None:
    """Read ``/proc/self/stat``, in which the name may have spaces and brackets."""
    words = text.rpartition(b")")[2].split()[:22]
    # By proc(5) threads are field 20, start, address space and pages 22 to 24; after
    # the name comes field 3.
    wanted = [words[field - 3] for field in (20, 22, 23, 24)] if len(words) == 22 else []  # noqa: PLR2004 - up to field 24
    if not wanted or not all(is_number(word) for word in wanted):
        return None
    threads, start_ticks, virtual_bytes, pages = map(int, wanted)
    return OwnStat(threads, start_ticks / _TICKS_PER_SECOND, virtual_bytes, pages)


def parse_io(text: bytes) -> tuple[int | None, int | None]:
    """Read ``/proc/self/io``: bytes fetched from storage, and bytes sent there."""
    return number_after(text, b"read_bytes: "), number_after(text, b"write_bytes: ")


def _rows(text: bytes, *, least: int) -> Iterator[list[bytes]]:
    """The words of each line that has enough of them."""
    for line in text.splitlines():
        words = line.split()
        if len(words) >= least:
            yield words


def _numbers(words: list[bytes]) -> list[int] | None:
    """All of *words* as numbers; None where one is none."""
    # One question for all: asking each costs more than turning them into numbers.
    if not b"".join(words).isdigit() or max(map(len, words)) > 20:  # noqa: PLR2004 - 2**64 has 20 digits
        return None
    return list(map(int, words))


def _path(word: bytes) -> str:
    r"""A path as the kernel spells it: blanks and backslashes as ``\040``."""
    if b"\\" in word:
        for code in (b"040", b"011", b"012", b"043", b"134"):
            word = word.replace(b"\\" + code, bytes((int(code, 8),)))
    return word.decode(errors="replace")
