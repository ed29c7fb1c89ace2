"""The trees of processes of one execution, found by walking children.

A look costs with the members only, not with the strangers beside them. Once
seen a process stays a member until it is gone, also when its parent dies and
somebody else inherits it.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final

from otel_codomon.sources.processes import (
    OpenFiles,
    Stat,
    ancestors,
    descriptors_of,
    parse_stat,
    peak_of,
    read_stat,
    threads_of,
    transfers_of,
)
from otel_codomon.values.sample import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

_SLOW_FACTS_NS: Final = 1_000_000_000
"""Descriptors and transfers are read once a second: they cost as much as all the rest."""

_MAX_THREADS_A_LOOK: Final = 64
"""Threads of one process whose children are read in one look. With 10,000
threads the rest have their turn in the next ones."""

_KILL_ROUNDS: Final = 20
_DEAD: Final = frozenset({b"Z", b"X"})


def is_available() -> bool:
    """Whether the kernel lists the children of a thread: Linux with ``/proc`` as usual."""
    pid = os.getpid()
    return os.path.exists(f"/proc/{pid}/task/{pid}/children")  # noqa: PTH110 - twice as fast


class Member:
    """One process of a tree, and what was last seen of it.

    Attributes:
        pid: Its number.
        stat: The last that could be read.
        base_ns: CPU time it and its reaped children had used before the
            execution: not the execution's.
        peak_at_faults: Its page faults when the mark was read: without another
            one it cannot have risen.
        peak_bytes: Its high water mark; None if none could be read.
        cpu_ns: CPU time of its own and of what it reaped, within the execution.
        is_idle: Whether nothing in ``stat`` had changed at the last look.
        in_tree: Whether its parent, when last seen, was a member too: then the
            parent's account has its CPU time once it is reaped.
        children_text: The pids of its children that are members already.
        descriptors: Its open descriptors, when they were last counted.
        transfers: Bytes it has fetched and sent, when they were last read.
    """

    __slots__ = (
        "_children_file",
        "_next_thread",
        "_stat_file",
        "_stat_text",
        "base_ns",
        "children_text",
        "cpu_ns",
        "descriptors",
        "in_tree",
        "is_idle",
        "peak_at_faults",
        "peak_bytes",
        "pid",
        "stat",
        "transfers",
    )

    def __init__(self, pid: int, stat: Stat, *, base_ns: int, in_tree: bool) -> None:
        self.pid = pid
        self.stat = stat
        self.cpu_ns = max(0, stat.cpu_ns + stat.reaped_cpu_ns - base_ns)
        self.base_ns = base_ns
        self.in_tree = in_tree
        self.is_idle = False
        self.peak_bytes: int | None = None
        self.descriptors: int | None = None
        self.transfers: tuple[int, int] | None = None
        self._stat_file: int | None = None
        self._stat_text: bytes | None = None
        self.children_text: bytes | None = b""
        self._children_file: int | None = None
        self._next_thread = 0
        self.peak_at_faults = -1

    def refresh(self, files: OpenFiles) -> bool:
        """Read ``stat`` again; whether it is still there."""
        text, self._stat_file = files.read(f"/proc/{self.pid}/stat", self._stat_file)
        if not text:
            return False
        if text == self._stat_text:  # asleep since the last look: nothing to parse
            self.is_idle = True
            return True
        self.is_idle = False
        self._stat_text = text
        stat = parse_stat(text)
        if stat.start_ticks != self.stat.start_ticks:  # the number went to another
            return False
        self.stat = stat
        self.cpu_ns = max(0, stat.cpu_ns + stat.reaped_cpu_ns - self.base_ns)
        return True

    def note_peak(self) -> None:
        """Read the high water mark."""
        self.peak_at_faults = self.stat.faults
        peak = peak_of(self.pid)
        if peak is not None:
            self.peak_bytes = max(peak, self.peak_bytes or 0)

    def note_slow_facts(self) -> None:
        """Count descriptors and read transfers."""
        self.descriptors = descriptors_of(self.pid)
        self.transfers = transfers_of(self.pid) or self.transfers

    def children(self, files: OpenFiles) -> list[bytes]:
        """Pids of the children of its threads; empty if they are those of the last look."""
        if self.stat.threads <= 1:
            path = f"/proc/{self.pid}/task/{self.pid}/children"
            text, self._children_file = files.read(path, self._children_file)
            if text is None or text == self.children_text:
                return []
            self.children_text = text
            return text.split()
        found: list[bytes] = []
        for thread in self._some_threads():
            text, kept = files.read(f"/proc/{self.pid}/task/{thread}/children", None)
            files.close(kept)
            found += text.split() if text else []
        return found

    def _some_threads(self) -> list[str]:
        threads = threads_of(self.pid)
        if len(threads) <= _MAX_THREADS_A_LOOK:
            return threads
        begin = self._next_thread % len(threads)
        self._next_thread = begin + _MAX_THREADS_A_LOOK
        return (threads + threads)[begin : self._next_thread]

    def close(self, files: OpenFiles) -> None:
        """Close what is kept open."""
        files.close(self._stat_file)
        files.close(self._children_file)
        self._stat_file = self._children_file = None


class ProcessTree:
    """The trees below some processes, as one source. Used by one thread at a time.

    Attributes:
        name: For ``codomon.usage.source``.
        seen: How many processes were ever members.
        peak_sum_bytes: Largest sum of resident sets that a look saw; None before.
        largest_peak_bytes: Largest high water mark of one process; None before.
        peaks_together_bytes: Largest sum of the high water marks of those that
            were there between two looks. They need not have coincided, so the
            tree's peak is no higher.
    """

    name = "process_tree"

    def __init__(self, files: OpenFiles | None = None) -> None:
        self._files = files or OpenFiles()
        self._members: dict[int, Member] = {}
        self._looks = 0
        self._slow_ns = -_SLOW_FACTS_NS
        self._descriptors: int | None = None
        self._transfers = (0, 0)
        self._outside_ns: dict[int, int] = {}
        self._gone_transfers = (0, 0)
        self._most_cpu_ns = 0
        self.seen = 0
        self.peak_sum_bytes: int | None = None
        self.largest_peak_bytes: int | None = None
        self.peaks_together_bytes = 0
        self._lost_peaks_bytes = 0
        self._has_changed = True

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
        self, pid: int, *, parent: Member | None = None, since_ticks: int = 0
    ) -> Member | None:
        stat = read_stat(pid)
        if stat is None or (parent is not None and stat.ppid != parent.pid):
            return None  # gone, or its number in use again, since its parent listed it
        is_older = stat.start_ticks < since_ticks
        base_ns = stat.cpu_ns + stat.reaped_cpu_ns if is_older else 0
        member = Member(pid, stat, base_ns=base_ns, in_tree=stat.ppid in self._members)
        self._members[pid] = member
        self.seen += 1
        if member.refresh(self._files):
            member.note_peak()
        self._has_changed = True
        return member

    def _walk(self) -> Iterator[Member]:
        """Read every member again, find their children, and yield those that live."""
        members = self._members
        # Parents before children, as they were found: a child that is reaped in
        # the middle of a look must not be in both accounts.
        waiting = list(members.values())
        for member in waiting:  # and those found meanwhile, which are appended
            if not member.refresh(self._files):
                self._lose(member)
                continue
            member.in_tree = member.stat.ppid in members
            if member.stat.faults != member.peak_at_faults:
                member.note_peak()
                self._has_changed = True
            yield member
            if member.is_idle and (member.pid + self._looks) % 2:
                continue  # who did nothing has hardly started anybody: every other look will do
            for child in member.children(self._files):
                pid = int(child)
                found = None if pid in members else self._add(pid, parent=member)
                if found is not None:
                    waiting.append(found)

    def _lose(self, member: Member) -> None:
        """Take *member* out; keep what only it knew."""
        self._has_changed = True
        del self._members[member.pid]
        member.close(self._files)
        parent = self._members.get(member.stat.ppid)
        if parent is not None:
            parent.children_text = None  # the number may be in use again, by another child
        if not member.in_tree:
            before_ns = self._outside_ns.get(member.pid, 0)  # of another with that number
            self._outside_ns[member.pid] = before_ns + member.cpu_ns
        self._lost_peaks_bytes += member.peak_bytes or 0
        read, written = member.transfers or (0, 0)
        self._gone_transfers = (self._gone_transfers[0] + read, self._gone_transfers[1] + written)

    # --- looking --------------------------------------------------------------

    def look(self) -> Reading | None:
        """Read all members once; None when none is left."""
        begin_ns = time.monotonic_ns()
        self._looks += 1
        is_slow = begin_ns - self._slow_ns >= _SLOW_FACTS_NS
        cpu_ns = sum(self._outside_ns.values())
        memory = processes = threads = 0
        for member in self._walk():
            stat = member.stat
            cpu_ns += member.cpu_ns
            if stat.state not in _DEAD:
                memory += stat.rss_bytes
                processes += 1
                threads += stat.threads
            if is_slow:
                member.note_slow_facts()
        # A child that is reaped moves to its parent's account in one step that
        # two reads can see half of.
        self._most_cpu_ns = max(self._most_cpu_ns, cpu_ns)
        if is_slow:
            self._slow_ns = begin_ns
            self._note_descriptors()
        self._note_peaks()
        if not self._members:
            return None
        self.peak_sum_bytes = max(memory, self.peak_sum_bytes or 0)
        read, written = self._transfers
        return Reading(
            taken_ns=time.monotonic_ns(),
            cpu_ns=self._most_cpu_ns,
            memory_bytes=memory,
            processes=processes,
            threads=threads,
            file_descriptors=self._descriptors,
            storage_taken_ns=self._slow_ns,
            read_bytes=read,
            write_bytes=written,
        )

    def _note_descriptors(self) -> None:
        known = [m.descriptors for m in self._members.values() if m.descriptors is not None]
        self._descriptors = sum(known) if known else None
        self._transfers = self.transfers()

    def _note_peaks(self) -> None:
        if not self._has_changed:
            return
        self._has_changed = False
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

    def outside_cpu_ns(self, told: frozenset[int]) -> int:
        """CPU time of members whose parent is no member, so that no member's account gets it.

        Args:
            told: Pids whose account somebody else told of.
        """
        living = {m.pid: m.cpu_ns for m in self._members.values() if not m.in_tree}
        accounts = (*self._outside_ns.items(), *living.items())
        return sum(cpu_ns for pid, cpu_ns in accounts if pid not in told)

    def transfers(self) -> tuple[int, int]:
        """Bytes fetched from and sent to storage by all that were ever seen."""
        known = [m.transfers for m in self._members.values() if m.transfers is not None]
        read, written = self._gone_transfers
        return read + sum(r for r, _ in known), written + sum(w for _, w in known)

    # --- ending ---------------------------------------------------------------

    def kill(self) -> bool:
        """End every member with SIGKILL, and whatever they start meanwhile.

        Returns:
            Whether there was one to end.
        """
        for before in range(_KILL_ROUNDS):
            living = [m for m in self._walk() if m.stat.state not in _DEAD]
            if not living:
                return before > 0
            for member in living:
                _kill(member)
            time.sleep(0.002)
        return True

    def close(self) -> None:
        """Forget the members and close their files."""
        for member in self._members.values():
            member.close(self._files)
        self._members.clear()


def _kill(member: Member) -> None:
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
