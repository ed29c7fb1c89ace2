"""Find and end what a killed supervisor has left, where no cgroup holds it.

Its orphans are init's then, whatever session, group and environment they have
made for themselves. What they cannot get rid of is a hard resource limit: it is
inherited, and only root raises one. So each command gets a number of its own as
its limit on the resident set, which the kernel has not enforced since 2.4.30
(getrlimit(2)), and which everybody can read in ``/proc/<pid>/limits``. A
process that lowers it anew is not found.
"""

from __future__ import annotations

import os
import resource
import secrets
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_codomon.sandbox.tree import read_file, send_all, still_running

if TYPE_CHECKING:
    from collections.abc import Iterator

# As good as no limit: 4 EiB and more.
_LEAST_MARK: Final = 1 << 62
_LINE: Final = b"Max resident set "


def new_mark() -> int | None:
    """A number that no other command has; None where this process already bears one."""
    _, hard = resource.getrlimit(resource.RLIMIT_RSS)
    return _LEAST_MARK + secrets.randbits(61) if hard == resource.RLIM_INFINITY else None


def end_marked(mark: int, seconds: float) -> tuple[int, int]:
    """End all processes that bear *mark*.

    They are stopped until no more are found, so that none is missed because
    another forks it in this instant.

    Returns:
        How many were found, and how many of them are still alive after *seconds*.
    """
    until = time.monotonic() + seconds
    found: set[int] = set()
    while living := still_running(_marked(mark)):
        if time.monotonic() >= until:
            return len(found), len(living)
        is_new = not found.issuperset(living)
        found.update(living)
        send_all(living, signal.SIGSTOP if is_new else signal.SIGKILL)
        time.sleep(0.002)
    return len(found), 0


def _marked(mark: int) -> Iterator[int]:
    number = b"%d" % mark
    for pid in _own_pids():
        for line in read_file(f"/proc/{pid}/limits").splitlines():
            if line.startswith(_LINE) and number in line.split():
                yield pid


def _own_pids() -> Iterator[int]:
    """Processes that this user may end."""
    user = os.geteuid()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (user == 0 or _owner(entry.path) == user):
            yield int(entry.name)


def _owner(path: str) -> int | None:
    try:
        return Path(path).stat().st_uid
    except OSError:  # it has ended
        return None
