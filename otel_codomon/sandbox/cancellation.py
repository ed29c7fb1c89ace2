"""How a run learns, in its own thread, that its caller has cancelled it."""

from __future__ import annotations

import os
import threading
from contextvars import ContextVar
from typing import Final

from otel_codomon._platform.verified_descriptor import VerifiedDescriptor


class Cancellation:
    """A request to end a run, noticed by asking or by waiting.

    Attributes:
        fd: There is something to read here once it is cancelled.
    """

    def __init__(self) -> None:
        self.fd, told = os.pipe()
        self._heard, self._written = VerifiedDescriptor(self.fd), VerifiedDescriptor(told)
        self._is_set = threading.Event()

    @property
    def is_cancelled(self) -> bool:
        """Whether the caller wants the run to end."""
        return self._is_set.is_set()

    def cancel(self) -> None:
        """End what runs."""
        if not self._is_set.is_set():
            self._is_set.set()
            if self._written.is_ours:  # other code may close every descriptor
                os.write(self._written.number, b"x")

    def close(self) -> None:
        """Give the descriptors back; nobody may ask any more."""
        self._heard.close()
        self._written.close()


current_cancellation: Final[ContextVar[Cancellation | None]] = ContextVar(
    "otel_codomon_cancellation", default=None
)
