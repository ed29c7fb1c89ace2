"""The host's figures: two looks make a rate, one look makes none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon.host.rates import host_rates
from otel_codomon.host.reader import read_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_codomon.host.rates import HostRates
    from otel_codomon.host.sample import HostSample

WHAT: Final = ("cpu", "memory", "disk", "network")


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuStats:
    """The host's processors.

    Attributes:
        cores: Cores that this process may use.
        used_share: Share of all of the host's cores that was busy since the
            look before; None at the first look.
        per_core_share: The same for each core that is switched on, in their order.
            None for a core for which the kernel counted no tick since the sample
            before. Empty at the first sample, and when a core was switched on or off.
        load_1m: Processes that ran or waited to, on average over a minute;
            None where the system does not count them.
    """

    cores: int
    used_share: float | None
    per_core_share: tuple[float | None, ...]
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
    """The host's disks: whole ones that were ever used, as partitions are in them.

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
    """The host's network: interfaces that were ever used, without the loopback.

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


class HostSampler:
    """Looks at the host, and remembers the look before for the rates.

    Args:
        what: Which of `WHAT` to look at.
        path: A file of the file system whose space is looked at.
    """

    def __init__(self, what: tuple[str, ...] = WHAT, *, path: str = "/") -> None:
        self._what = what
        self._path = path
        self._before: HostSample | None = None

    def sample(self) -> HostStats:
        """Look now."""
        if not self._what:
            return HostStats()
        before, self._before = self._before, read_host()
        seen = _Seen(
            self._before, None if before is None else host_rates(before, self._before), self._path
        )
        return HostStats(**{name: _PARTS[name](seen) for name in self._what})  # type: ignore[arg-type] # as the table says


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one look gives: the host, its rates since the look before, whose space to tell."""

    host: HostSample
    rates: HostRates | None
    path: str


def _cpu(seen: _Seen) -> CpuStats:
    rates, cores = seen.rates, seen.host.logical_cores or 1
    whole = None if rates is None else rates.cpu
    return CpuStats(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores,
        used_share=None if whole is None else whole.busy,
        per_core_share=() if rates is None else tuple(core.busy for core in rates.cores),
        load_1m=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def _memory(seen: _Seen) -> MemoryStats | None:
    memory = seen.host.memory
    if memory is None or memory.available_bytes is None:
        return None
    swap = seen.host.swap
    return MemoryStats(
        total_bytes=memory.total_bytes,
        available_bytes=memory.available_bytes,
        used_share=1 - memory.available_bytes / memory.total_bytes,
        swap_total_bytes=0 if swap is None else swap.total_bytes,
        swap_used_share=None if swap is None else swap.used_bytes / swap.total_bytes,
    )


# Loop devices, device mapper, software RAID, and disks in memory: their bytes
# are another disk's too, or nobody's.
_UPON_OTHERS: Final = ("loop", "dm-", "md", "ram", "zram")
_NO_DISKS: Final = ("loop", "ram")


def _disk(seen: _Seen) -> DiskStats:
    rates = {} if seen.rates is None else {disk.name: disk for disk in seen.rates.disks}
    flows = {
        disk.name: _flow(rates.get(disk.name), "read_bytes_per_second", "write_bytes_per_second")
        for disk in seen.host.disks
    }
    try:
        space = shutil.disk_usage(seen.path)
    except OSError:  # the file is gone, or its file system
        space = None
    # What programs may have: a part may be reserved for root.
    usable_bytes = 0 if space is None else space.used + space.free
    return DiskStats(
        total=_total(flow for name, flow in flows.items() if not name.startswith(_UPON_OTHERS)),
        per_disk={n: f for n, f in flows.items() if not n.startswith(_NO_DISKS)},
        space_bytes=None if space is None else space.total,
        space_used_share=space.used / usable_bytes if space is not None and usable_bytes else None,
    )


def _network(seen: _Seen) -> NetworkStats:
    rates = {} if seen.rates is None else {one.name: one for one in seen.rates.interfaces}
    flows = {
        one.name: _flow(
            rates.get(one.name), "receive_bytes_per_second", "transmit_bytes_per_second"
        )
        for one in seen.host.interfaces
        if one.name != "lo"
    }
    return NetworkStats(total=_total(flows.values()), per_interface=flows)


_PARTS: Final[Mapping[str, Callable[[_Seen], object]]] = {
    "cpu": _cpu,
    "memory": _memory,
    "disk": _disk,
    "network": _network,
}


def _flow(rates: object, inward: str, outward: str) -> Flow:
    return Flow(
        in_bytes_per_second=getattr(rates, inward, None),
        out_bytes_per_second=getattr(rates, outward, None),
    )


def _total(flows: Iterable[Flow]) -> Flow:
    known = [flow for flow in flows if flow.in_bytes_per_second is not None]
    return Flow(
        in_bytes_per_second=sum(flow.in_bytes_per_second or 0.0 for flow in known)
        if known
        else None,
        out_bytes_per_second=sum(flow.out_bytes_per_second or 0.0 for flow in known)
        if known
        else None,
    )
