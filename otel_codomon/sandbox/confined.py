"""Run one command in a cgroup of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_codomon.sandbox.command_runner import run_to_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.sandbox.command import Command
    from otel_codomon.sandbox.own_cgroup import OwnCgroup
    from otel_codomon.sandbox.process_exit import ProcessExit


def run_confined(
    command: Command,
    own: OwnCgroup,
    *,
    execution_id: str,
    deadline: float | None,
    attach: Callable[[object], None],
) -> ProcessExit:
    """Run *command* in its cgroup; without one if the kernel refuses it there.

    Args:
        command: What to run.
        own: Makes its cgroup, where one can be made.
        execution_id: The execution that it is.
        deadline: `time.monotonic` at which it is ended; None for never.
        attach: Called with everything whose resources are the command's.

    Raises:
        UnavailableError: As for `run_to_end`.
    """

    def started(pid: int) -> None:
        if own.cgroup is not None:
            attach(own.cgroup)
        attach(pid)

    inside = own.confine(command, execution_id)
    process_exit = run_to_end(inside, deadline=deadline, on_start=started)
    if process_exit.failure is not None and own.cgroup is not None:
        own.cgroup.remove()
        own.cgroup = None
        process_exit = run_to_end(command, deadline=deadline, on_start=attach)
    return own.complete(process_exit)
