"""A cgroup for one command, where this machine lets us make one.

The kernel then accounts its tree exactly, holds the memory limit on all of it,
and counts whom it killed for that: the only proof of "out of memory" there is.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from otel_codomon.sandbox.fork_bombs import most_tasks
from otel_codomon.sandbox.host import has_supervisor
from otel_codomon.sources import cgroups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.sandbox.command import Command
    from otel_codomon.sandbox.ending import Ending
    from otel_codomon.values.limits import Limits


class OwnCgroup:
    """The cgroup of one command; or none, and then every method changes nothing.

    Attributes:
        cgroup: The cgroup; None where none can be made.
        held: Fields of `Limits` that the kernel holds on the whole tree.
    """

    def __init__(self, cgroup: cgroups.Cgroup | None, limits: Limits) -> None:
        self.cgroup = cgroup
        self.held: frozenset[str] = frozenset()
        if cgroup is not None:
            self.held = frozenset(cgroup.limit(memory_bytes=limits.memory_bytes))
            if limits.processes is not None:
                cgroup.limit(processes=most_tasks(limits.processes))

    def confine(self, command: Command) -> Command:
        """Return *command* so that it starts in the cgroup."""
        if self.cgroup is None:
            return command
        return replace(
            command,
            cgroups=self.cgroup.entrances,
            held=self.held,
            cpu_counter=self.cgroup.cpu_counter,
        )

    def complete(self, ending: Ending) -> Ending:
        """Return *ending* with what only the kernel knows of it."""
        if self.cgroup is None:
            return ending
        rescue = ending.rescue
        if rescue is not None and not rescue.is_complete:
            # Whatever the supervisor has left is in here, marked or not.
            rescue = replace(rescue, is_complete=self.cgroup.kill())
        totals = self.cgroup.totals()
        return replace(
            ending,
            oom_kills=totals.oom_kills or 0,
            cgroup_cpu_seconds=None if totals.cpu_ns is None else totals.cpu_ns / 1e9,
            rescue=rescue,
        )

    def close(self) -> None:
        """End whatever is still in the cgroup, and remove it."""
        if self.cgroup is not None:
            self.cgroup.kill()
            self.cgroup.remove()


@contextmanager
def own_cgroup(limits: Limits) -> Iterator[OwnCgroup]:
    """Make a cgroup for one command that may use *limits*, and remove it at the end."""
    # It is the supervisor that starts a command in one.
    own = OwnCgroup(cgroups.create() if has_supervisor() else None, limits)
    try:
        yield own
    finally:
        own.close()
