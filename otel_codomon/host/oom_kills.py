"""How many processes the kernel has killed for want of memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from otel_codomon.host.vmstat import parse_vmstat


class OomKills(NamedTuple):
    """What the kernel killed for want of memory.

    Attributes:
        processes: How many, since the host started.
        uptime_seconds: How long ago that was, seconds.
    """

    processes: int
    uptime_seconds: float


def read_oom_kills(path: str = "/proc/vmstat") -> OomKills | None:
    """Read the kernel's count; None where there is no such file or count."""
    try:
        found = parse_vmstat(Path(path).read_bytes(), page_bytes=0)
    except OSError:
        return None
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None or found is None or found.oom_kills is None:
        return None
    return OomKills(found.oom_kills, time.clock_gettime(clock))
