"""What the processes of running executions use, seen from another process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

from otel_codomon.resources.process_tree import ProcessTree, is_available
from otel_codomon.resources.sample import cores_between

if TYPE_CHECKING:
    from otel_codomon.resources.sample import Reading

CORES: Final = os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStats:
    """One process of an execution.

    Attributes:
        pid: Its process id.
        name: Its name, which it may have chosen itself.
        cpu_seconds: CPU time so far, seconds.
        memory_bytes: Resident memory, bytes.
    """

    pid: int
    name: str
    cpu_seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeStats:
    """A process and its living descendants.

    Attributes:
        cores: Cores in use since the look before; None at the first look.
        memory_bytes: Sum of their resident memory, bytes; None if it cannot be read.
        process_count: How many live; None as above.
        processes: Each of them, where that was asked for.
    """

    cores: float | None
    memory_bytes: int | None
    process_count: int | None
    processes: tuple[ProcessStats, ...] = ()


class TreeSampler:
    """Looks at the trees below some processes, and remembers the look before for the cores.

    Args:
        with_processes: Whether to list each process.
    """

    def __init__(self, *, with_processes: bool = False) -> None:
        self._with_processes = with_processes
        self._trees: dict[int, ProcessTree] = {}
        self._before: dict[int, Reading] = {}

    def sample(self, roots: set[int]) -> dict[int, TreeStats]:
        """The trees of *roots* that live and can be read."""
        if not is_available():
            return {}
        for pid in self._trees.keys() - roots:
            self._trees.pop(pid).close()
            self._before.pop(pid, None)
        found = {pid: self._sample_one(pid) for pid in roots}
        return {pid: stats for pid, stats in found.items() if stats is not None}

    def close(self) -> None:
        """Close the files that are kept open."""
        self.sample(set())

    def _sample_one(self, pid: int) -> TreeStats | None:
        tree = self._trees.get(pid)
        if tree is None:
            tree = self._trees[pid] = ProcessTree()
            if not tree.add(pid):
                return None
        reading = tree.read()
        if reading is None:
            return None
        before, self._before[pid] = self._before.get(pid), reading
        return TreeStats(
            cores=None if before is None else cores_between(before, reading, cores=CORES),
            memory_bytes=reading.memory_bytes,
            process_count=reading.processes,
            processes=tuple(_processes(pid)) if self._with_processes else (),
        )


def _processes(pid: int) -> list[ProcessStats]:
    """Each process of the tree; those that end meanwhile are left out."""
    try:
        root = psutil.Process(pid)
        members = [root, *root.children(recursive=True)]
    except psutil.Error:  # it has ended
        return []
    found = [_process(member) for member in members]
    return [process for process in found if process is not None]


def _process(member: psutil.Process) -> ProcessStats | None:
    try:
        with member.oneshot():
            times = member.cpu_times()
            return ProcessStats(
                pid=member.pid,
                name=member.name(),
                cpu_seconds=times.user + times.system,
                memory_bytes=member.memory_info().rss,
            )
    except psutil.Error:  # as above
        return None
