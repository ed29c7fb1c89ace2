"""``/proc/vmstat``: what the kernel counts of memory and psutil does not report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# pswpin and pswpout, not pgpgin and pgpgout, which are ordinary reads and writes.
_WANTED: Final = (
    *("pgfault", "pgmajfault", "pswpin", "pswpout"),
    *("nr_slab_reclaimable", "nr_slab_unreclaimable", "oom_kill"),
)
_LINES: Final = re.compile(
    rf"^({'|'.join(_WANTED)}) (\d{{1,20}})$".encode(),  # 2**64 has 20 digits
    re.MULTILINE | re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vmstat:
    """Page faults, swapping and the kernel's own memory; None for what the file lacks.

    Attributes:
        major_faults: Page faults that had to wait for storage, since the host started.
        minor_faults: Those that had not.
        swapped_in_pages: Pages fetched back from swap, since the host started.
        swapped_out_pages: Pages put there.
        slab_reclaimable_bytes: The kernel's own structures that it can drop.
        slab_unreclaimable_bytes: Those that it cannot.
        oom_kills: Processes that the kernel killed for want of memory since the host
            started, at the limit of a cgroup too.
    """

    major_faults: int | None = None
    minor_faults: int | None = None
    swapped_in_pages: int | None = None
    swapped_out_pages: int | None = None
    slab_reclaimable_bytes: int | None = None
    slab_unreclaimable_bytes: int | None = None
    oom_kills: int | None = None


def parse_vmstat(text: bytes, *, page_bytes: int) -> Vmstat | None:
    """Read the text of the file; None where there is none.

    Its count of faults includes the major ones, and slabs are counted in pages.
    """
    if not text:
        return None
    found = {key.decode(): int(value) for key, value in _LINES.findall(text)}
    faults, major = found.get("pgfault"), found.get("pgmajfault")

    def slab(key: str) -> int | None:
        return found[key] * page_bytes if key in found else None

    return Vmstat(
        major_faults=major,
        minor_faults=None if faults is None or major is None else max(0, faults - major),
        swapped_in_pages=found.get("pswpin"),
        swapped_out_pages=found.get("pswpout"),
        slab_reclaimable_bytes=slab("nr_slab_reclaimable"),
        slab_unreclaimable_bytes=slab("nr_slab_unreclaimable"),
        oom_kills=found.get("oom_kill"),
    )
