"""What a host and a process use now: growth between two samples, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from otel_codomon.host.sample import CPU_MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otel_codomon.host.sample import (
        CpuTimes,
        DiskTotals,
        HostSample,
        InterfaceTotals,
        OwnSample,
    )

_NS: Final = 1e9
_IDLE: Final = ("idle", "iowait")
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuShares:
    """How one core, or all together, spent an interval; each from 0 to 1, the sum is 1.

    Shares are of the time that the kernel accounted for, not of a clock's: the
    two differ by a tick, and so no share is ever above 1.

    Attributes:
        core: Number of the core; None for all together.
        user: Share of the time in user mode.
        nice: Share at a lowered priority.
        system: Share in the kernel.
        idle: Share doing nothing.
        iowait: Share doing nothing while somebody waited for storage.
        interrupt: Share serving interrupts.
        steal: Share that the hypervisor took.
    """

    core: int | None = None
    user: float | None = None
    nice: float | None = None
    system: float | None = None
    idle: float | None = None
    iowait: float | None = None
    interrupt: float | None = None
    steal: float | None = None

    @property
    def busy(self) -> float | None:
        """Share of the time in which something ran here, or wanted to (steal), from 0 to 1.

        None when no mode is known.
        """
        shares = [getattr(self, mode) for mode in CPU_MODES if mode not in _IDLE]
        known = [share for share in shares if share is not None]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRates:
    """What one disk did in an interval.

    Attributes:
        name: The disk.
        read_bytes_per_second: Bytes read, per second.
        write_bytes_per_second: Bytes written, per second.
        reads_per_second: Reads completed, per second.
        writes_per_second: Writes completed, per second.
        busy: Share of the time in which anything was under way, from 0 to 1.
    """

    name: str
    read_bytes_per_second: float
    write_bytes_per_second: float
    reads_per_second: float
    writes_per_second: float
    busy: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceRates:
    """What one network interface did in an interval.

    Attributes:
        name: The interface.
        receive_bytes_per_second: Bytes received, per second.
        transmit_bytes_per_second: Bytes sent, per second.
        receive_packets_per_second: Packets received, per second.
        transmit_packets_per_second: Packets sent, per second.
    """

    name: str
    receive_bytes_per_second: float
    transmit_bytes_per_second: float
    receive_packets_per_second: float
    transmit_packets_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRates:
    """What a host did between two samples.

    Attributes:
        interval_seconds: Time between them, seconds.
        cpu: All cores together; None when no tick of the clock was between.
        cores: Each core; its shares are None when no tick of the clock was between.
            Empty when a core was switched on or off, since the others' numbers move.
        disks: Each disk of both samples.
        interfaces: Each interface of both samples.
    """

    interval_seconds: float
    cpu: CpuShares | None = None
    cores: tuple[CpuShares, ...] = ()
    disks: tuple[DiskRates, ...] = ()
    interfaces: tuple[InterfaceRates, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRates:
    """What a process used between two samples.

    Attributes:
        interval_seconds: Time between them, seconds.
        user: CPU time in user mode per time and core it may use, from 0 to 1.
        system: The same in the kernel.
    """

    interval_seconds: float
    user: float | None = None
    system: float | None = None


def host_rates(earlier: HostSample, later: HostSample) -> HostRates | None:
    """What the host did between two samples of it.

    A counter that fell (a device that was taken out and put in again) counts
    as no growth; what is in only one of the samples is left out.

    Returns:
        None when no time passed between the samples.
    """
    interval_seconds = (later.taken_ns - earlier.taken_ns) / _NS
    if interval_seconds <= 0:
        return None

    def rate(before: float, after: float) -> float:
        return max(0, after - before) / interval_seconds

    return HostRates(
        interval_seconds=interval_seconds,
        cpu=None
        if earlier.cpu is None or later.cpu is None
        else cpu_shares(earlier.cpu, later.cpu),
        cores=_core_shares(earlier.cores, later.cores),
        disks=tuple(
            _disk(before, after, rate)
            for before, after in _both(earlier.disks, later.disks, lambda disk: disk.name)
        ),
        interfaces=tuple(
            _interface(before, after, rate)
            for before, after in _both(earlier.interfaces, later.interfaces, lambda one: one.name)
        ),
    )


def own_rates(earlier: OwnSample, later: OwnSample) -> OwnRates | None:
    """What a process used between two samples of it.

    Returns:
        None when no time passed between them, or they are of two processes.
    """
    interval_seconds = (later.taken_ns - earlier.taken_ns) / _NS
    if interval_seconds <= 0 or earlier.pid != later.pid:
        return None
    capacity_seconds = interval_seconds * (later.available_cores or 1)

    def share(before: float | None, after: float | None) -> float | None:
        if before is None or after is None:
            return None
        return min(1.0, max(0.0, after - before) / capacity_seconds)

    return OwnRates(
        interval_seconds=interval_seconds,
        user=share(earlier.cpu_user_seconds, later.cpu_user_seconds),
        system=share(earlier.cpu_system_seconds, later.cpu_system_seconds),
    )


def _core_shares(
    earlier: tuple[CpuTimes, ...], later: tuple[CpuTimes, ...]
) -> tuple[CpuShares, ...]:
    if len(earlier) != len(later):
        return ()
    return tuple(
        cpu_shares(before, after) or CpuShares(core=after.core)
        for before, after in zip(earlier, later, strict=True)
    )


def _both(
    earlier: Iterable[T], later: Iterable[T], key: Callable[[T], object]
) -> Iterator[tuple[T, T]]:
    """Those of *later* that are in *earlier* too, each with what it was."""
    before = {key(one): one for one in earlier}
    for one in later:
        if key(one) in before:
            yield before[key(one)], one


def cpu_shares(before: CpuTimes, after: CpuTimes) -> CpuShares | None:
    """How one core, or all together, spent the time between two samples.

    Returns:
        None when not one tick was counted in between.
    """
    grown = {
        mode: max(0.0, now - then)
        for mode, now, then in zip(CPU_MODES, after.modes(), before.modes(), strict=True)
        if now is not None and then is not None
    }
    all_seconds = sum(grown.values())
    if all_seconds <= 0:
        return None
    return CpuShares(
        core=after.core, **{mode: seconds / all_seconds for mode, seconds in grown.items()}
    )


def _disk(
    before: DiskTotals, after: DiskTotals, rate: Callable[[float, float], float]
) -> DiskRates:
    known = before.busy_seconds is not None and after.busy_seconds is not None
    return DiskRates(
        name=after.name,
        read_bytes_per_second=rate(before.read_bytes, after.read_bytes),
        write_bytes_per_second=rate(before.write_bytes, after.write_bytes),
        reads_per_second=rate(before.reads, after.reads),
        writes_per_second=rate(before.writes, after.writes),
        busy=min(1.0, rate(before.busy_seconds or 0, after.busy_seconds or 0)) if known else None,
    )


def _interface(
    before: InterfaceTotals, after: InterfaceTotals, rate: Callable[[float, float], float]
) -> InterfaceRates:
    return InterfaceRates(
        name=after.name,
        receive_bytes_per_second=rate(before.receive_bytes, after.receive_bytes),
        transmit_bytes_per_second=rate(before.transmit_bytes, after.transmit_bytes),
        receive_packets_per_second=rate(before.receive_packets, after.receive_packets),
        transmit_packets_per_second=rate(before.transmit_packets, after.transmit_packets),
    )
