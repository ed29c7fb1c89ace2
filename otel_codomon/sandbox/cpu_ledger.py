"""CPU time of children that nobody waits for: what the kernel has in no account.

Where a process ignores SIGCHLD, or asked for no zombies, its children vanish
with what they used. Of them is known what a sample saw. What they used between
their last sample and their end is estimated, as a profiler does: whatever runs
at the instant of a sample stands for the time between two.
"""

from __future__ import annotations

import os

from otel_codomon.sandbox.tree import read_file

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_codomon._platform.proc_stat import ProcessStat

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
# The kernel reports the CPU time of reaped children in whole clock ticks, user and system apart.
_TOLERANCE_SECONDS = 2.5 / _TICKS_A_SECOND


class _Member:
    """One process of the tree, and the account of its children that vanished."""

    __slots__ = (
        "_estimated",
        "_expected",
        "_first_reaped",
        "_pending",
        "samples",
        "share",
        "stat",
        "used",
    )

    def __init__(self, stat: ProcessStat) -> None:
        self.stat = stat
        self.samples = 1
        self.share = self.used = 0.0
        self._first_reaped = stat.reaped_ticks
        self._expected = self._estimated = 0.0
        self._pending: list[tuple[float, float]] = []

    def refresh(self, stat: ProcessStat) -> None:
        """Take a later sample, and enter the children that vanished before it.

        Not at once: a child may be waited for between the instants at which the
        two are read.
        """
        self.stat = stat
        self.samples += 1
        for expected, estimated in self._pending:
            self._expected += expected
            self._estimated += estimated
        self._pending.clear()

    def lose(self, child: _Member, seconds: float) -> None:
        """A child that was there *seconds* ago has vanished."""
        used = max(child.used, (child.stat.own_ticks + child.stat.reaped_ticks) / _TICKS_A_SECOND)
        unseen = child.share * seconds
        estimated = max(used, unseen) if child.samples == 1 else used + unseen / 2
        self._pending.append((used, estimated))

    @property
    def has_unwaited(self) -> bool:
        """Whether it does not wait for children that it has, or had."""
        has_children = bool(self._pending or self._estimated or self._expected)
        return self._missing > _TOLERANCE_SECONDS or (self.stat.ignores_children and has_children)

    @property
    def unwaited_seconds(self) -> float:
        """CPU time of its children that it did not wait for, seconds; an estimate."""
        return max(0.0, self._estimated - self._waited) if self.has_unwaited else 0.0

    @property
    def _waited(self) -> float:
        return (self.stat.reaped_ticks - self._first_reaped) / _TICKS_A_SECOND

    @property
    def _missing(self) -> float:
        return self._expected - self._waited


class CpuLedger:
    """Follows a tree from sample to sample.

    Attributes:
        has_unwaited: Whether a process was seen that does not wait for its
            children: the totals that the kernel tells leave them out.
    """

    def __init__(self) -> None:
        self.has_unwaited = False
        self._members: dict[int, _Member] = {}
        self._of_the_gone = 0.0

    def add(self, stats: Iterable[ProcessStat], seconds: float) -> float:
        """Take a sample, *seconds* after the one before.

        Returns:
            CPU time of processes that vanished without being waited for, so
            far, seconds.
        """
        now = {stat.pid: stat for stat in stats}
        gone = [member for pid, member in self._members.items() if not _is_in(member, now)]
        for member in gone:
            del self._members[member.stat.pid]
        for pid, stat in now.items():
            if pid in self._members:
                self._members[pid].refresh(stat)
        for member in gone:
            self._of_the_gone += member.unwaited_seconds
            parent = self._members.get(member.stat.parent)
            # Without a parent it was an orphan, which is waited for here.
            if parent is not None:
                parent.lose(member, seconds)
        self._add_new(now)
        return self._of_the_gone + sum(m.unwaited_seconds for m in self._members.values())

    def _add_new(self, now: dict[int, ProcessStat]) -> None:
        for pid, stat in now.items():
            if pid not in self._members:
                self._members[pid] = _Member(stat)
            member, parent = self._members[pid], self._members.get(stat.parent)
            if stat.state == b"R":
                member.used, member.share = _running(pid)
            else:
                member.share = 0.0
            if parent is not None and (parent.stat.ignores_children or parent.has_unwaited):
                self.has_unwaited = True


def _is_in(member: _Member, now: dict[int, ProcessStat]) -> bool:
    stat = now.get(member.stat.pid)
    return stat is not None and stat.start_ticks == member.stat.start_ticks


def _running(pid: int) -> tuple[float, float]:
    """CPU time of a process, seconds, and its part of the time in which it wanted a core.

    From ``schedstat``: nanoseconds on a core, and waiting for one.
    """
    words = read_file(f"/proc/{pid}/schedstat").split()
    running, waiting = map(int, words[:2]) if words else (0, 0)
    return running / 1e9, running / (running + waiting) if running + waiting else 1.0
