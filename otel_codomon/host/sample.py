"""What a host and a process have used so far, and what they use now, from two samples.

In every class None means not known, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container

    from otel_codomon.host.vmstat import Vmstat

CPU_MODES: Final = ("user", "nice", "system", "idle", "iowait", "interrupt", "steal")
CPU_FIELDS: Final = tuple(f"{mode}_seconds" for mode in CPU_MODES)


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTimes:
    """Time that one core, or all cores together, spent in each mode since the start, seconds.

    The modes do not overlap: their sum is all the time there was.

    Attributes:
        core: Number of the core; None for the sum of all.
        user_seconds: In user mode, guests of a hypervisor included.
        nice_seconds: The same at a lowered priority.
        system_seconds: In the kernel.
        idle_seconds: Doing nothing.
        iowait_seconds: Doing nothing while somebody waited for storage. The
            kernel's guess; it may fall.
        interrupt_seconds: Serving interrupts, hardware's and software's.
        steal_seconds: Taken by the hypervisor for other guests.
    """

    core: int | None = None
    user_seconds: float | None = None
    nice_seconds: float | None = None
    system_seconds: float | None = None
    idle_seconds: float | None = None
    iowait_seconds: float | None = None
    interrupt_seconds: float | None = None
    steal_seconds: float | None = None

    def modes(self) -> tuple[float | None, ...]:
        """The seconds in the order of `CPU_MODES`."""
        return (
            self.user_seconds,
            self.nice_seconds,
            self.system_seconds,
            self.idle_seconds,
            self.iowait_seconds,
            self.interrupt_seconds,
            self.steal_seconds,
        )

    def at_least(self, earlier: CpuTimes) -> CpuTimes:
        """These times, each no less than it was *earlier*: what the kernel took back is kept."""
        pairs = list(zip(self.modes(), earlier.modes(), strict=True))
        if all(now is None or before is None or now >= before for now, before in pairs):
            return self
        kept = (now if now is None or before is None else max(now, before) for now, before in pairs)
        return CpuTimes(core=self.core, **dict(zip(CPU_FIELDS, kept, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The memory of a host, bytes.

    Attributes:
        total_bytes: Memory the kernel manages.
        free_bytes: Used for nothing.
        available_bytes: What programs could still have without swapping: the
            kernel's estimate.
        buffers_bytes: Cache of block devices.
        cached_bytes: Cache of files and of what the kernel can rebuild; shared
            memory is in it.
        shared_bytes: Shared memory and files in memory (``tmpfs``).
    """

    total_bytes: int
    free_bytes: int | None = None
    available_bytes: int | None = None
    buffers_bytes: int | None = None
    cached_bytes: int | None = None
    shared_bytes: int | None = None

    @property
    def used_bytes(self) -> int | None:
        """What is neither free nor a cache, bytes: with those it sums up to the total."""
        if self.free_bytes is None:
            return None
        rest = self.free_bytes + (self.buffers_bytes or 0) + (self.cached_bytes or 0)
        return max(0, self.total_bytes - rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """The swap space of a host, all of its devices and files together.

    Attributes:
        total_bytes: How much it holds, bytes.
        used_bytes: How much of that is used, bytes.
    """

    total_bytes: int
    used_bytes: int

    @property
    def free_bytes(self) -> int:
        """How much is left, bytes."""
        return max(0, self.total_bytes - self.used_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskTotals:
    """What one whole disk (never a part of one) has done since the start of the host.

    Attributes:
        name: The kernel's name, such as ``sda`` or ``nvme0n1``.
        read_bytes: Bytes read.
        write_bytes: Bytes written.
        reads: Reads that were completed.
        writes: Writes that were completed.
        merged_reads: Reads that went together with a neighbour.
        merged_writes: Writes that did.
        read_seconds: Sum of the times that reads took; grows by more than
            wall time where several are under way.
        write_seconds: The same of writes.
        busy_seconds: Time during which anything was under way.
    """

    name: str
    read_bytes: int
    write_bytes: int
    reads: int
    writes: int
    merged_reads: int | None = None
    merged_writes: int | None = None
    read_seconds: float | None = None
    write_seconds: float | None = None
    busy_seconds: float | None = None


def is_partition(name: str, names: Container[str]) -> bool:
    """Whether *name* is a part of another one of *names*, as Linux names parts of a disk.

    The number is set off by a ``p`` where the disk's own name ends in a digit:
    ``sda1`` of ``sda`` and ``nvme0n1p1`` of ``nvme0n1``, but not ``dm-10`` of ``dm-1``.
    """
    disk = name.rstrip("0123456789")
    if disk == name:
        return False
    if disk.endswith("p") and disk[-2:-1].isdigit():
        return disk[:-1] in names
    return disk in names


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceTotals:
    """What went through one network interface since it appeared.

    Attributes:
        name: The interface's name, such as ``eth0``.
        receive_bytes: Bytes received.
        transmit_bytes: Bytes sent.
        receive_packets: Packets received.
        transmit_packets: Packets sent.
        receive_errors: Packets received with an error.
        transmit_errors: Packets that could not be sent.
        receive_dropped: Received packets that were thrown away without an error.
        transmit_dropped: Packets to send that were.
    """

    name: str
    receive_bytes: int
    transmit_bytes: int
    receive_packets: int
    transmit_packets: int
    receive_errors: int
    transmit_errors: int
    receive_dropped: int
    transmit_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """One file system on storage of this host.

    Attributes:
        device: Where it is, such as ``/dev/sda1``.
        mountpoint: The shortest path it is mounted at.
        type: Kind of file system, such as ``ext4``.
        mode: ``rw`` or ``ro``.
        total_bytes: Its size, bytes.
        free_bytes: Unused, bytes.
        available_bytes: Unused and open to everybody, bytes; the rest of the
            unused is reserved for root.
    """

    device: str
    mountpoint: str
    type: str
    mode: str
    total_bytes: int
    free_bytes: int
    available_bytes: int

    @property
    def used_bytes(self) -> int:
        """What files and the file system itself take, bytes."""
        return max(0, self.total_bytes - self.free_bytes)

    @property
    def reserved_bytes(self) -> int:
        """Unused, but kept for root, bytes."""
        return max(0, self.free_bytes - self.available_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSample:
    """A host at one instant.

    Attributes:
        taken_ns: When, monotonic clock, nanoseconds.
        platform: Its operating system, as ``sys.platform`` names it.
        uptime_seconds: Time since the host started, seconds.
        cpu: All cores together, those that are switched off by now included.
        cores: Each core that is switched on, numbered from 0 without gaps, as
            psutil does; empty where they were not asked for.
        logical_cores: How many are switched on, threads of one core counted apart.
        physical_cores: How many there are without counting threads apart.
        memory: Its memory.
        vmstat: Its page faults and swapping; None where there is no ``/proc/vmstat``.
        swap: Its swap space; None where there is none.
        disks: Whole disks that were used at least once.
        interfaces: Network interfaces that were used at least once, of this
            process's network namespace; without ends of virtual pairs
            (``veth``), one of which comes with each container.
        file_systems: File systems on storage of this host, each device once.
    """

    taken_ns: int
    platform: str
    uptime_seconds: float | None = None
    cpu: CpuTimes | None = None
    cores: tuple[CpuTimes, ...] = ()
    logical_cores: int | None = None
    physical_cores: int | None = None
    memory: Memory | None = None
    vmstat: Vmstat | None = None
    swap: Swap | None = None
    disks: tuple[DiskTotals, ...] = ()
    interfaces: tuple[InterfaceTotals, ...] = ()
    file_systems: tuple[FileSystem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSample:
    """This process at one instant.

    Attributes:
        taken_ns: When, monotonic clock, nanoseconds.
        pid: Its number, as it sees it itself.
        uptime_seconds: Time since it started, seconds.
        cpu_user_seconds: CPU time of all its threads in user mode, seconds.
        cpu_system_seconds: The same in the kernel, seconds.
        available_cores: Cores it may use: those it may run on, or less by the
            quota of its cgroup.
        memory_bytes: Resident memory, bytes; pages it shares with others count.
        host_memory_bytes: Memory of the host, bytes.
        virtual_bytes: Address space it has asked for, bytes.
        threads: Its threads.
        file_descriptors: File descriptors it holds open. Not on Windows.
        handles: Handles it holds. On Windows only.
        voluntary_context_switches: Times one of its threads gave up the CPU.
        involuntary_context_switches: Times one was preempted.
        major_faults: Page faults that had to wait for storage.
        minor_faults: Page faults that had not.
        read_bytes: Bytes fetched from storage, page cache not counted.
        write_bytes: Bytes it caused to be sent there.
    """

    taken_ns: int
    pid: int
    uptime_seconds: float | None = None
    cpu_user_seconds: float | None = None
    cpu_system_seconds: float | None = None
    available_cores: float | None = None
    memory_bytes: int | None = None
    host_memory_bytes: int | None = None
    virtual_bytes: int | None = None
    threads: int | None = None
    file_descriptors: int | None = None
    handles: int | None = None
    voluntary_context_switches: int | None = None
    involuntary_context_switches: int | None = None
    major_faults: int | None = None
    minor_faults: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None
