"""What was attached to one execution: trees of processes and cgroups, as one source."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from otel_codomon._platform import cgroups
from otel_codomon._platform.procfs import peak_of
from otel_codomon.resources import process_tree
from otel_codomon.resources.cgroup_source import CgroupSource, complete_by
from otel_codomon.resources.exit_watch import ExitWatch
from otel_codomon.resources.psutil_tree import PsutilTree
from otel_codomon.resources.reaping import notify_when_reaped
from otel_codomon.resources.sample import Reading, add_readings
from otel_codomon.resources.thread_clock import boot_ticks_ago
from otel_codomon.resources.totals import ChildTotals, TreeTotals, usage_of_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from otel_codomon._platform.procfs import OpenFiles
    from otel_codomon.resources.attribution import Work
    from otel_codomon.resources.usage import Usage


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
        self._tops: list[CgroupSource] = []  # those of which none is within another
        self._watches: list[ExitWatch] = []
        self._is_closed = False
        self._peak_together: int | None = None
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
            if any(known.cgroup.folders == cgroup.folders for known in self._cgroups):
                return True
            source = CgroupSource(cgroup)
            self._cgroups.append(source)
            self._tops = [
                one for one in self._cgroups if not any(map(one.is_within, self._cgroups))
            ]
            self.has_targets = True
        if not cgroup.is_ours:
            watch = ExitWatch(cgroup.pids, partial(self._note_exit, source))
            self._watches.append(watch)
            watch.start()
        # Read now: gauges must not touch files.
        self.memory_limit_bytes = cgroup.memory_limit_bytes()
        self.cores_limit = cgroup.cores_limit()
        return True

    def _note_exit(self, source: CgroupSource, ended: Collection[int]) -> None:
        with self._lock:
            if not self._is_closed:  # else its files would be opened again, for good
                source.note_exit(ended)

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
            found = tuple(r for source in self._tops if (r := source.read()) is not None)
            if not found:
                return trees
            whole = add_readings(found, taken_ns=found[-1].taken_ns)
            if whole.memory_bytes is not None:
                self._peak_together = max(whole.memory_bytes, self._peak_together or 0)
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
                peak_memory_bytes=(by_tree if source is None else self._peak_together) or None,
                peak_cache_bytes=(
                    None if source is None else sum(top.cache_bytes for top in self._tops)
                ),
                processes=tree.seen or None,
                transfers=tree.transfers(),
                pids=tuple(tree.members()),
                cgroup=None if source is None else next(iter(source.cgroup.folders.values()), None),
            )

    def usage(self) -> Usage:
        """The totals so far."""
        with self._lock:
            return complete_by(self._tops, usage_of_tree(self._totals()), self._peak_together)

    @property
    def oom_kills(self) -> int:
        """Processes that the kernel killed for want of memory in what others made."""
        return sum(source.oom_kills for source in self._tops if not source.cgroup.is_ours)

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
        """End all processes that belong to the execution; whether there was one.

        Not those of a cgroup that this process is in.
        """
        with self._lock:
            found = [source.cgroup for source in self._cgroups]
            members = [(cgroup, cgroup.pids()) for cgroup in found]
            doomed = [cgroup for cgroup, pids in members if pids and os.getpid() not in pids]
            for cgroup in doomed:
                cgroup.kill()
            return self._tree.kill() or bool(doomed)

    def close(self) -> None:
        """Close all files; a cgroup of ours is its maker's to remove."""
        with self._lock:
            self._is_closed = True
            self._tree.close()
            for watch in self._watches:
                watch.stop()
            for source in self._cgroups:
                source.cgroup.close()

    def close_after_fork(self) -> None:
        """Close the copies a forked child has of all files; the lock may be held for ever."""
        self._lock = threading.RLock()
        for watch in self._watches:
            watch.close()
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
