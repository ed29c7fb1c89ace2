"""The executions that run now in this process."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.ours import on_fork

if TYPE_CHECKING:
    from otel_codomon.executions.running import Execution
    from otel_codomon.values.execution import ExecutionRecord, Labels

# Insertion, removal and copy of a dict are atomic under the interpreter's
# lock: no lock of ours, so none can be held across a fork.
_running: dict[str, Execution] = {}

MAX_FINISHED: Final = 1000
"""Finished executions that are remembered: about 1 MiB, and bounded."""
_finished: deque[ExecutionRecord] = deque(maxlen=MAX_FINISHED)
_keeps = False


def enter(execution: Execution) -> None:
    """Count *execution* as running."""
    _running[execution.execution_id] = execution


def leave(execution: Execution) -> None:
    """Stop counting *execution* as running; one that never entered is no error."""
    _running.pop(execution.execution_id, None)


def keep_finished() -> None:
    """From now on, remember the last `MAX_FINISHED` executions that end here."""
    global _keeps  # noqa: PLW0603 - switched on once, by the first who asks
    _keeps = True


def is_kept() -> bool:
    """Whether somebody asked for `keep_finished`."""
    return _keeps


def remember(record: ExecutionRecord) -> None:
    """Keep *record* of an execution that has ended, if somebody asked for it."""
    if _keeps:
        _finished.append(record)


def finished() -> tuple[ExecutionRecord, ...]:
    """The executions that ended here since `keep_finished`, oldest first."""
    return tuple(_finished.copy())


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
    _finished.clear()


on_fork("registry", in_child=_after_fork)
