"""A host and this process as psutil tells them: on macOS, on Windows, and as a second opinion."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psutil

from otel_codomon.host.sample import (
    CpuTimes,
    DiskTotals,
    FileSystem,
    HostSample,
    InterfaceTotals,
    Memory,
    OwnSample,
    Swap,
)

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_MILLI: Final = 1e-3


class PsutilReader:
    """Asks psutil; what a system does not tell is missing."""

    def read_host(self, *, each_core: bool = True) -> HostSample:
        """Look at the host, and at each core where that is asked for."""
        now = time.time()
        swap = _told(psutil.swap_memory)
        return HostSample(
            source="psutil",
            taken_ns=time.monotonic_ns(),
            uptime_seconds=None if (boot := _told(psutil.boot_time)) is None else now - boot,
            cpu=None if (cpu := _told(psutil.cpu_times)) is None else _cpu(cpu),
            cores=_cores() if each_core else (),
            logical_cores=_told(psutil.cpu_count),
            physical_cores=_told(lambda: psutil.cpu_count(logical=False)),
            memory=None if (memory := _told(psutil.virtual_memory)) is None else _memory(memory),
            swaps=_swaps(swap),
            disks=_disks(_told(lambda: psutil.disk_io_counters(perdisk=True)) or {}),
            interfaces=_interfaces(_told(lambda: psutil.net_io_counters(pernic=True)) or {}),
            file_systems=_file_systems(),
        )

    def read_own(self) -> OwnSample:
        """Look at this process: found anew each time, so that a fork changes nothing."""
        process = psutil.Process()
        with process.oneshot():
            cpu = _told(process.cpu_times)
            memory = _told(process.memory_info)
            switches = _told(process.num_ctx_switches)
            started = _told(process.create_time)
            io = _call(process, "io_counters")
            return OwnSample(
                source="psutil",
                taken_ns=time.monotonic_ns(),
                pid=os.getpid(),
                uptime_seconds=None if started is None else max(0.0, time.time() - started),
                cpu_user_seconds=_field(cpu, "user"),
                cpu_system_seconds=_field(cpu, "system"),
                available_cores=len(_call(process, "cpu_affinity") or ()) or os.cpu_count(),
                memory_bytes=_field(memory, "rss"),
                host_memory_bytes=_field(_told(psutil.virtual_memory), "total"),
                virtual_bytes=_field(memory, "vms"),
                threads=_told(process.num_threads),
                file_descriptors=_call(process, "num_fds"),
                handles=_call(process, "num_handles"),
                voluntary_context_switches=_field(switches, "voluntary"),
                involuntary_context_switches=_field(switches, "involuntary"),
                read_bytes=_field(io, "read_bytes"),
                write_bytes=_field(io, "write_bytes"),
            )

    def close(self) -> None:
        """Nothing is kept open."""


def _told(ask: Callable[[], T]) -> T | None:
    """What psutil answers; None where this system has no answer or gives none to this user."""
    try:
        return ask()
    # psutil raises OSError, RuntimeError and NotImplementedError for what a
    # platform does not tell, and its own errors for what it may not.
    except (OSError, RuntimeError, psutil.Error):
        return None


def _call(process: psutil.Process, name: str) -> Any:  # noqa: ANN401 - what psutil's method of that name returns
    """A question that psutil only knows on some systems."""
    ask = getattr(process, name, None)
    return None if ask is None else _told(ask)


def _field(told: object, name: str) -> Any:  # noqa: ANN401 - a number of psutil's
    """A field that psutil only fills on some systems."""
    return getattr(told, name, None)


def _cpu(told: object, core: int | None = None) -> CpuTimes:
    interrupts = [_field(told, name) for name in ("irq", "softirq", "interrupt", "dpc")]
    known = [seconds for seconds in interrupts if seconds is not None]
    return CpuTimes(
        core=core,
        user_seconds=_field(told, "user"),
        nice_seconds=_field(told, "nice"),
        system_seconds=_field(told, "system"),
        idle_seconds=_field(told, "idle"),
        iowait_seconds=_field(told, "iowait"),
        interrupt_seconds=sum(known) if known else None,
        steal_seconds=_field(told, "steal"),
    )


def _cores() -> tuple[CpuTimes, ...]:
    told = _told(lambda: psutil.cpu_times(percpu=True)) or ()
    return tuple(_cpu(core, number) for number, core in enumerate(told))


def _memory(told: object) -> Memory:
    return Memory(
        total_bytes=_field(told, "total"),
        free_bytes=_field(told, "free"),
        available_bytes=_field(told, "available"),
        buffers_bytes=_field(told, "buffers"),
        cached_bytes=_field(told, "cached"),
        shared_bytes=_field(told, "shared"),
    )


def _swaps(swap: object) -> tuple[Swap, ...]:
    if swap is None or not _field(swap, "total"):
        return ()
    return (Swap(name="", total_bytes=_field(swap, "total"), used_bytes=_field(swap, "used")),)


def _disks(told: dict[str, Any]) -> tuple[DiskTotals, ...]:
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
        for name, disk in told.items()
        if any(disk)
    )


def _interfaces(told: dict[str, Any]) -> tuple[InterfaceTotals, ...]:
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
        for name, one in told.items()
        if any(one)
    )


def _file_systems() -> tuple[FileSystem, ...]:
    """Those that psutil takes for physical, each device once."""
    found = {}
    for part in _told(lambda: psutil.disk_partitions(all=False)) or ():
        space = _told(lambda path=part.mountpoint: psutil.disk_usage(path))  # type: ignore[misc] # a default binds it
        if space is not None and part.device not in found:
            found[part.device] = FileSystem(
                device=part.device,
                mountpoint=part.mountpoint,
                type=part.fstype,
                mode="ro" if "ro" in part.opts.split(",") else "rw",
                total_bytes=space.total,
                free_bytes=space.total - space.used,
                available_bytes=space.free,
            )
    return tuple(found.values())
