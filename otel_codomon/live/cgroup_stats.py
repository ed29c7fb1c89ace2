"""What the cgroups of running executions use, seen from another process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_codomon._platform import cgroups
from otel_codomon.live.tree_stats import CORES, TreeStats
from otel_codomon.resources.cgroup_source import CgroupSource
from otel_codomon.resources.sample import cores_between

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_codomon.resources.sample import Reading


class CgroupSampler:
    """Looks at the cgroups that were made for executions, and remembers the look before."""

    def __init__(self) -> None:
        self._sources: dict[str, CgroupSource] = {}
        self._before: dict[str, Reading] = {}

    def sample(self, observers: Mapping[str, int]) -> dict[str, TreeStats]:
        """What is in the cgroups of executions; one without such a cgroup is left out.

        Args:
            observers: Id of each execution, and the process that observes it.
        """
        for execution_id in self._sources.keys() - observers.keys():
            self._sources.pop(execution_id).cgroup.close()
            self._before.pop(execution_id, None)
        found = {key: self._sample_one(key, pid) for key, pid in observers.items()}
        return {key: stats for key, stats in found.items() if stats is not None}

    def close(self) -> None:
        """Close the files that are kept open."""
        self.sample({})

    def _sample_one(self, execution_id: str, pid: int) -> TreeStats | None:
        source = self._sources.get(execution_id)
        if source is None:
            cgroup = cgroups.made_for(execution_id, pid=pid)
            if cgroup is None:
                return None
            source = self._sources[execution_id] = CgroupSource(cgroup)
        reading, members = source.read(), source.cgroup.pids()
        if reading is None or not members:  # it has not begun, or has ended
            return TreeStats(cores=None, memory_bytes=None, process_count=None)
        before, self._before[execution_id] = self._before.get(execution_id), reading
        return TreeStats(
            cores=None if before is None else cores_between(before, reading, cores=CORES),
            memory_bytes=reading.memory_bytes,
            process_count=len(members),
        )
