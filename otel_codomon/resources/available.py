"""What this process and its children may use: the container's, else the machine's."""

from __future__ import annotations

import os

import psutil

from otel_codomon._platform import cgroups


def available_memory_bytes() -> int | None:
    """Memory that all executions share: the limit of the cgroup we are in, or the machine's."""
    machine: int = psutil.virtual_memory().total
    own = cgroups.own()
    limit = None if own is None else own.memory_limit_bytes()
    return machine if limit is None else min(limit, machine)


def available_cores() -> float | None:
    """Cores that all executions share: by quota, by affinity, or all of the machine's."""
    own = cgroups.own()
    quota = None if own is None else own.cores_limit()
    count = os.cpu_count()
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    known = [float(n) for n in (quota, count) if n]
    return min(known, default=None)
