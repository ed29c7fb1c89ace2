"""What bounds a fork bomb that goes off between two samples.

The kernel counts threads, the limit is on processes: these bounds hold only
what no command with so many processes needs.

Imports next to nothing: `otel-codomon run` needs it before it starts its command.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.sandbox.rlimits import RlimitRow

_TASKS_A_PROCESS = 64
_SPARE_TASKS = 512
_RLIMIT_NPROC = 6  # of Linux, for which alone it is meant
_THREADS_FIELD = 17  # of /proc/<pid>/stat, counted from the state


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
    return sum(_threads(entry) for entry in os.scandir("/proc") if entry.name.isdigit())


def _threads(process: os.DirEntry[str]) -> int:
    """Threads of a process of this user; 0 of another's."""
    try:
        if process.stat().st_uid != os.geteuid():
            return 0
        with open(f"{process.path}/stat", "rb") as file:  # noqa: PTH123 - pathlib costs 5 ms
            return int(file.read().rpartition(b")")[2].split()[_THREADS_FIELD])
    except OSError:  # it has ended
        return 0
