"""How far a journal is delivered, for whoever waits for that: any process, elected or not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.journal import folder as folders
from otel_codomon.journal.delivery.backlog import Backlog
from otel_codomon.journal.delivery.state import load_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    Goal = dict[str, dict[str, int]]


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
            return {signal: Backlog(kept, signal, state).waiting_ends() for signal in self._signals}
        finally:
            os.close(folder_fd)

    def waiting_bytes(self) -> dict[str, int]:
        """What waits to be delivered, by signal, bytes."""
        return {
            signal: sum(
                size for name, size in waiting.items() if name[:1] == folders.STREAMS[signal]
            )
            for signal, waiting in self.waiting().items()
        }

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
            return load_state(folder_fd).sent[signal].get(name, 0)
        finally:
            os.close(folder_fd)
