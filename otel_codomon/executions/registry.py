"""The executions of this process: those that run now, and the last that ended."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from otel_codomon._platform.threads_and_forks import on_fork

if TYPE_CHECKING:
    from typing import Protocol

    from otel_codomon.journal.execution_record import ExecutionRecord
    from otel_codomon.resources.labels import Labels

    class Registered(Protocol):
        """An execution, as far as the registry knows it."""

        @property
        def execution_id(self) -> str:
            """Identifies it."""

        @property
        def labels(self) -> Labels:
            """What its metrics are summed by."""

        def abandon(self) -> None:
            """Forget it without an end: it goes on in the parent of this process."""


E = TypeVar("E", bound="Registered")

MAX_FINISHED: Final = 1000
"""Finished executions that are remembered: about 1 MiB, and bounded."""


class Registry(Generic[E]):
    """The executions of this process. Make one."""

    def __init__(self) -> None:
        # Insertion, removal and copy of a dict are atomic under the interpreter's
        # lock: no lock of ours, so none can be held across a fork.
        self._running: dict[str, E] = {}
        self._finished: deque[ExecutionRecord] = deque(maxlen=MAX_FINISHED)
        self._keeps = False
        on_fork("registry", in_child=self._after_fork)

    def enter(self, execution: E) -> None:
        """Count *execution* as running."""
        self._running[execution.execution_id] = execution

    def leave(self, execution: E) -> None:
        """Stop counting *execution* as running; one that never entered is no error."""
        self._running.pop(execution.execution_id, None)

    def find(self, execution_id: str) -> E | None:
        """The running execution of this id; None when there is none here."""
        return self._running.get(execution_id)

    def running(self) -> tuple[E, ...]:
        """The executions that run now, oldest first."""
        return tuple(self._running.copy().values())

    def count_active(self) -> Counter[Labels]:
        """How many executions run now, by what their metrics are summed by."""
        return Counter(execution.labels for execution in self.running())

    def keep_finished(self) -> None:
        """From now on, remember the last `MAX_FINISHED` executions that end here."""
        self._keeps = True

    def is_kept(self) -> bool:
        """Whether somebody asked for `keep_finished`."""
        return self._keeps

    def remember(self, record: ExecutionRecord) -> None:
        """Keep *record* of an execution that has ended, if somebody asked for it."""
        if self._keeps:
            self._finished.append(record)

    def finished(self) -> tuple[ExecutionRecord, ...]:
        """The executions that ended here since `keep_finished`, oldest first."""
        return tuple(self._finished.copy())

    def _after_fork(self) -> None:
        """The parent's executions go on in the parent, and end only there."""
        for execution in self.running():
            execution.abandon()
        self._running.clear()
        self._finished.clear()
