"""The memory peak of a tree of processes, or the bracket it must be in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peak:
    """A memory peak.

    Attributes:
        bytes: At least so much was in use at one instant; None if nothing is known.
        upper_bytes: At most so much; None where `bytes` is exact, or nothing is known.
    """

    bytes: int | None = None
    upper_bytes: int | None = None


def without_cache(peak_bytes: int | None, cache_bytes: int | None) -> Peak:
    """The peak of a cgroup's own memory, from the kernel's peak, which counts page cache.

    Args:
        peak_bytes: Most that was charged to the cgroup.
        cache_bytes: Most page cache seen in it. How much of it there was at the
            peak nobody knows: between none and this much.
    """
    if peak_bytes is None:
        return Peak()
    lower = max(0, peak_bytes - (cache_bytes or 0))
    return Peak(lower, None if lower == peak_bytes else peak_bytes)


def is_own_peak(maxrss_bytes: int, spawner_peak_bytes: int) -> bool:
    """Whether ``ru_maxrss`` of a child is its own peak.

    A child's mark begins at the size of the process that spawned it, with
    ``vfork`` and ``posix_spawn`` too, and exec does not lower it. Above that
    it has risen by itself.
    """
    return maxrss_bytes > spawner_peak_bytes
