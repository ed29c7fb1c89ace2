"""A cgroup for one command, where this machine lets us make one.

The kernel then accounts its tree exactly, holds the memory limit on all of it,
and counts whom it killed for that: the only proof of "out of memory" there is.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from otel_codomon._platform import cgroups
from otel_codomon.sandbox.command_runner import has_supervisor
from otel_codomon.sandbox.fork_bombs import most_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.resources.limits import Limits
    from otel_codomon.sandbox.command import Command
    from otel_codomon.sandbox.process_exit import ProcessExit


class OwnCgroup:
    """The cgroup of one command; or none, and then every method changes nothing.

    Attributes:
        cgroup: The cgroup; None before `confine`, and where none can be made.
    """

    def __init__(self) -> None:
        self.cgroup: cgroups.Cgroup | None = None

    def confine(self, command: Command, execution_id: str) -> Command:
        """Make the cgroup, and return *command* so that it starts in it.

        Args:
            command: What is to run, within its own limits.
            execution_id: The execution that it is.
        """
        # It is the supervisor that starts a command in one.
        self.cgroup = cgroup = cgroups.create(execution_id) if has_supervisor() else None
        if cgroup is None:
            return command
        return replace(
            command,
            cgroups=cgroup.entrances,
            held=_hold(cgroup, command.limits),
            cpu_counter=cgroup.cpu_counter,
        )

    def complete(self, process_exit: ProcessExit) -> ProcessExit:
        """Return *process_exit* with what only the kernel knows of it."""
        if self.cgroup is None:
            return process_exit
        rescue = process_exit.rescue
        if rescue is not None and not rescue.is_complete:
            # Whatever the supervisor has left is in here, marked or not.
            rescue = replace(rescue, is_complete=self.cgroup.kill())
        totals = self.cgroup.totals()
        return replace(
            process_exit,
            oom_kills=totals.oom_kills or 0,
            cgroup_cpu_seconds=None if totals.cpu_ns is None else totals.cpu_ns / 1e9,
            rescue=rescue,
        )

    def close(self) -> None:
        """End whatever is still in the cgroup, and remove it."""
        if self.cgroup is not None:
            self.cgroup.kill()
            self.cgroup.remove()


def _hold(cgroup: cgroups.Cgroup, limits: Limits) -> frozenset[str]:
    """The fields of *limits* that the kernel holds on the whole tree from now on."""
    held = cgroup.limit(memory_bytes=limits.memory_bytes)
    if limits.processes is not None:
        cgroup.limit(processes=most_tasks(limits.processes))
    return frozenset(held)


@contextmanager
def own_cgroup() -> Iterator[OwnCgroup]:
    """Have a cgroup made for one command when it starts, and remove it at the end."""
    own = OwnCgroup()
    try:
        yield own
    finally:
        own.close()
