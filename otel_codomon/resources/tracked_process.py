"""One process of a tree, read again and again."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.proc_stat import ProcessStat
from otel_codomon._platform.procfs import (
    descriptors_of,
    peak_of,
    read_once,
    threads_of,
    transfers_of,
)

if TYPE_CHECKING:
    from otel_codomon._platform.procfs import OpenFiles

_THREADS_A_LOOK: Final = 64
_PARTS: Final = 16
"""Of one process the children of 64 threads are read in one look, or of a
sixteenth where that is more: to list 10,000 threads takes longer than to read
of 625. The rest have their turn in the next looks."""


@cache
def _counts_runs() -> bool:
    """Whether this kernel counts how often each thread ran (``CONFIG_SCHED_INFO``)."""
    return read_once("/proc/self/schedstat") not in {None, b"0 0 0\n"}


class TrackedProcess:
    """One process of a tree, and what was last seen of it.

    Most processes of most trees sleep. What ``schedstat`` tells of a thread
    changes whenever it is let on a processor, and is told for a fifth of what
    ``stat`` takes. So of a process with one thread the rest is read only if it
    has run: nothing else can have changed that it does itself.

    Attributes:
        pid: Its number.
        name: Its command name, cut to 15 bytes by the kernel.
        stat: The last that could be read.
        base_ns: CPU time it and its reaped children had used before the
            execution: not the execution's.
        peak_at_faults: Its page faults when the mark was read: without another
            one it cannot have risen.
        peak_bytes: Its high water mark; None if none could be read.
        cpu_ns: CPU time of its own and of what it reaped, within the execution.
        has_rested: Whether it is certain that it did not run since the look before.
        is_idle: Whether nothing in ``stat`` had changed at the last look.
        in_tree: Whether its parent, when last seen, was a member too: then the
            parent's account has its CPU time once it is reaped.
        children_text: The pids of its children that are members already.
        descriptors: Its open descriptors, when they were last counted.
        transfers: Bytes it has fetched and sent, when they were last read.
    """

    __slots__ = (
        "_children_file",
        "_has_slow_facts",
        "_next_thread",
        "_runs",
        "_runs_file",
        "_stat_file",
        "_stat_text",
        "base_ns",
        "children_text",
        "cpu_ns",
        "descriptors",
        "has_rested",
        "in_tree",
        "is_idle",
        "name",
        "peak_at_faults",
        "peak_bytes",
        "pid",
        "stat",
        "transfers",
    )

    def __init__(
        self, pid: int, stat: ProcessStat, files: OpenFiles, *, base_ns: int, in_tree: bool
    ) -> None:
        self.pid = pid
        self.stat = stat
        self.cpu_ns = max(0, stat.cpu_ns + stat.reaped_cpu_ns - base_ns)
        self.base_ns = base_ns
        self.in_tree = in_tree
        self.has_rested = self.is_idle = False
        self.peak_at_faults = -1
        self.peak_bytes: int | None = None
        self.descriptors: int | None = None
        self.transfers: tuple[int, int] | None = None
        self.children_text: bytes | None = b""
        self.name = b""
        self._has_slow_facts = False
        self._next_thread = 0
        self._runs: bytes | None = None
        self._stat_text: bytes | None = None
        self._runs_file = files.file(f"/proc/{pid}/schedstat") if _counts_runs() else None
        self._stat_file = files.file(f"/proc/{pid}/stat")
        self._children_file = files.file(f"/proc/{pid}/task/{pid}/children")

    def refresh(self, *, in_full: bool) -> bool:
        """Read it again; whether it is still there.

        Args:
            in_full: Also what others change while it rests: its parent, and
                pages that the kernel takes from it.
        """
        self.has_rested = self._rests()
        if self.has_rested and not in_full:
            self.is_idle = True
            return True
        text = self._stat_file.read()
        if not text:
            return False
        if not self.has_rested:
            self._has_slow_facts = False
        if text == self._stat_text:  # nothing to parse
            self.is_idle = True
            return True
        self.is_idle = False
        self._stat_text = text
        self.name = text[text.index(b"(") + 1 : text.rindex(b")")]
        stat = ProcessStat(text)
        if stat.start_ticks != self.stat.start_ticks:  # the number went to another
            return False
        self.stat = stat
        self.cpu_ns = max(0, stat.cpu_ns + stat.reaped_cpu_ns - self.base_ns)
        return True

    def _rests(self) -> bool:
        """Whether it is certain that it has not run since it was asked before.

        Asked before ``stat`` is read: what it does in between is seen next time.
        """
        if self._runs_file is None or self.stat.threads != 1:
            self._runs = None
            return False
        before, self._runs = self._runs, self._runs_file.read()
        return self._runs is not None and self._runs == before

    def note_peak(self) -> None:
        """Read the high water mark."""
        self.peak_at_faults = self.stat.faults
        peak = peak_of(self.pid)
        if peak is not None:
            self.peak_bytes = max(peak, self.peak_bytes or 0)

    def note_slow_facts(self) -> None:
        """Count descriptors and read transfers, unless it has rested since."""
        if self._has_slow_facts:
            return
        self._has_slow_facts = True
        self.descriptors = descriptors_of(self.pid)
        self.transfers = transfers_of(self.pid) or self.transfers

    def children(self) -> list[bytes]:
        """Pids of the children of its threads; empty if they are those of the last look."""
        if self.stat.threads <= 1:
            text = self._children_file.read()
            if text is None or text == self.children_text:
                return []
            self.children_text = text
            return text.split()
        found: list[bytes] = []
        for thread in self._some_threads():
            text = read_once(f"/proc/{self.pid}/task/{thread}/children")
            found += text.split() if text else []
        return found

    def _some_threads(self) -> list[str]:
        threads = threads_of(self.pid)
        count = max(_THREADS_A_LOOK, -(-len(threads) // _PARTS))
        if len(threads) <= count:
            return threads
        begin = self._next_thread % len(threads)
        self._next_thread = begin + count
        return (threads + threads)[begin : self._next_thread]

    def close(self) -> None:
        """Close what is kept open."""
        for file in (self._runs_file, self._stat_file, self._children_file):
            if file is not None:
                file.close()
