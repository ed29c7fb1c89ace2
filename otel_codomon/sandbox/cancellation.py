"""How a run hears, in its own thread, that its caller has lost interest."""

from __future__ import annotations

import os
import threading
from contextvars import ContextVar
from typing import Final

from otel_codomon._platform.verified_descriptor import VerifiedDescriptor


class Cancellation:
    """Said once, heard by looking or by waiting.

    Attributes:
        fd: There is something to read here once it was said.
    """

    def __init__(self) -> None:
        self.fd, told = os.pipe()
        self._heard, self._told = VerifiedDescriptor(self.fd), VerifiedDescriptor(told)
        self._said = threading.Event()

    @property
    def was_said(self) -> bool:
        """Whether the caller has lost interest."""
        return self._said.is_set()

    def say(self) -> None:
        """End what runs."""
        if not self._said.is_set():
            self._said.set()
            if self._told.is_ours:  # other code may close every descriptor
                os.write(self._told.number, b"x")

    def close(self) -> None:
        """Give the descriptors back; nobody may look any more."""
        self._heard.close()
        self._told.close()


current_cancellation: Final[ContextVar[Cancellation | None]] = ContextVar(
    "otel_codomon_cancellation", default=None
)
