"""Run a command to its end in the best way this machine has."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from otel_codomon._platform.interpreter import interpreter
from otel_codomon.sandbox.cancellation import current_cancellation
from otel_codomon.sandbox.isolation import unwrap
from otel_codomon.sandbox.toolchains import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.sandbox.command import Command
    from otel_codomon.sandbox.process_exit import ProcessExit


def run_to_end(
    command: Command, *, deadline: float | None, on_start: Callable[[int], None]
) -> ProcessExit:
    """Run *command* until nothing of its tree is left, or as near to that as can be.

    Args:
        command: What to run.
        deadline: `time.monotonic` at which it is ended; None for never.
        on_start: Called with the process id when the program runs.

    Raises:
        UnavailableError: It is wrapped in bubblewrap, which could not start it
            or cannot be used here.
    """
    if command.wrapper is None:
        return _run(command, deadline, on_start)
    if not has_supervisor():
        raise UnavailableError(
            "cannot isolate with bubblewrap: this needs Linux and a Python interpreter of its own"
        )
    return unwrap(_run(command, deadline, on_start))


def _run(command: Command, deadline: float | None, on_start: Callable[[int], None]) -> ProcessExit:
    if has_supervisor():
        from otel_codomon.sandbox.supervised import run_supervised as run  # noqa: PLC0415 - Linux
    else:
        from otel_codomon.sandbox.portable import run_portable as run  # noqa: PLC0415 - the rest
    cancellation = current_cancellation.get()
    return run(command, deadline=deadline, cancellation=cancellation, on_start=on_start)


def has_supervisor() -> bool:
    """Whether a process can be put between us and a command.

    It needs Linux for the adoption of orphans, and an interpreter to run in.
    """
    return sys.platform == "linux" and interpreter() is not None
