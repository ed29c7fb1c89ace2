"""Run one command in a cgroup of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_codomon.sandbox.host import run_to_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.sandbox.command import Command
    from otel_codomon.sandbox.ending import Ending
    from otel_codomon.sandbox.own_cgroup import OwnCgroup


def run_confined(
    command: Command,
    own: OwnCgroup,
    *,
    deadline: float | None,
    attach: Callable[[object], None],
) -> Ending:
    """Run *command* in its cgroup; without one if the kernel refuses it there.

    Args:
        command: What to run.
        own: Its cgroup, if there is one.
        deadline: `time.monotonic` at which it is ended; None for never.
        attach: Called with everything whose resources are the command's.

    Raises:
        UnavailableError: As for `run_to_end`.
    """

    def started(pid: int) -> None:
        if own.cgroup is not None:
            attach(own.cgroup)
        attach(pid)

    ending = run_to_end(own.confine(command), deadline=deadline, on_start=started)
    if ending.failure is not None and own.cgroup is not None:
        own.cgroup.remove()
        own.cgroup = None
        ending = run_to_end(command, deadline=deadline, on_start=attach)
    return own.complete(ending)
