"""What the files of a cgroup say, as totals: a table of files and how each is read."""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: see `otel_codomon._platform.cgroups`
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Parser = Callable[[bytes], "dict[str, int]"]

UNIFIED = "unified"
"""Stands for the version 2 folder itself, which has files without any controller."""


class CgroupTotals:
    """What a cgroup has used so far. None means not told here, never zero.

    Attributes:
        cpu_ns: CPU time, nanoseconds; of all that ever were in it.
        cpu_user_ns: CPU time in user mode, nanoseconds.
        cpu_system_ns: CPU time in the kernel, nanoseconds.
        throttled_ns: Time a quota held it back, nanoseconds.
        memory_bytes: Memory charged to it now, page cache included, bytes.
        peak_memory_bytes: Most memory that was charged to it, page cache
            included, bytes. Version 2 tells it since Linux 5.19.
        cache_bytes: Page cache within `memory_bytes`, bytes: files it read or
            wrote, which the kernel takes back when it needs room. Without
            shared memory, which it cannot.
        read_bytes: Bytes read from block devices.
        write_bytes: Bytes written to block devices. Buffered writes arrive
            late, in version 1 never.
        processes: Processes (or threads: whatever ``pids`` counts) in it now.
        peak_processes: Most of them at one time.
        oom_kills: Processes of it that the kernel killed for want of memory.
    """

    FIELDS = (
        "cpu_ns",
        "cpu_user_ns",
        "cpu_system_ns",
        "throttled_ns",
        "memory_bytes",
        "peak_memory_bytes",
        "cache_bytes",
        "read_bytes",
        "write_bytes",
        "processes",
        "peak_processes",
        "oom_kills",
    )
    __slots__ = FIELDS

    def __init__(self, found: Mapping[str, int]) -> None:
        for field in self.FIELDS:
            setattr(self, field, found.get(field))

    cpu_ns: int | None
    cpu_user_ns: int | None
    cpu_system_ns: int | None
    throttled_ns: int | None
    memory_bytes: int | None
    peak_memory_bytes: int | None
    cache_bytes: int | None
    read_bytes: int | None
    write_bytes: int | None
    processes: int | None
    peak_processes: int | None
    oom_kills: int | None


# --- what is in the files -----------------------------------------------------


def _number(field: str) -> Parser:
    """A file that is one number, or ``max``."""

    def parse(text: bytes) -> dict[str, int]:
        text = text.strip()
        return {field: int(text)} if text.isdigit() else {}

    return parse


def _pairs(fields: Mapping[bytes, tuple[str, int]]) -> Parser:
    """A file of ``key value`` lines: key -> field and what its value is multiplied by."""

    def parse(text: bytes) -> dict[str, int]:
        found = {}
        for line in text.splitlines():
            key, _, value = line.partition(b" ")
            if key in fields and value.isdigit():
                field, factor = fields[key]
                found[field] = int(value) * factor
        return found

    return parse


def _cache(cache: bytes, shared: bytes) -> Parser:
    """``memory.stat``: the page cache without what is shared memory."""
    pairs = _pairs({cache: ("cache", 1), shared: ("shared", 1)})

    def parse(text: bytes) -> dict[str, int]:
        found = pairs(text)
        if "cache" not in found:
            return {}
        return {"cache_bytes": max(0, found["cache"] - found.get("shared", 0))}

    return parse


def _blkio(text: bytes) -> dict[str, int]:
    """Version 1: ``8:0 Read 4096`` for each device."""
    found = {"read_bytes": 0, "write_bytes": 0}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3:  # noqa: PLR2004 - device, operation, value; the sum has two words
            field = {b"Read": "read_bytes", b"Write": "write_bytes"}.get(words[1])
            if field and words[2].isdigit():
                found[field] += int(words[2])
    return found


def _io(text: bytes) -> dict[str, int]:
    """Version 2: ``8:0 rbytes=4096 wbytes=0 rios=…`` for each device."""
    found = {"read_bytes": 0, "write_bytes": 0}
    for word in text.split():
        key, _, value = word.partition(b"=")
        field = {b"rbytes": "read_bytes", b"wbytes": "write_bytes"}.get(key)
        if field and value.isdigit():
            found[field] += int(value)
    return found


_CPU_STAT = _pairs(
    {
        b"usage_usec": ("cpu_ns", 1000),
        b"user_usec": ("cpu_user_ns", 1000),
        b"system_usec": ("cpu_system_ns", 1000),
        b"throttled_usec": ("throttled_ns", 1000),
    }
)
# Which folder, which file, how to read it. The first row that tells a field
# counts; a file that is not there is a gap. Version 1 first: on a host with
# both, it has the controllers.
FILES: tuple[tuple[str, str, Parser], ...] = (
    ("cpuacct", "cpuacct.usage", _number("cpu_ns")),
    ("cpuacct", "cpuacct.usage_user", _number("cpu_user_ns")),
    ("cpuacct", "cpuacct.usage_sys", _number("cpu_system_ns")),
    ("cpu", "cpu.stat", _pairs({b"throttled_time": ("throttled_ns", 1)})),
    ("memory", "memory.usage_in_bytes", _number("memory_bytes")),
    ("memory", "memory.max_usage_in_bytes", _number("peak_memory_bytes")),
    ("memory", "memory.stat", _cache(b"total_cache", b"total_shmem")),
    ("memory", "memory.oom_control", _pairs({b"oom_kill": ("oom_kills", 1)})),
    ("blkio", "blkio.throttle.io_service_bytes_recursive", _blkio),
    ("pids", "pids.current", _number("processes")),
    ("pids", "pids.peak", _number("peak_processes")),
    (UNIFIED, "cpu.stat", _CPU_STAT),
    (UNIFIED, "memory.current", _number("memory_bytes")),
    (UNIFIED, "memory.peak", _number("peak_memory_bytes")),
    (UNIFIED, "memory.stat", _cache(b"file", b"shmem")),
    (UNIFIED, "memory.events", _pairs({b"oom_kill": ("oom_kills", 1)})),
    (UNIFIED, "io.stat", _io),
    (UNIFIED, "pids.current", _number("processes")),
    (UNIFIED, "pids.peak", _number("peak_processes")),
)
# What a look while it runs needs; the rest is for the end.
_LIVE = frozenset(
    {
        "cpuacct.usage",
        "cpu.stat",
        "memory.usage_in_bytes",
        "memory.current",
        "memory.stat",
        "pids.current",
    }
)
LIVE_FILES = tuple(row for row in FILES if row[1] in _LIVE and row[0] != "cpu")
