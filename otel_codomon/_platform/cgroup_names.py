"""Names of the cgroups that we make: who made one, when, and for which execution.

``codomon-<pid namespace>-<pid>-<start, ticks>-<made, ns>[-<execution id>]``: no
other process, later or in another container, makes the same name, and it says
whether the process that made it is alive. The id goes last: a caller's own may
have dashes in it.
"""

from __future__ import annotations

import os
import time

from otel_codomon._platform.proc_stat import read_stat

_PREFIX = "codomon"
# Of an execution's id: ours has 32 characters; a caller's own may be longer than a name can be.
_MOST_ID_CHARACTERS = 64


def new_name(execution_id: str) -> str:
    """A name that no cgroup has had.

    Args:
        execution_id: Whose it is; empty for nobody's. What no name should have
            in it is ``_`` there, and a long id is cut.
    """
    pid = os.getpid()
    made = f"{own_prefix()}{pid}-{start_ticks(pid)}-{time.monotonic_ns()}"
    return f"{made}-{_in_names(execution_id)}" if execution_id else made


def _in_names(execution_id: str) -> str:
    """An execution's id as the names of cgroups have it."""
    return "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "_"
        for letter in execution_id[:_MOST_ID_CHARACTERS]
    )


def own_prefix() -> str:
    """What the names of all cgroups that this container's processes make begin with."""
    return f"{_PREFIX}-{os.stat('/proc/self/ns/pid').st_ino}-"


def is_of(name: str, execution_id: str, *, pid: int) -> bool:
    """Whether process *pid* made the cgroup called *name* for the execution."""
    own, _, owner, _, _, told = (*name.split("-", 5), "", "", "", "", "")[:6]
    return (own, owner) == (_PREFIX, str(pid)) and told == _in_names(execution_id)


def is_owner_alive(name: str) -> bool:
    """Whether the process that made the cgroup called *name* runs; False if the name is not ours.

    Only for names of this container: see `own_prefix`.
    """
    _, _, pid, ticks = (*name.split("-"), "", "", "", "")[:4]
    return pid.isdecimal() and str(start_ticks(int(pid))) == ticks


def start_ticks(pid: int) -> int | None:
    """When process *pid* started, clock ticks since boot; None if there is none.

    With the pid it identifies a process: pids are used again.
    """
    stat = read_stat(pid)
    return None if stat is None else stat.start_ticks
