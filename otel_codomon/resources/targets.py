"""What was attached to one execution: trees of processes and cgroups, as one source."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from otel_codomon._platform import cgroups
from otel_codomon._platform.procfs import peak_of
from otel_codomon.resources import process_tree
from otel_codomon.resources.memory_peak import Peak, without_cache
from otel_codomon.resources.psutil_tree import PsutilTree
from otel_codomon.resources.reaping import notify_when_reaped
from otel_codomon.resources.sample import Reading, add_readings
from otel_codomon.resources.thread_clock import boot_ticks_ago
from otel_codomon.resources.totals import ChildTotals, TreeTotals, usage_of_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon._platform.cgroup_files import CgroupTotals
    from otel_codomon._platform.procfs import OpenFiles
    from otel_codomon.resources.attribution import Work
    from otel_codomon.resources.usage import Usage


class CgroupSource:
    """One cgroup, read from when it was attached.

    Attributes:
        cgroup: The cgroup.
        cache_bytes: Most page cache that was seen in it.
        peak_bytes: Most memory without page cache that a look saw.
    """

    __slots__ = ("_base_cpu", "_base_peak", "cache_bytes", "cgroup", "peak_bytes")

    def __init__(self, cgroup: cgroups.Cgroup) -> None:
        self.cgroup = cgroup
        totals = cgroup.totals()
        before = (totals.cpu_ns, totals.cpu_user_ns, totals.cpu_system_ns)
        # What ours has used the execution has, however late it was attached.
        self._base_cpu = (0, 0, 0) if cgroup.is_ours else before
        self._base_peak = totals.peak_memory_bytes
        self.cache_bytes = 0
        self.peak_bytes: int | None = None

    def read(self) -> Reading | None:
        """Read what it uses now; None when it is gone."""
        # The CPU time is read first: a rate that is taken from it wants its time, and
        # not that of the memory and the rest.
        taken_ns = time.monotonic_ns()
        totals = self.cgroup.totals(live=True)
        if totals.cpu_ns is None:
            return None
        memory = totals.memory_bytes
        if memory is not None:
            cache = totals.cache_bytes or 0
            self.cache_bytes = max(self.cache_bytes, cache)
            memory = max(0, memory - cache)
            self.peak_bytes = max(memory, self.peak_bytes or 0)
        return Reading(
            taken_ns=taken_ns,
            cpu_ns=_since(self._base_cpu[0], totals.cpu_ns),
            memory_bytes=memory,
            threads=totals.processes,  # what `pids` counts are threads
        )

    def complete(self, usage: Usage) -> Usage:
        """*usage* of the trees within it, with what the kernel has counted in its place."""
        totals = self.cgroup.totals()
        if totals.cpu_ns is None:  # removed before the end: the trees are all there is
            return usage
        peak = self._peak(totals)
        cpu, user, system = (
            _since(base, now)
            for base, now in zip(
                self._base_cpu,
                (totals.cpu_ns, totals.cpu_user_ns, totals.cpu_system_ns),
                strict=True,
            )
        )
        return replace(
            usage,
            source="cgroup",
            absent_reason=None,
            cpu_seconds=_seconds(cpu),
            cpu_user_seconds=_seconds(user),
            cpu_system_seconds=_seconds(system),
            cpu_throttled_seconds=_seconds(totals.throttled_ns),
            peak_memory_bytes=usage.peak_memory_bytes if peak.bytes is None else peak.bytes,
            peak_memory_upper_bytes=(
                usage.peak_memory_upper_bytes if peak.bytes is None else peak.upper_bytes
            ),
            peak_cache_bytes=self.cache_bytes if totals.cache_bytes is not None else None,
            disk_read_bytes=_most(usage.disk_read_bytes, totals.read_bytes),
            disk_write_bytes=_most(usage.disk_write_bytes, totals.write_bytes),
        )

    def _peak(self, totals: CgroupTotals) -> Peak:
        """The kernel's peak, if it was reached within the execution; else what looks saw."""
        self.cache_bytes = max(self.cache_bytes, totals.cache_bytes or 0)
        kernels = totals.peak_memory_bytes
        if kernels is None or (not self.cgroup.is_ours and kernels == self._base_peak):
            return Peak(self.peak_bytes)
        peak = without_cache(kernels, self.cache_bytes)
        return Peak(max(peak.bytes or 0, self.peak_bytes or 0), peak.upper_bytes)


class CpuOfTrees(NamedTuple):
    """The CPU time of the processes of an execution, by how it is known, nanoseconds.

    Attributes:
        reported_ns: Of those whose exact totals were taken.
        seen_ns: Of children of this process that were waited for by others, by
            the last look: the least it can be.
        rest_ns: Of those that live, and of those that are nobody's children here.
        has_lost: Whether there are such of which the exact totals are missing.
    """

    reported_ns: int
    seen_ns: int
    rest_ns: int
    has_lost: bool

    def complete(self, work: Work) -> Work:
        """*work* with what is known of the trees."""
        return work._replace(
            known_ns=work.known_ns + self.reported_ns, seen_ns=self.seen_ns, has_lost=self.has_lost
        )


class SoFar(NamedTuple):
    """What samples have seen of an execution. None is not known.

    Attributes:
        peak_memory_bytes: As in `Usage`.
        peak_cache_bytes: As in `Usage`.
        processes: Processes that were seen.
        transfers: Bytes from and to storage, of those that live.
        pids: Process id and start, in clock ticks since boot.
        cgroup: Path of its cgroup.
    """

    peak_memory_bytes: int | None = None
    peak_cache_bytes: int | None = None
    processes: int | None = None
    transfers: tuple[int, int] | None = None
    pids: tuple[tuple[int, int], ...] = ()
    cgroup: str | None = None


class Attached:
    """All that was attached to one execution. May be used from several threads.

    Args:
        started_ns: Start of the execution, monotonic clock, nanoseconds.
        files: Shared by all, so that together they keep a bounded number open.
        on_reaped: Called with the CPU time of each attached child, nanoseconds,
            in the thread that waited for it.

    Attributes:
        memory_limit_bytes: The memory limit of the cgroup attached; None without one.
        cores_limit: Its CPU quota, cores; None without one.
        has_targets: Whether somebody attached something, and not only trees
            were found.
    """

    def __init__(
        self,
        started_ns: int,
        files: OpenFiles,
        *,
        on_reaped: Callable[[int], object] = lambda _cpu_ns: None,
    ) -> None:
        self._on_reaped = on_reaped
        # Its holder may take it again: a signal that comes in the middle of a
        # look may have a handler that waits for the child, which tells of it here.
        self._lock = threading.RLock()
        self._since_ticks = boot_ticks_ago(time.monotonic_ns() - started_ns)
        self._tree = (
            process_tree.ProcessTree(files) if process_tree.is_available() else PsutilTree()
        )
        self._cgroups: list[CgroupSource] = []
        self.memory_limit_bytes: int | None = None
        self.cores_limit: float | None = None
        self._roots: set[int] = set()
        self._targets: set[int] = set()
        self._told: list[ChildTotals] = []
        self._spawner_peak: int | None = None
        self.has_targets = False

    def attach(self, target: object) -> bool:
        """Watch *target*; whether it is watched now.

        Args:
            target: A pid, an object with one, a cgroup, or the path of one.
        """
        if isinstance(target, (str, bytes, os.PathLike)):
            found = cgroups.find(os.fsdecode(target))
            return found is not None and self._attach_cgroup(found)
        if isinstance(target, cgroups.Cgroup):
            return self._attach_cgroup(target)
        pid = _pid_of(target)
        if pid is None or not self.add_tree(pid):
            return False
        self.has_targets = True
        self._targets.add(pid)
        notify_when_reaped(target, self.reaped)
        return True

    def _attach_cgroup(self, cgroup: cgroups.Cgroup) -> bool:
        with self._lock:
            self._cgroups.append(CgroupSource(cgroup))
            self.has_targets = True
        # Read now: gauges must not touch files.
        self.memory_limit_bytes = cgroup.memory_limit_bytes()
        self.cores_limit = cgroup.cores_limit()
        return True

    def add_tree(self, pid: int) -> bool:
        """Watch the tree below process *pid*; whether it is watched now."""
        with self._lock:
            if not self._tree.add(pid, since_ticks=self._since_ticks):
                return False
            self._roots.add(pid)
        # The mark that a child of ours began at: ours may have risen since, never fallen.
        self._spawner_peak = peak_of(os.getpid())
        return True

    def reaped(self, totals: ChildTotals) -> None:
        """Take the exact totals of an attached child that was waited for here."""
        if self.take(totals):
            self._on_reaped(totals.cpu_ns)

    def take(self, totals: ChildTotals) -> bool:
        """Take the exact totals of a child; whether they are new: the same twice count once."""
        if totals.spawner_peak_bytes is None:
            totals = replace(totals, spawner_peak_bytes=self._spawner_peak or peak_of(os.getpid()))
        with self._lock:
            is_new = not any(_is_same(totals, known) for known in self._told)
            if is_new:
                self._told.append(totals)
        return is_new

    def read(self) -> Reading | None:
        """Read everything once; None when nothing of it is left."""
        with self._lock:
            trees = self._tree.read()
            if not self._cgroups:
                return trees
            found = tuple(r for source in self._cgroups if (r := source.read()) is not None)
        if not found:
            return trees
        whole = add_readings(found, taken_ns=found[-1].taken_ns)
        if trees is None:
            return whole
        # The trees are within the cgroup: it has the sums, they have the rest.
        return trees._replace(
            taken_ns=whole.taken_ns,
            cpu_ns=whole.cpu_ns,
            memory_bytes=trees.memory_bytes if whole.memory_bytes is None else whole.memory_bytes,
            reaped_ns=None,  # the cgroup also counts processes that the trees have not seen
        )

    @property
    def client(self) -> str | None:
        """The client of a container engine among the trees, unless a cgroup has the work."""
        is_found = any(not source.cgroup.is_ours for source in self._cgroups)
        return None if is_found else self._tree.client

    def cpu_of_trees(self, started: frozenset[int] | None) -> CpuOfTrees:
        """What is known of the CPU time of the trees, and how.

        Args:
            started: Of an execution in steps the processes that outlived the
                step which started them; None for any other.
        """
        with self._lock:
            told = self._reported_pids()
            rest_ns, seen_ns = self._tree.outside_cpu_ns(told), self._tree.reaped_cpu_ns(told)
            watched = self._targets | started if started is not None else self._roots
            gone = watched - told - self._tree.pids
        return CpuOfTrees(
            reported_ns=sum(child.cpu_ns for child in self._told),
            seen_ns=seen_ns,
            rest_ns=rest_ns - seen_ns,
            has_lost=bool(gone),
        )

    def _reported_pids(self) -> frozenset[int]:
        told = frozenset(child.pid for child in self._told if child.pid is not None)
        nameless = sum(child.pid is None for child in self._told)
        untold = self._roots - told
        return (
            told | untold if nameless >= len(untold) else told
        )  # told without a pid: of whom else

    @property
    def cpu_ns(self) -> int:
        """CPU time of all trees that the looks so far saw, nanoseconds."""
        return self._tree.cpu_ns

    @property
    def is_whole(self) -> bool:
        """Whether the totals of the whole execution were told."""
        return any(child.is_whole for child in self._told)

    def so_far(self) -> SoFar:
        """What the samples so far have seen; reads no file."""
        with self._lock:
            tree, source = self._tree, self._cgroups[-1] if self._cgroups else None
            by_tree = max(tree.peak_sum_bytes or 0, tree.largest_peak_bytes or 0)
            return SoFar(
                peak_memory_bytes=(by_tree if source is None else source.peak_bytes) or None,
                peak_cache_bytes=None if source is None else source.cache_bytes,
                processes=tree.seen or None,
                transfers=tree.transfers(),
                pids=tuple(tree.members()),
                cgroup=None if source is None else next(iter(source.cgroup.folders.values()), None),
            )

    def usage(self) -> Usage:
        """The totals so far."""
        with self._lock:
            usage = usage_of_tree(self._totals())
            for source in self._cgroups:
                usage = source.complete(usage)
        return usage

    def _totals(self) -> TreeTotals:
        tree = self._tree
        told = self._reported_pids()
        read, written = tree.transfers() or (None, None)
        return TreeTotals(
            told=tuple(self._told),
            rest_cpu_ns=tree.outside_cpu_ns(told),
            is_complete=not self._roots - told,
            peak_sum_bytes=tree.peak_sum_bytes,
            largest_peak_bytes=tree.largest_peak_bytes,
            peaks_together_bytes=tree.peaks_together_bytes,
            read_bytes=read,
            write_bytes=written,
            processes=tree.seen,
        )

    def kill(self) -> bool:
        """End all processes that belong to the execution; whether there was one."""
        with self._lock:
            ours = [source.cgroup for source in self._cgroups if source.cgroup.is_ours]
            has_members = any(bool(cgroup.pids()) for cgroup in ours)
            for cgroup in ours:
                cgroup.kill()
            return self._tree.kill() or has_members

    def close(self) -> None:
        """Close all files; a cgroup of ours is its maker's to remove."""
        with self._lock:
            self._tree.close()
            for source in self._cgroups:
                source.cgroup.close()

    def close_after_fork(self) -> None:
        """Close the copies a forked child has of all files; the lock may be held for ever."""
        self._lock = threading.RLock()
        self.close()


def _pid_of(target: object) -> int | None:
    """The pid of *target*; None if it has none, or has it no more.

    The number of a child that was waited for may be somebody else's by now.
    """
    if getattr(target, "returncode", None) is not None:
        return None
    is_running = getattr(target, "is_running", None)  # psutil compares the start time too
    if callable(is_running) and not is_running():
        return None
    pid = target if isinstance(target, int) else getattr(target, "pid", None)
    is_pid = isinstance(pid, int) and not isinstance(pid, bool) and pid > 0
    return pid if is_pid else None


def _is_same(one: ChildTotals, other: ChildTotals) -> bool:
    """Whether two accounts are of the same wait: told by the hook, and by the user too."""
    return replace(one, pid=None, spawner_peak_bytes=None) == replace(
        other, pid=None, spawner_peak_bytes=None
    )


def _since(base: int | None, now: int | None) -> int | None:
    return None if now is None else max(0, now - (base or 0))


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9


def _most(one: int | None, other: int | None) -> int | None:
    return max((n for n in (one, other) if n is not None), default=None)
