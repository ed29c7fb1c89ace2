"""A host and this process, from the kernel's files on Linux and from psutil elsewhere."""

from __future__ import annotations

import glob
import os
import sys
import time
from math import inf
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

from otel_codomon._platform import cgroups
from otel_codomon.host import kernel_files as files
from otel_codomon.host.kernel_file import KernelFile
from otel_codomon.host.sample import FileSystem, HostSample, OwnSample

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class HostReader(Protocol):
    """Looks at a host and at this process, again and again, as cheaply as it can.

    After a fork it tells the child's own process. Not for two threads at the
    same time. It never raises: what cannot be read is missing.
    """

    def read_host(self, *, each_core: bool = True) -> HostSample:
        """Look at the host.

        Args:
            each_core: Whether each core is told apart too.
        """
        ...

    def read_own(self) -> OwnSample:
        """Look at this process."""
        ...

    def close(self) -> None:
        """Give back what it keeps open; reading opens it again."""
        ...


def host_reader(platform: str = sys.platform) -> HostReader:
    """The reader for *platform*: the kernel's files on Linux, psutil everywhere else."""
    if platform.startswith("linux"):
        return ProcReader()
    # Imported here: it costs 15 ms, and on Linux it is not needed.
    from otel_codomon.host.psutil_reader import PsutilReader  # noqa: PLC0415

    return PsutilReader()


def read_host() -> HostSample:
    """Look at the host once; who looks again and again keeps a `host_reader`."""
    reader = host_reader()
    try:
        return reader.read_host()
    finally:
        reader.close()


class ProcReader:
    """Reads ``/proc``: each file is kept open and read once for a sample.

    Args:
        proc: Where ``/proc`` is mounted.
    """

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._kept: dict[str, KernelFile] = {}
        self._seen: dict[str, tuple[bytes, object]] = {}
        self._physical_cores: int | None = None
        self._process_limit: int | None = None
        self._quota: float | None = None

    def read_host(self, *, each_core: bool = True) -> HostSample:
        """Look at the host: eight files, and one question for each file system.

        What only changes when hardware or the administrator does (cores of
        the hardware, the limit of processes) is read the first time only.
        """
        stat_text = self._read("stat")
        stat = files.parse_stat(stat_text)
        sizes = self._parsed("partitions", files.parse_partitions)
        mounts = self._parsed("self/mounts", files.parse_mounts)
        self._physical_cores = self._physical_cores or _count_physical_cores()
        self._process_limit = self._process_limit or self._read_process_limit()
        return HostSample(
            source="proc",
            taken_ns=time.monotonic_ns(),
            uptime_seconds=_boot_seconds(),
            cpu=stat.cpu,
            cores=files.parse_cores(stat_text) if each_core else (),
            logical_cores=stat.logical_cores,
            physical_cores=self._physical_cores,
            memory=files.parse_meminfo(self._read("meminfo")),
            paging=files.parse_vmstat(self._read("vmstat")),
            swaps=self._parsed("swaps", files.parse_swaps),
            disks=files.parse_diskstats(self._read("diskstats"), sizes),
            # Through self: the network namespace of this process, after a fork too.
            interfaces=files.parse_net_dev(self._read("self/net/dev")),
            file_systems=_file_systems(mounts),
            processes_created=stat.processes_created,
            process_limit=self._process_limit,
        )

    def read_own(self) -> OwnSample:
        """Look at this process: two files and two calls of the kernel.

        Where the files and ``getrusage`` both tell a number, `getrusage` does:
        it counts in microseconds rather than in ticks, and the switches of all
        threads, where ``/proc/self/status`` has the first thread's only.
        """
        stat = files.parse_own_stat(self._read("self/stat"))
        read_bytes, write_bytes = files.parse_io(self._read("self/io"))
        import resource  # noqa: PLC0415 - there is none on Windows, where this module is imported too

        usage = resource.getrusage(resource.RUSAGE_SELF)
        now_seconds = _boot_seconds()
        return OwnSample(
            source="proc",
            taken_ns=time.monotonic_ns(),
            pid=os.getpid(),
            uptime_seconds=None
            if stat is None or now_seconds is None
            else max(0.0, now_seconds - stat.started_seconds),
            cpu_user_seconds=usage.ru_utime,
            cpu_system_seconds=usage.ru_stime,
            available_cores=min(len(os.sched_getaffinity(0)), self._quota_cores()),
            memory_bytes=None if stat is None else stat.resident_pages * _PAGE_BYTES,
            host_memory_bytes=os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES,
            virtual_bytes=None if stat is None else stat.virtual_bytes,
            threads=None if stat is None else stat.threads,
            file_descriptors=_count_descriptors(f"{self._proc}/self/fd"),
            voluntary_context_switches=usage.ru_nvcsw,
            involuntary_context_switches=usage.ru_nivcsw,
            major_faults=usage.ru_majflt,
            minor_faults=usage.ru_minflt,
            read_bytes=read_bytes,
            write_bytes=write_bytes,
        )

    def close(self) -> None:
        """Close every file; reading opens them again."""
        for file in self._kept.values():
            file.close()

    def _read(self, name: str) -> bytes:
        kept = self._kept.get(name)
        if kept is None:
            kept = self._kept[name] = KernelFile(f"{self._proc}/{name}")
        return kept.read()

    def _parsed(self, name: str, parse: Callable[[bytes], T]) -> T:
        """What a file says that rarely changes: parsed when it did."""
        text = self._read(name)
        seen = self._seen.get(name)
        if seen is None or seen[0] != text:
            self._seen[name] = seen = (text, parse(text))
        return cast("T", seen[1])  # each file has one parser

    def _quota_cores(self) -> float:
        """Cores that the quota of our cgroup allows, read once; infinite without one."""
        if self._quota is None:
            own = cgroups.own()
            quota = None if own is None else own.cores_limit()
            self._quota = inf if quota is None else quota
        return self._quota

    def _read_process_limit(self) -> int | None:
        """The smaller of the two: each task needs an id, and counts as a thread."""
        told = [_text(f"{self._proc}/sys/kernel/{name}") for name in ("threads-max", "pid_max")]
        return min((int(word) for word in told if files.is_number(word)), default=None)


def _count_physical_cores() -> int | None:
    """A file for each core: those of one core list the same threads."""
    pattern = "/sys/devices/system/cpu/cpu[0-9]*/topology/thread_siblings_list"
    return len({_text(path) for path in glob.glob(pattern)}) or None


def _boot_seconds() -> float | None:
    """Time since the host (or this time namespace) started, time asleep included."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return None if clock is None else time.clock_gettime(clock)


def _count_descriptors(folder: str) -> int | None:
    """Descriptors of this process: the folder's size since Linux 6.2, before that its entries."""
    try:
        # The listing holds one itself.
        return os.stat(folder).st_size or len(os.listdir(folder)) - 1
    except OSError:
        return None


def _file_systems(mounts: tuple[files.Mount, ...]) -> tuple[FileSystem, ...]:
    return tuple(found for mount in mounts if (found := _file_system(mount)) is not None)


def _file_system(mount: files.Mount) -> FileSystem | None:
    try:
        told = os.statvfs(mount.mountpoint)
    except OSError:  # unmounted meanwhile, or not ours to look at
        return None
    if not told.f_blocks:
        return None
    return FileSystem(
        device=mount.device,
        mountpoint=mount.mountpoint,
        type=mount.type,
        mode=mount.mode,
        total_bytes=told.f_blocks * told.f_frsize,
        free_bytes=told.f_bfree * told.f_frsize,
        available_bytes=told.f_bavail * told.f_frsize,
    )


def _text(path: str) -> bytes:
    file = KernelFile(path)
    try:
        return file.read().strip()
    finally:
        file.close()
