"""The trees of processes of one execution, found by walking children.

A look costs with the members only, not with the strangers beside them. Once
seen a process stays a member until it is gone, also when its parent dies and
somebody else inherits it.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Final

from otel_codomon._platform.proc_stat import read_stat
from otel_codomon._platform.procfs import OpenFiles, ancestors, read_arguments
from otel_codomon.resources.engine_clients import client_in, is_client_name
from otel_codomon.resources.sample import Reading
from otel_codomon.resources.tracked_process import TrackedProcess

_SLOW_FACTS_NS: Final = 1_000_000_000
"""Descriptors and transfers are read once a second: they cost as much as all the rest."""

_FULL_LOOKS: Final = 8
"""Of so many looks one reads all of a process that has rested: what the kernel
takes from it meanwhile is told two seconds late, at the default interval."""

_KILL_ROUNDS: Final = 20


def is_available() -> bool:
    """Whether the kernel lists the children of a thread: Linux with ``/proc`` as usual."""
    pid = os.getpid()
    return os.path.exists(f"/proc/{pid}/task/{pid}/children")  # noqa: PTH110 - twice as fast


class ProcessTree:
    """The trees below some processes, as one source. Used by one thread at a time.

    Attributes:
        name: For ``codomon.usage.source``.
        seen: How many processes were ever members.
        peak_sum_bytes: Largest sum of resident sets that a look saw; None before.
        largest_peak_bytes: Largest high water mark of one process; None before.
        client: The client of a container engine that was seen; None without one.
        peaks_together_bytes: Largest sum of the high water marks of those that
            were there between two looks. They need not have coincided, so the
            tree's peak is no higher.
    """

    name = "process_tree"

    def __init__(self, files: OpenFiles | None = None) -> None:
        self._files = files or OpenFiles()
        self._members: dict[int, TrackedProcess] = {}
        self._looks = 0
        self._slow_ns = -_SLOW_FACTS_NS
        self._descriptors: int | None = None
        self._transfers: tuple[int, int] | None = None
        self._outside_ns: dict[int, int] = {}
        self._reaped_ns: dict[int, int] = {}
        self.client: str | None = None
        self._gone_transfers: tuple[int, int] | None = None
        self._most_cpu_ns = 0
        self.seen = 0
        self.peak_sum_bytes: int | None = None
        self.largest_peak_bytes: int | None = None
        self.peaks_together_bytes = 0
        self._lost_peaks_bytes = 0
        self._has_new_peaks = True
        self._is_stirred = True
        self._reading = Reading(taken_ns=0)

    # --- who belongs to it ----------------------------------------------------

    def add(self, pid: int, *, since_ticks: int = 0) -> bool:
        """Watch *pid* and its descendants.

        Args:
            pid: A process. This one and those above it are refused: they would
                bring everything with them.
            since_ticks: When the execution started, ticks since boot. Of an older
                process only what it uses from now on counts.

        Returns:
            Whether it is watched now. It is not if it is gone, or hidden.
        """
        if pid in self._members:
            return True
        if pid in ancestors(os.getpid()):
            return False
        return self._add(pid, since_ticks=since_ticks) is not None

    def _add(
        self, pid: int, *, parent: TrackedProcess | None = None, since_ticks: int = 0
    ) -> TrackedProcess | None:
        stat = read_stat(pid)
        if stat is None or (parent is not None and stat.parent != parent.pid):
            return None  # gone, or its number in use again, since its parent listed it
        is_older = stat.start_ticks < since_ticks
        base_ns = stat.cpu_ns + stat.reaped_cpu_ns if is_older else 0
        in_tree = stat.parent in self._members
        member = TrackedProcess(pid, stat, self._files, base_ns=base_ns, in_tree=in_tree)
        if not self._members:
            self._looks = pid  # so that of many trees each has another turn
        self._members[pid] = member
        self.seen += 1
        if member.refresh(in_full=True):
            member.note_peak()
            self._note_client(member)
        self._is_stirred = self._has_new_peaks = True
        return member

    def _walk(self) -> bool:
        """Read every member again and find their children; whether anything has changed."""
        members = self._members
        # Who comes or goes changes whose child others are while they sleep.
        has_changed = in_full = self._is_stirred
        self._is_stirred = False
        in_full = in_full or not self._looks % _FULL_LOOKS
        # Parents before children, as they were found: a child that is reaped in
        # the middle of a look must not be in both accounts.
        waiting = list(members.values())
        for member in waiting:  # and those found meanwhile, which are appended
            if not member.refresh(in_full=in_full):
                self._lose(member)
                has_changed = in_full = True
                continue
            if member.has_rested and not in_full:
                continue
            member.in_tree = member.stat.parent in members
            if not member.is_idle:
                has_changed = True
                in_full = self._note_change(member) or in_full
            elif not in_full and self._looks % 2:
                continue  # who did nothing has hardly started anybody: every other look will do
            waiting += self._add_children(member)
        return has_changed

    def _add_children(self, parent: TrackedProcess) -> list[TrackedProcess]:
        """Those children of *parent* that were no members yet."""
        found = []
        for child in parent.children():
            pid = int(child)
            member = None if pid in self._members else self._add(pid, parent=parent)
            if member is not None:
                found.append(member)
        return found

    def _note_change(self, member: TrackedProcess) -> bool:
        """Read what *member* may have more of; whether it has died."""
        if member.stat.faults != member.peak_at_faults:
            member.note_peak()
            self._has_new_peaks = True
        if not member.stat.is_living:
            self._is_stirred = True
        self._note_client(member)
        return self._is_stirred

    def _note_client(self, member: TrackedProcess) -> None:
        """Note whether *member* has become the client of a container engine, by its name first."""
        if self.client is None and is_client_name(member.name):
            self.client = client_in(read_arguments(member.pid))

    def _lose(self, member: TrackedProcess) -> None:
        """Take *member* out; keep what only it knew."""
        self._is_stirred = self._has_new_peaks = True
        del self._members[member.pid]
        member.close()
        parent = self._members.get(member.stat.parent)
        if parent is not None:
            parent.children_text = None  # the number may be in use again, by another child
        if not member.in_tree:
            before_ns = self._outside_ns.get(member.pid, 0)  # of another with that number
            self._outside_ns[member.pid] = before_ns + member.cpu_ns
            if member.stat.parent == os.getpid():
                before_ns = self._reaped_ns.get(member.pid, 0)
                self._reaped_ns[member.pid] = before_ns + member.cpu_ns
        self._lost_peaks_bytes += member.peak_bytes or 0
        self._gone_transfers = _together(self._gone_transfers, member.transfers)

    # --- looking --------------------------------------------------------------

    def read(self) -> Reading | None:
        """Read all members once; None when none is left."""
        begin_ns = time.monotonic_ns()
        self._looks += 1
        has_changed = self._walk()
        if begin_ns - self._slow_ns >= _SLOW_FACTS_NS:
            self._slow_ns = begin_ns
            self._note_slow_facts()
            has_changed = True
        if self._has_new_peaks:
            self._note_peaks()
        if has_changed:
            self._reading = self._sum()
        return Reading(time.monotonic_ns(), *self._reading[1:]) if self._members else None

    def _sum(self) -> Reading:
        """The sums over all members, as they were last read."""
        cpu_ns = sum(self._outside_ns.values())
        memory = processes = threads = reaped_ns = 0
        for member in self._members.values():
            cpu_ns += member.cpu_ns
            stat = member.stat
            reaped_ns += stat.reaped_cpu_ns
            if stat.is_living:
                memory += stat.rss_bytes
                processes += 1
                threads += stat.threads
        # A child that is reaped moves to its parent's account in one step that
        # two reads can see half of.
        self._most_cpu_ns = max(self._most_cpu_ns, cpu_ns)
        if self._members:
            self.peak_sum_bytes = max(memory, self.peak_sum_bytes or 0)
        read, written = self._transfers or (None, None)
        return Reading(
            taken_ns=0,
            cpu_ns=self._most_cpu_ns,
            memory_bytes=memory,
            processes=processes,
            threads=threads,
            file_descriptors=self._descriptors,
            storage_taken_ns=self._slow_ns,
            read_bytes=read,
            write_bytes=written,
            reaped_ns=reaped_ns,
        )

    def _note_slow_facts(self) -> None:
        for member in self._members.values():
            member.note_slow_facts()
        known = [m.descriptors for m in self._members.values() if m.descriptors is not None]
        self._descriptors = sum(known) if known else None
        self._transfers = self.transfers()

    def _note_peaks(self) -> None:
        self._has_new_peaks = False
        peaks = [m.peak_bytes for m in self._members.values() if m.peak_bytes is not None]
        if peaks:
            self.largest_peak_bytes = max(*peaks, self.largest_peak_bytes or 0)
        together = sum(peaks) + self._lost_peaks_bytes
        self.peaks_together_bytes = max(self.peaks_together_bytes, together)
        self._lost_peaks_bytes = 0

    @property
    def cpu_ns(self) -> int:
        """CPU time seen so far, nanoseconds: less than the truth by what came after the last look.

        Children that were reaped within the tree are in it, whether they were
        seen or not.
        """
        return self._most_cpu_ns

    def members(self) -> list[tuple[int, int]]:
        """Process id and start, in clock ticks since boot, of each member, as first seen."""
        return [(member.pid, member.stat.start_ticks) for member in self._members.values()]

    def outside_cpu_ns(self, told: frozenset[int]) -> int:
        """CPU time of all that live, and of the dead whose parent was no member.

        The account of a member's parent gets that of the others.

        Args:
            told: Pids whose account somebody else told of.
        """
        living = {m.pid: m.cpu_ns for m in self._members.values()}
        accounts = (*self._outside_ns.items(), *living.items())
        return sum(cpu_ns for pid, cpu_ns in accounts if pid not in told)

    def reaped_cpu_ns(self, told: frozenset[int]) -> int:
        """The part of it that is of dead children of this process, by the last look."""
        return sum(cpu_ns for pid, cpu_ns in self._reaped_ns.items() if pid not in told)

    @property
    def pids(self) -> set[int]:
        """The members that live, or wait to be waited for."""
        return set(self._members)

    def transfers(self) -> tuple[int, int] | None:
        """Bytes fetched from and sent to storage by all that were seen; None if not for us."""
        return _together(self._gone_transfers, *(m.transfers for m in self._members.values()))

    # --- ending ---------------------------------------------------------------

    def kill(self) -> bool:
        """End every member with SIGKILL, and whatever they start meanwhile.

        Returns:
            Whether there was one to end.
        """
        for before in range(_KILL_ROUNDS):
            self._is_stirred = True  # read all in full
            self._walk()
            living = [m for m in self._members.values() if m.stat.is_living]
            if not living:
                return before > 0
            for member in living:
                _kill(member)
            time.sleep(0.002)
        return True

    def close(self) -> None:
        """Forget the members and close their files."""
        for member in self._members.values():
            member.close()
        self._members.clear()


def _together(*transfers: tuple[int, int] | None) -> tuple[int, int] | None:
    known = [one for one in transfers if one is not None]
    return (sum(r for r, _ in known), sum(w for _, w in known)) if known else None


def _kill(member: TrackedProcess) -> None:
    """End *member*, and nobody who got its number meanwhile."""
    try:
        descriptor = os.pidfd_open(member.pid)
    except OSError:  # gone
        return
    try:
        stat = read_stat(member.pid)
        if stat is not None and stat.start_ticks == member.stat.start_ticks:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:  # gone meanwhile, or of another user
        return
    finally:
        os.close(descriptor)
