"""Keep the beginning of what a command writes, whatever it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_codomon.sandbox.result import Output

if TYPE_CHECKING:
    from collections.abc import Callable


class Capture:
    """Keeps the beginning of a stream and counts the rest.

    Args:
        limit: How much is kept, bytes.
        also: Takes each piece too; None for nobody.
    """

    def __init__(self, limit: int, also: Callable[[memoryview], None] | None = None) -> None:
        self._also = also
        self._limit = limit
        self._kept = bytearray()
        self._total = 0

    def take(self, piece: memoryview) -> None:
        """Add *piece*, the next that was read."""
        self._total += len(piece)
        room = self._limit - len(self._kept)
        if room > 0:
            self._kept += piece[:room]
        if self._also is not None:
            self._also(piece)

    def output(self) -> Output:
        """What there is so far."""
        return Output(bytes(self._kept), self._total)
