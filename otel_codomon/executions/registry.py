"""The executions that run now in this process."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_codomon.executions.running import Execution
    from otel_codomon.values.execution import Labels

# Insertion, removal and copy of a dict are atomic under the interpreter's
# lock: no lock of ours, so none can be held across a fork.
_running: dict[str, Execution] = {}


def enter(execution: Execution) -> None:
    """Count *execution* as running."""
    _running[execution.execution_id] = execution


def leave(execution: Execution) -> None:
    """Stop counting *execution* as running; one that never entered is no error."""
    _running.pop(execution.execution_id, None)


def find(execution_id: str) -> Execution | None:
    """The running execution of this id; None when there is none here."""
    return _running.get(execution_id)


def running() -> tuple[Execution, ...]:
    """The executions that run now, oldest first."""
    return tuple(_running.copy().values())


def count_active() -> Counter[Labels]:
    """How many executions run now, by what their metrics are summed by."""
    return Counter(execution.labels for execution in running())


def _after_fork() -> None:
    """The parent's executions go on in the parent, and end only there."""
    for execution in running():
        execution.abandon()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
