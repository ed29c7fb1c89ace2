"""The limits of a cgroup: writing them, and reading the one that applies."""

from __future__ import annotations

from otel_codomon._platform.cgroup_files import UNIFIED
from otel_codomon._platform.cgroup_folders import read_text, try_write, upwards

TYPE_CHECKING = False  # not from typing: see `otel_codomon._platform.cgroups`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_NO_LIMIT = 1 << 60  # version 1 says "no limit" as the largest multiple of a page
_QUOTA_PERIOD_US = 100_000  # the kernel's default
# Folder, file, what is written for a value. Of memory with swap and memory
# alone the kernel wants the smaller set first.
_LIMITS: dict[str, tuple[tuple[str, str, Callable[[float], str]], ...]] = {
    "memory_bytes": (
        ("memory", "memory.limit_in_bytes", str),
        ("memory", "memory.memsw.limit_in_bytes", str),
        (UNIFIED, "memory.max", str),
        (UNIFIED, "memory.swap.max", lambda _value: "0"),
    ),
    "processes": (("pids", "pids.max", str), (UNIFIED, "pids.max", str)),
    "cores": (
        ("cpu", "cpu.cfs_quota_us", lambda cores: str(int(cores * _QUOTA_PERIOD_US))),
        (UNIFIED, "cpu.max", lambda cores: f"{int(cores * _QUOTA_PERIOD_US)} {_QUOTA_PERIOD_US}"),
    ),
}
_MEMORY_LIMITS = (("memory", "memory.limit_in_bytes"), (UNIFIED, "memory.max"))
_CPU_LIMITS = (("cpu", "cpu.cfs_quota_us"), (UNIFIED, "cpu.max"))


def set_limit(folders: Mapping[str, str], name: str, value: float) -> bool:
    """Have the kernel hold the cgroup of *folders* to a limit; whether it does now."""
    holds = [
        folder in folders and try_write(f"{folders[folder]}/{file}", written(value))
        for folder, file, written in _LIMITS[name]
    ]
    return any(holds)


def memory_limit_bytes(folders: Mapping[str, str]) -> int | None:
    """The least memory limit of the cgroup of *folders* and of those above it; None without one."""
    found = _least(folders, _MEMORY_LIMITS, _limit_of)
    return None if found is None else int(found)


def cores_limit(folders: Mapping[str, str]) -> float | None:
    """The least CPU quota of the cgroup of *folders* and of those above it; None without one."""
    return _least(folders, _CPU_LIMITS, _quota_of)


def _least(
    folders: Mapping[str, str],
    rows: Iterable[tuple[str, str]],
    read: Callable[[str], float | None],
) -> float | None:
    """The smallest of a limit in *folders* and all folders above them."""
    found = [
        value
        for controller, file in rows
        if controller in folders
        for folder in upwards(folders[controller])
        if (value := read(f"{folder}/{file}")) is not None
    ]
    return min(found, default=None)


def _limit_of(path: str) -> int | None:
    try:
        text = read_text(path).strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None


def _quota_of(path: str) -> float | None:
    try:
        quota, *period = read_text(path).split()
        period_us = int(period[0] if period else read_text(path.replace("quota", "period")))
    except (OSError, ValueError):
        return None
    return int(quota) / period_us if quota.isdigit() and int(quota) > 0 else None
