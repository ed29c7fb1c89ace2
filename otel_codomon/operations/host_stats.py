"""The host's figures, from psutil: two looks make a rate, one look makes none."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

WHAT: Final = ("cpu", "memory", "disk", "network")


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuStats:
    """The host's processors.

    Attributes:
        cores: Cores that this process may use.
        used_share: Share of all of the host's cores that was busy since the
            look before; None at the first look.
        per_core_share: The same for each core.
        load_1m: Processes that ran or waited to, on average over a minute;
            None where the system does not count them.
    """

    cores: int
    used_share: float | None
    per_core_share: tuple[float, ...]
    load_1m: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStats:
    """The host's memory.

    Attributes:
        total_bytes: All there is, bytes.
        available_bytes: What can be had without swapping, bytes.
        used_share: The share that cannot.
        swap_total_bytes: Swap space, bytes; 0 where there is none.
        swap_used_share: Its share in use; None where there is none.
    """

    total_bytes: int
    available_bytes: int
    used_share: float
    swap_total_bytes: int
    swap_used_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Bytes in and out per second since the look before; None at the first look.

    Attributes:
        in_bytes_per_second: Read from a disk, or received.
        out_bytes_per_second: Written to a disk, or transmitted.
    """

    in_bytes_per_second: float | None
    out_bytes_per_second: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskStats:
    """The host's disks.

    Attributes:
        total: All of them together.
        per_disk: Each of them by its name.
        space_bytes: Size of the file system that was asked about, bytes.
        space_used_share: Its share in use.
    """

    total: Flow
    per_disk: Mapping[str, Flow]
    space_bytes: int | None
    space_used_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkStats:
    """The host's network, without the loopback.

    Attributes:
        total: All interfaces together.
        per_interface: Each of them by its name.
    """

    total: Flow
    per_interface: Mapping[str, Flow]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStats:
    """What was asked about the host; None for what was not.

    Attributes:
        cpu: Its processors.
        memory: Its memory.
        disk: Its disks.
        network: Its network.
    """

    cpu: CpuStats | None = None
    memory: MemoryStats | None = None
    disk: DiskStats | None = None
    network: NetworkStats | None = None


class HostLook:
    """Looks at the host, and remembers the look before for the rates.

    Args:
        what: Which of `WHAT` to look at.
        path: A file of the file system whose space is looked at.
    """

    def __init__(self, what: tuple[str, ...] = WHAT, *, path: str = "/") -> None:
        self._what = what
        self._path = path
        self._cpu: list[tuple[float, float]] = []
        self._counters: dict[str, dict[str, tuple[int, int]]] = {}
        self._seconds: dict[str, float] = {}

    def look(self) -> HostStats:
        """Look now."""
        return HostStats(**{name: _LOOKS[name](self) for name in self._what})  # type: ignore[arg-type] # as the table says

    def cpu(self) -> CpuStats:
        """Look at the processors."""
        now = [_busy_and_all(core) for core in psutil.cpu_times(percpu=True)]
        before, self._cpu = self._cpu, now
        shares = tuple(
            max(0.0, busy - busy_before) / (whole - whole_before)
            for (busy, whole), (busy_before, whole_before) in zip(now, before, strict=False)
            if whole > whole_before
        )
        return CpuStats(
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else len(now),
            used_share=sum(shares) / len(shares) if shares else None,
            per_core_share=shares,
            load_1m=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        )

    def memory(self) -> MemoryStats:
        """Look at the memory."""
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        return MemoryStats(
            total_bytes=memory.total,
            available_bytes=memory.available,
            used_share=1 - memory.available / memory.total,
            swap_total_bytes=swap.total,
            swap_used_share=swap.used / swap.total if swap.total else None,
        )

    def disk(self) -> DiskStats:
        """Look at the disks."""
        counters = psutil.disk_io_counters(perdisk=True) or {}
        flows = self._flows("disk", {n: (c.read_bytes, c.write_bytes) for n, c in counters.items()})
        try:
            space = psutil.disk_usage(self._path)
        except OSError:  # the file is gone, or its file system
            space = None
        return DiskStats(
            total=_total({name: flow for name, flow in flows.items() if not _is_part(name, flows)}),
            per_disk={n: f for n, f in flows.items() if not n.startswith(("loop", "ram"))},
            space_bytes=None if space is None else space.total,
            space_used_share=None if space is None else space.percent / 100,
        )

    def network(self) -> NetworkStats:
        """Look at the interfaces."""
        counters = psutil.net_io_counters(pernic=True)
        numbers = {n: (c.bytes_recv, c.bytes_sent) for n, c in counters.items() if n != "lo"}
        flows = self._flows("network", numbers)
        return NetworkStats(total=_total(flows), per_interface=flows)

    def _flows(self, kind: str, now: dict[str, tuple[int, int]]) -> dict[str, Flow]:
        seconds = time.monotonic()
        elapsed = seconds - self._seconds.get(kind, seconds)
        before = self._counters.get(kind, {})
        self._counters[kind], self._seconds[kind] = now, seconds
        return {name: _flow(before.get(name), numbers, elapsed) for name, numbers in now.items()}


_LOOKS: Final[Mapping[str, Callable[[HostLook], object]]] = {
    "cpu": HostLook.cpu,
    "memory": HostLook.memory,
    "disk": HostLook.disk,
    "network": HostLook.network,
}


# Loop devices, device mapper, software RAID, and disks in memory.
_UPON_OTHERS: Final = ("loop", "dm-", "md", "ram", "zram")


def _busy_and_all(times: object) -> tuple[float, float]:
    """Seconds a core was busy, and seconds in all.

    A guest's time is in the user's already (proc(5)), and waiting for storage is idle.
    """
    seconds: dict[str, float] = times._asdict()  # type: ignore[attr-defined] # psutil's named tuple
    whole = sum(value for name, value in seconds.items() if not name.startswith("guest"))
    return whole - seconds.get("idle", 0.0) - seconds.get("iowait", 0.0), whole


def _is_part(name: str, disks: Mapping[str, object]) -> bool:
    """Whether its bytes are another disk's too: a partition, or one that lies upon others."""
    is_partition = any(other != name and name.startswith(other) for other in disks)
    return is_partition or name.startswith(_UPON_OTHERS)


def _flow(before: tuple[int, int] | None, now: tuple[int, int], elapsed: float) -> Flow:
    if before is None or elapsed <= 0:
        return Flow(in_bytes_per_second=None, out_bytes_per_second=None)
    # A counter that begins anew, as of a disk that was taken out and put in, is no rate.
    grown = [max(0, b - a) / elapsed for a, b in zip(before, now, strict=True)]
    return Flow(in_bytes_per_second=grown[0], out_bytes_per_second=grown[1])


def _total(flows: Mapping[str, Flow]) -> Flow:
    def add(numbers: list[float | None]) -> float | None:
        known = [number for number in numbers if number is not None]
        return sum(known) if known else None

    return Flow(
        in_bytes_per_second=add([flow.in_bytes_per_second for flow in flows.values()]),
        out_bytes_per_second=add([flow.out_bytes_per_second for flow in flows.values()]),
    )
