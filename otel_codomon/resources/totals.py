"""From what the sources know at the end to the totals of an execution."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_codomon.resources.memory_peak import Peak, is_own_peak
from otel_codomon.resources.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildTotals:
    """What a child, and everything it waited for, used from its start to its end.

    Attributes:
        pid: The child; None when not told.
        user_seconds: CPU time in user mode, seconds.
        system_seconds: CPU time in the kernel, seconds.
        maxrss_bytes: Largest resident set of a single process of them, bytes,
            and at least that of the process that spawned the child.
        read_bytes: Bytes fetched from storage.
        write_bytes: Bytes sent to storage.
        voluntary_switches: Times they waited.
        involuntary_switches: Times they were preempted.
        major_faults: Page faults that needed storage.
        minor_faults: Page faults that needed none.
        spawner_peak_bytes: High water mark of the process that spawned it; None
            where nobody knows, and `maxrss_bytes` may then be that process's.
        has_unwaited: Whether some of its children vanished without being waited
            for: the CPU time leaves them out then.
        is_whole: Whether these are the totals of the whole execution: whatever
            else this process waits for in the meantime is none of it.
    """

    pid: int | None = None
    user_seconds: float
    system_seconds: float
    maxrss_bytes: int
    read_bytes: int
    write_bytes: int
    voluntary_switches: int
    involuntary_switches: int
    major_faults: int
    minor_faults: int
    spawner_peak_bytes: int | None = None
    has_unwaited: bool = False
    is_whole: bool = False

    @property
    def cpu_seconds(self) -> float:
        """CPU time, seconds."""
        return self.user_seconds + self.system_seconds

    @property
    def cpu_ns(self) -> int:
        """CPU time, nanoseconds."""
        return round(self.cpu_seconds * 1e9)

    @property
    def own_peak_bytes(self) -> int | None:
        """`maxrss_bytes` where it is their own."""
        spawner = self.spawner_peak_bytes
        is_own = spawner is not None and is_own_peak(self.maxrss_bytes, spawner)
        return self.maxrss_bytes if is_own else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeTotals:
    """What a tree of processes is known to have used.

    Attributes:
        told: What was told of those that were waited for.
        rest_cpu_ns: CPU time, by looks, of those that nobody told of.
        is_complete: Whether everybody whose parent is not in the tree was told of.
        peak_sum_bytes: Largest sum of resident sets at one look; None without a look.
        largest_peak_bytes: Largest high water mark of a process seen; None without one.
        peaks_together_bytes: Largest sum of the high water marks of processes
            that were there between two looks.
        read_bytes: Bytes fetched from storage, by looks; None when not to be seen.
        write_bytes: Bytes sent to storage, by looks.
        processes: Processes that were seen.
    """

    told: Sequence[ChildTotals] = field(default=())
    rest_cpu_ns: int = 0
    is_complete: bool = True
    peak_sum_bytes: int | None = None
    largest_peak_bytes: int | None = None
    peaks_together_bytes: int = 0
    read_bytes: int | None = None
    write_bytes: int | None = None
    processes: int = 0


UNWAITED: Final = "some of its processes ended without being waited for, so nothing counted them"
"""Why CPU time is absent where `ChildTotals.has_unwaited`."""


def usage_of_tree(tree: TreeTotals) -> Usage:
    """The totals of an execution that was a tree of processes."""
    told = tree.told
    peak = peak_of_tree(tree)
    has_unwaited = any(child.has_unwaited for child in told)
    exact: dict[str, float] = {}
    if told and tree.is_complete and not tree.rest_cpu_ns and not has_unwaited:
        exact = {
            "cpu_user_seconds": sum(child.user_seconds for child in told),
            "cpu_system_seconds": sum(child.system_seconds for child in told),
            "voluntary_context_switches": sum(child.voluntary_switches for child in told),
            "involuntary_context_switches": sum(child.involuntary_switches for child in told),
            "major_page_faults": sum(child.major_faults for child in told),
            "minor_page_faults": sum(child.minor_faults for child in told),
        }
    return Usage(
        source="process_tree",
        # Looks count whole clock ticks: nothing seen is not known to be nothing.
        cpu_seconds=(sum(child.cpu_seconds for child in told) + tree.rest_cpu_ns / 1e9)
        if (told or tree.rest_cpu_ns) and not has_unwaited
        else None,
        peak_memory_bytes=peak.bytes,
        peak_memory_upper_bytes=peak.upper_bytes,
        disk_read_bytes=_most(tree.read_bytes, [child.read_bytes for child in told]),
        disk_write_bytes=_most(tree.write_bytes, [child.write_bytes for child in told]),
        processes=tree.processes or None,
        absent_reason=UNWAITED if has_unwaited else None,
        **exact,  # type: ignore[arg-type] # counts are integers
    )


def usage_of_child(child: ChildTotals) -> Usage:
    """The same of one process that was never sampled: it ended too soon."""
    return Usage(
        source="process_tree",
        cpu_seconds=child.user_seconds + child.system_seconds,
        cpu_user_seconds=child.user_seconds,
        cpu_system_seconds=child.system_seconds,
        peak_memory_bytes=child.own_peak_bytes,
        disk_read_bytes=child.read_bytes,
        disk_write_bytes=child.write_bytes,
        voluntary_context_switches=child.voluntary_switches,
        involuntary_context_switches=child.involuntary_switches,
        major_page_faults=child.major_faults,
        minor_page_faults=child.minor_faults,
    )


def peak_of_tree(tree: TreeTotals) -> Peak:
    """The bracket around the peak: looks, high water marks, and what ``wait4`` said.

    What ``wait4`` says is the largest single process: it stands for the
    largest that was seen, whose mark may have risen after the last look.
    """
    largest = tree.largest_peak_bytes or 0
    own = max((child.own_peak_bytes or 0 for child in tree.told), default=0)
    unsure = max((c.maxrss_bytes for c in tree.told if c.own_peak_bytes is None), default=0)
    lower = max(tree.peak_sum_bytes or 0, largest, own)
    if not lower:
        return Peak()
    upper = tree.peaks_together_bytes + max(own, unsure if largest else 0, largest) - largest
    return Peak(lower, upper if upper > lower else None)


def _most(by_samples: int | None, told: Sequence[int]) -> int | None:
    """Both miss some: looks what came after the last, ``wait4`` who was not waited for."""
    known = [*([] if by_samples is None else [by_samples]), *([sum(told)] if told else [])]
    return max(known, default=None)
