"""Keep the beginning of what a command writes, whatever it writes."""

from __future__ import annotations

from otel_codomon.sandbox.result import Output


class Capture:
    """Keeps the beginning of a stream and counts the rest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._total = 0

    def take(self, piece: memoryview) -> None:
        """Add *piece*, the next that was read."""
        self._total += len(piece)
        room = self._limit - len(self._kept)
        if room > 0:
            self._kept += piece[:room]

    def output(self) -> Output:
        """What there is so far."""
        return Output(bytes(self._kept), self._total)
