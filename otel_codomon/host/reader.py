"""The host and this process now: psutil, and ``/proc/vmstat`` for what psutil lacks.

Nothing is kept open and no lock is held, so a fork in the middle of a sample harms
nobody. A figure that the system does not report, or not to this user, is missing.
"""

from __future__ import annotations

import os
import sys
import time
from functools import cache
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psutil

from otel_codomon._platform import cgroups
from otel_codomon.host.sample import (
    CpuTimes,
    DiskTotals,
    FileSystem,
    HostSample,
    InterfaceTotals,
    Memory,
    OwnSample,
    Swap,
    is_partition,
)
from otel_codomon.host.vmstat import parse_vmstat

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_LINUX: Final = sys.platform == "linux"
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_MILLI: Final = 1e-3
# One end of a virtual pair, with a made-up name, comes with each container: a
# host that starts many would have more series than a meter keeps.
_PASSING_INTERFACES: Final = ("veth",)


def read_host(*, each_core: bool = True) -> HostSample:
    """Take a sample of the host. Never raises.

    Args:
        each_core: Whether to report each core too.
    """
    return HostSample(
        taken_ns=time.monotonic_ns(),
        platform=sys.platform,
        uptime_seconds=_uptime_seconds(),
        cpu=None if (cpu := _known(psutil.cpu_times)) is None else _cpu(cpu),
        cores=_cores() if each_core else (),
        logical_cores=_known(psutil.cpu_count),
        physical_cores=_physical_cores(),
        memory=None if (memory := _known(psutil.virtual_memory)) is None else _memory(memory),
        vmstat=parse_vmstat(_vmstat_text(), page_bytes=_PAGE_BYTES),
        swap=_swap(_known(psutil.swap_memory)),
        disks=_disks(),
        interfaces=_interfaces(),
        file_systems=_file_systems(),
    )


def read_own() -> OwnSample:
    """Take a sample of this process, after a fork of the child. Never raises."""
    process = psutil.Process()
    with process.oneshot():
        memory = _known(process.memory_info)
        started = _known(process.create_time)
        io = _ask(process, "io_counters")
        return OwnSample(
            taken_ns=time.monotonic_ns(),
            pid=os.getpid(),
            uptime_seconds=None if started is None else max(0.0, time.time() - started),
            available_cores=min(_cores_to_run_on(process), _quota_cores()),
            memory_bytes=_field(memory, "rss"),
            host_memory_bytes=_field(_known(psutil.virtual_memory), "total"),
            virtual_bytes=_field(memory, "vms"),
            threads=_known(process.num_threads),
            file_descriptors=_descriptors(process),
            handles=_ask(process, "num_handles"),
            read_bytes=_field(io, "read_bytes"),
            write_bytes=_field(io, "write_bytes"),
            **_usage(process),
        )


def _usage(process: psutil.Process) -> dict[str, Any]:
    """CPU time, context switches and page faults of this process.

    By ``getrusage`` where there is one: it counts in microseconds and for all
    threads, where psutil has clock ticks and the switches of the first thread.
    """
    try:
        import resource  # noqa: PLC0415 - there is none on Windows
    except ImportError:
        cpu, switches = _known(process.cpu_times), _known(process.num_ctx_switches)
        return {
            "cpu_user_seconds": _field(cpu, "user"),
            "cpu_system_seconds": _field(cpu, "system"),
            "voluntary_context_switches": _field(switches, "voluntary"),
            "involuntary_context_switches": _field(switches, "involuntary"),
        }
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_user_seconds": usage.ru_utime,
        "cpu_system_seconds": usage.ru_stime,
        "voluntary_context_switches": usage.ru_nvcsw,
        "involuntary_context_switches": usage.ru_nivcsw,
        "major_faults": usage.ru_majflt,
        "minor_faults": usage.ru_minflt,
    }


def _known(ask: Callable[[], T]) -> T | None:
    """What psutil answers; None where the system has no answer, or none for this user."""
    try:
        return ask()
    # OSError, RuntimeError and NotImplementedError for what a platform does not
    # report, psutil's own for what it may not, a warning where warnings are errors.
    except (OSError, RuntimeError, RuntimeWarning, psutil.Error):
        return None


def _ask(process: psutil.Process, name: str) -> Any:  # noqa: ANN401 - what psutil's method of that name returns
    """Call a method that psutil has on some systems only."""
    ask = getattr(process, name, None)
    return None if ask is None else _known(ask)


def _field(answer: object, name: str) -> Any:  # noqa: ANN401 - a number of psutil's
    """A field that psutil has on some systems only."""
    return getattr(answer, name, None)


def _vmstat_text() -> bytes:
    # Where psutil reads too: a container may have the host's /proc elsewhere.
    path = Path(getattr(psutil, "PROCFS_PATH", "/proc"), "vmstat")
    return _known(path.read_bytes) or b""


def _uptime_seconds() -> float | None:
    """Time since the host (or this time namespace) started, time asleep included."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is not None:
        return time.clock_gettime(clock)
    started = _known(psutil.boot_time)
    return None if started is None else max(0.0, time.time() - started)


@cache
def _physical_cores() -> int | None:
    """Counted once: on Linux a file for each core, and hardware seldom changes."""
    return _known(lambda: psutil.cpu_count(logical=False))


@cache
def _quota_cores() -> float:
    """Cores that the quota of our cgroup allows, read once; infinite without one."""
    own = cgroups.own()
    quota = None if own is None else own.cores_limit()
    return inf if quota is None else quota


def _cores_to_run_on(process: psutil.Process) -> float:
    return len(_ask(process, "cpu_affinity") or ()) or os.cpu_count() or inf


def _descriptors(process: psutil.Process) -> int | None:
    """Without the one that psutil reads the list of them through, on Linux."""
    listed = _ask(process, "num_fds")
    return None if listed is None else int(listed) - _LINUX


def _cpu(times: object, core: int | None = None) -> CpuTimes:
    interrupts = [_field(times, name) for name in ("irq", "softirq", "interrupt", "dpc")]
    known = [seconds for seconds in interrupts if seconds is not None]
    return CpuTimes(
        core=core,
        user_seconds=_field(times, "user"),
        nice_seconds=_field(times, "nice"),
        system_seconds=_field(times, "system"),
        idle_seconds=_field(times, "idle"),
        iowait_seconds=_field(times, "iowait"),
        interrupt_seconds=sum(known) if known else None,
        steal_seconds=_field(times, "steal"),
    )


def _cores() -> tuple[CpuTimes, ...]:
    cores = _known(lambda: psutil.cpu_times(percpu=True)) or ()
    return tuple(_cpu(core, number) for number, core in enumerate(cores))


def _memory(memory: object) -> Memory:
    return Memory(
        total_bytes=_field(memory, "total"),
        free_bytes=_field(memory, "free"),
        available_bytes=_field(memory, "available"),
        buffers_bytes=_field(memory, "buffers"),
        cached_bytes=_field(memory, "cached"),
        shared_bytes=_field(memory, "shared"),
    )


def _swap(swap: object) -> Swap | None:
    if not _field(swap, "total"):
        return None
    return Swap(total_bytes=_field(swap, "total"), used_bytes=_field(swap, "used"))


def _disks() -> tuple[DiskTotals, ...]:
    """Whole disks that were used at least once."""
    # Without psutil's memory of counters that wrapped: it is kept under a lock,
    # which a fork in another thread would leave locked in the child.
    disks = _known(lambda: psutil.disk_io_counters(perdisk=True, nowrap=False)) or {}
    return tuple(
        DiskTotals(
            name=name,
            read_bytes=disk.read_bytes,
            write_bytes=disk.write_bytes,
            reads=disk.read_count,
            writes=disk.write_count,
            merged_reads=_field(disk, "read_merged_count"),
            merged_writes=_field(disk, "write_merged_count"),
            read_seconds=disk.read_time * _MILLI,
            write_seconds=disk.write_time * _MILLI,
            busy_seconds=None if (busy := _field(disk, "busy_time")) is None else busy * _MILLI,
        )
        for name, disk in disks.items()
        if any(disk) and not is_partition(name, disks)
    )


def _interfaces() -> tuple[InterfaceTotals, ...]:
    """Interfaces that were used at least once."""
    interfaces = _known(lambda: psutil.net_io_counters(pernic=True, nowrap=False)) or {}
    return tuple(
        InterfaceTotals(
            name=name,
            receive_bytes=one.bytes_recv,
            transmit_bytes=one.bytes_sent,
            receive_packets=one.packets_recv,
            transmit_packets=one.packets_sent,
            receive_errors=one.errin,
            transmit_errors=one.errout,
            receive_dropped=one.dropin,
            transmit_dropped=one.dropout,
        )
        for name, one in interfaces.items()
        if any(one) and not name.startswith(_PASSING_INTERFACES)
    )


def _file_systems() -> tuple[FileSystem, ...]:
    """Those on storage of this host and the root, each device once, at its shortest path.

    Never one that a network or another program answers for: it may not answer.
    """
    chosen: dict[str, Any] = {}
    parts = _known(lambda: psutil.disk_partitions(all=_LINUX)) or ()
    for part in filter(_is_local, parts) if _LINUX else parts:
        known = chosen.get(part.device)
        if known is None or len(part.mountpoint) < len(known.mountpoint):
            chosen[part.device] = part
    return tuple(found for part in chosen.values() if (found := _file_system(part)) is not None)


def _is_local(part: Any) -> bool:  # noqa: ANN401 - psutil's own type is private
    on_storage = part.device.startswith("/dev/") and not part.fstype.startswith("fuse")
    return on_storage or part.mountpoint == "/"


def _file_system(part: Any) -> FileSystem | None:  # noqa: ANN401 - as above
    space = _known(lambda: psutil.disk_usage(part.mountpoint))
    if space is None or not space.total:
        return None
    return FileSystem(
        device=part.device,
        mountpoint=part.mountpoint,
        type=part.fstype,
        mode="ro" if "ro" in part.opts.split(",") else "rw",
        total_bytes=space.total,
        free_bytes=space.total - space.used,
        available_bytes=space.free,
    )
