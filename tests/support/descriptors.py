"""What this process has open."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def open_files(below: str) -> dict[int, str]:
    """Descriptors of this process that are *below* or under it, with their paths.

    How many there are of all kinds is also the affair of others: of threads
    that linger, and of what is collected late.
    """
    found = {}
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own, or another thread's, is closed by now
            found[int(descriptor.name)] = str(descriptor.readlink())
    return {
        number: path
        for number, path in found.items()
        if path == below or path.startswith(f"{below}/")
    }
