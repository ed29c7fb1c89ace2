"""What one cgroup has used, read from when it was attached; and what several add up to."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.cgroup_files import CgroupTotals
from otel_codomon.resources.memory_peak import Peak, without_cache
from otel_codomon.resources.sample import Reading
from otel_codomon.resources.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from otel_codomon._platform.cgroups import Cgroup


class CgroupSource:
    """One cgroup, read from when it was attached.

    Attributes:
        cgroup: The cgroup.
        cache_bytes: Most page cache that was seen in it.
        peak_bytes: Most memory without page cache that a look saw.
        oom_kills: Processes of it that the kernel has killed for want of memory since.
    """

    __slots__ = (
        *("_base_cpu", "_base_kills", "_base_peak", "_is_over", "_last"),
        *("cache_bytes", "cgroup", "oom_kills", "peak_bytes"),
    )

    def __init__(self, cgroup: Cgroup) -> None:
        self.cgroup = cgroup
        totals = cgroup.totals()
        before = (totals.cpu_ns, totals.cpu_user_ns, totals.cpu_system_ns)
        # What ours has used the execution has, however late it was attached.
        self._base_cpu = (0, 0, 0) if cgroup.is_ours else before
        self._base_peak = totals.peak_memory_bytes
        self._base_kills = totals.oom_kills or 0
        self._last = totals
        self._is_over = False
        self.oom_kills = 0
        self.cache_bytes = 0
        self.peak_bytes: int | None = None

    def read(self) -> Reading | None:
        """Read what it uses now; None when it is gone."""
        # The CPU time is read first: a rate that is taken from it wants its time, and
        # not that of the memory and the rest.
        taken_ns = time.monotonic_ns()
        # Somebody else's may be gone at any time: then this is the last that is known.
        totals = self.cgroup.totals(live=True) if self.cgroup.is_ours else self._note()
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

    def note_exit(self, ended: Collection[int]) -> None:
        """Some of its processes have ended: keep the totals, which may be the last.

        Args:
            ended: Processes that have ended and may still be listed.
        """
        totals = self._note()
        if totals.cpu_ns is not None:
            self._is_over = not set(self.cgroup.pids()).difference(ended)

    def _note(self) -> CgroupTotals:
        totals = self.cgroup.totals()
        if totals.cpu_ns is not None:
            if totals.cpu_ns != self._last.cpu_ns:  # somebody has joined since the last end
                self._is_over = False
            self._last = _whole(totals, self._last)
            self.oom_kills = max(0, (self._last.oom_kills or 0) - self._base_kills)
        return totals

    def usage(self) -> Usage:
        """What it has used; where it is gone, what was read last, and whether that was all."""
        now = self._note()
        is_last = now.cpu_ns is None and not self.cgroup.is_ours
        if now.cpu_ns is None and self.cgroup.is_ours:
            return Usage()  # its maker removed it, and knows its totals
        totals = self._last
        peak = self._peak(totals)
        cpu, user, system = (
            _since(base, now)
            for base, now in zip(
                self._base_cpu,
                (totals.cpu_ns, totals.cpu_user_ns, totals.cpu_system_ns),
                strict=True,
            )
        )
        return Usage(
            source="cgroup",
            cpu_seconds=_seconds(cpu),
            cpu_user_seconds=_seconds(user),
            cpu_system_seconds=_seconds(system),
            cpu_throttled_seconds=_seconds(totals.throttled_ns),
            peak_memory_bytes=peak.bytes,
            peak_memory_upper_bytes=peak.upper_bytes,
            peak_cache_bytes=self.cache_bytes if totals.cache_bytes is not None else None,
            disk_read_bytes=totals.read_bytes,
            disk_write_bytes=totals.write_bytes,
            is_final=False if is_last and not self._is_over else None,
        )

    def _peak(self, totals: CgroupTotals) -> Peak:
        """The kernel's peak, if it was reached within the execution; else what looks saw."""
        self.cache_bytes = max(self.cache_bytes, totals.cache_bytes or 0)
        kernels = totals.peak_memory_bytes
        if kernels is None or (not self.cgroup.is_ours and kernels == self._base_peak):
            return Peak(self.peak_bytes)
        peak = without_cache(kernels, self.cache_bytes)
        return Peak(max(peak.bytes or 0, self.peak_bytes or 0), peak.upper_bytes)

    def is_within(self, other: CgroupSource) -> bool:
        """Whether what it uses is counted in *other*, too."""
        return any(
            folder != above and f"{folder}/".startswith(f"{above}/")
            for controller, folder in self.cgroup.folders.items()
            if (above := other.cgroup.folders.get(controller)) is not None
        )


def complete_by(
    sources: Sequence[CgroupSource], usage: Usage, peak_together_bytes: int | None
) -> Usage:
    """*usage* of trees, with what the kernel has counted of cgroups in its place.

    Args:
        sources: Those of which none is within another.
        usage: What the trees are known to have used.
        peak_together_bytes: Most memory that a look saw in all of them at one time.
    """
    found = [told for source in sources if (told := source.usage()).source is not None]
    if not found:  # removed before the end: the trees are all there is
        return usage
    whole = found[0] if len(found) == 1 else _added(found, peak_together_bytes)
    has_peak = whole.peak_memory_bytes is not None
    return replace(
        usage,
        source="cgroup",
        absent_reason=None,
        is_final=whole.is_final,
        cpu_seconds=whole.cpu_seconds,
        cpu_user_seconds=whole.cpu_user_seconds,
        cpu_system_seconds=whole.cpu_system_seconds,
        cpu_throttled_seconds=whole.cpu_throttled_seconds,
        peak_memory_bytes=whole.peak_memory_bytes if has_peak else usage.peak_memory_bytes,
        peak_memory_upper_bytes=(
            whole.peak_memory_upper_bytes if has_peak else usage.peak_memory_upper_bytes
        ),
        peak_cache_bytes=whole.peak_cache_bytes,
        disk_read_bytes=_most(usage.disk_read_bytes, whole.disk_read_bytes),
        disk_write_bytes=_most(usage.disk_write_bytes, whole.disk_write_bytes),
    )


def _added(found: Sequence[Usage], peak_together_bytes: int | None) -> Usage:
    """What several cgroups have used together; what one of them does not tell is not known."""
    sums = {field: _sum([getattr(one, field) for one in found]) for field in _SUMMED}
    peaks = [one.peak_memory_bytes for one in found]
    highest = [one.peak_memory_upper_bytes or one.peak_memory_bytes for one in found]
    known = [n for n in (peak_together_bytes, *peaks) if n is not None]
    return Usage(
        source="cgroup",
        # They need not have reached their peaks at one time: at least, and at most.
        peak_memory_bytes=max(known, default=None) if None not in peaks else None,
        peak_memory_upper_bytes=_sum(highest),  # type: ignore[arg-type] # of whole numbers
        is_final=False if any(one.is_final is False for one in found) else None,
        **sums,  # type: ignore[arg-type] # as the fields are
    )


_SUMMED: Final = (
    *("cpu_seconds", "cpu_user_seconds", "cpu_system_seconds", "cpu_throttled_seconds"),
    *("peak_cache_bytes", "disk_read_bytes", "disk_write_bytes"),
)


def _whole(now: CgroupTotals, before: CgroupTotals) -> CgroupTotals:
    """*now*, and of *before* what is not told any more: controllers are removed one by one."""
    told = (
        {field: getattr(totals, field) for field in CgroupTotals.FIELDS} for totals in (before, now)
    )
    return CgroupTotals(
        {field: value for one in told for field, value in one.items() if value is not None}
    )


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _since(base: int | None, now: int | None) -> int | None:
    return None if now is None else max(0, now - (base or 0))


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9


def _most(one: int | None, other: int | None) -> int | None:
    return max((n for n in (one, other) if n is not None), default=None)
