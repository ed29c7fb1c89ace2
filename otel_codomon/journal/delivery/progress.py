"""How far a journal is delivered, for whoever waits for that: any process, elected or not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.otlp_variables import METRICS
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.journal import folder as folders
from otel_codomon.journal.delivery.backlog import Backlog
from otel_codomon.journal.delivery.state import load_state
from otel_codomon.journal.execution_metrics.state import exported_ends
from otel_codomon.journal.segment_reader import segment_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    Goal = dict[str, dict[str, int]]

_EXECUTIONS: Final = "executions"
"""Their metrics, which go the way of a signal but are made of the records of another."""


class Progress:
    """Looks at what the files say.

    Args:
        folder: Path of the journal.
        signals: Which signals are delivered from it.
    """

    def __init__(self, folder: str, signals: Iterable[str]) -> None:
        self._folder = folder
        self._signals = tuple(signals)

    def _opened(self) -> int | None:
        try:
            return folders.find_folder(self._folder)
        except OSError:  # reported by the writer of this process
            return None

    def waiting(self) -> Goal:
        """Where each segment ends that was not delivered up to there, for each signal."""
        folder_fd = self._opened()
        if folder_fd is None:
            return {}
        try:
            state = load_state(folder_fd)
            kept = VerifiedDescriptor(folder_fd)
            found = {
                signal: Backlog(kept, signal, state).waiting_ends() for signal in self._signals
            }
            if METRICS in self._signals:
                found[_EXECUTIONS] = _not_exported(folder_fd)
            return found
        finally:
            os.close(folder_fd)

    def waiting_bytes(self) -> dict[str, int]:
        """What waits to be delivered, by signal, bytes."""
        folder_fd = self._opened()
        if folder_fd is None:
            return {}
        try:
            state, kept = load_state(folder_fd), VerifiedDescriptor(folder_fd)
            return {
                signal: sum(Backlog(kept, signal, state).waiting_bytes().values())
                for signal in self._signals
            }
        finally:
            os.close(folder_fd)

    def has_reached(self, goal: Goal) -> bool:
        """Whether each segment of *goal* was delivered up to there, or is gone."""
        waiting = self.waiting()
        return not any(
            name in waiting.get(signal, {}) and self._sent(signal, name) < end
            for signal, ends in goal.items()
            for name, end in ends.items()
        )

    def _sent(self, signal: str, name: str) -> int:
        """How far a segment was delivered, bytes."""
        folder_fd = self._opened()
        if folder_fd is None:
            return 0
        try:
            if signal == _EXECUTIONS:
                return (exported_ends(folder_fd) or {}).get(name, 0)
            return load_state(folder_fd).sent[signal].get(name, 0)
        finally:
            os.close(folder_fd)


def _not_exported(folder_fd: int) -> dict[str, int]:
    """Where each segment ends whose executions are not all added up and exported."""
    exported = exported_ends(folder_fd)
    if exported is None:
        return {}
    return {
        name: end
        for name in folders.segment_names(folder_fd, folders.TRACES)
        if (end := segment_size(folder_fd, name)) > exported.get(name, 0)
    }
