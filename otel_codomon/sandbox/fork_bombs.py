"""What bounds a fork bomb that goes off between two samples.

The kernel counts threads, the limit is on processes: these bounds hold only
what no command with so many processes needs.

Imports next to nothing: `otel-codomon run` needs it before it starts its command.
"""

from __future__ import annotations

import os

from otel_codomon._platform.proc_stat import read_stat

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.sandbox.rlimits import RlimitRow

_TASKS_A_PROCESS = 64
_SPARE_TASKS = 512
_RLIMIT_NPROC = 6  # of Linux, for which alone it is meant


def most_tasks(processes: int) -> int:
    """Threads that a tree with *processes* at most may have."""
    return processes * _TASKS_A_PROCESS + _SPARE_TASKS


def bound_of_user(processes: int | None) -> Iterator[RlimitRow]:
    """Yield ``RLIMIT`` number, soft and hard value of what bounds a bomb where no cgroup does.

    The kernel holds a process to it by the threads of the whole user, so the
    user's others count on top. It does not hold root.

    Args:
        processes: The limit on processes; None for none.
    """
    if processes is not None and os.geteuid() != 0:
        most = _tasks_of_user() + most_tasks(processes)
        yield _RLIMIT_NPROC, most, most


def _tasks_of_user() -> int:
    """Threads of this user's processes."""
    return sum(_threads(entry) for entry in os.scandir("/proc") if entry.name.isdigit())


def _threads(process: os.DirEntry[str]) -> int:
    """Threads of a process of this user; 0 of another's."""
    try:
        is_ours = process.stat().st_uid == os.geteuid()
    except OSError:  # it has ended
        return 0
    stat = read_stat(int(process.name)) if is_ours else None
    return 0 if stat is None else stat.threads
