"""An isolated command in our place: bubblewrap, and streams of its own."""

from __future__ import annotations

from otel_codomon.sandbox.streams import Streams
from otel_codomon.sandbox.wrapping import Wrapping


class Apart:
    """What separates a command in our place from us.

    See `Streams` for what is called when.
    """

    def __init__(self, options: bytes, call_filter: bytes) -> None:
        self._streams = Streams()  # before any other file is opened: see there
        self._wrapping = Wrapping(options, call_filter)
        self.program = self._wrapping.program
        self.begin = self._streams.begin
        self.resize = self._streams.resize
        self.release = self._streams.release

    def prepare(self) -> None:
        """In the child, before it becomes bubblewrap."""
        self._streams.become()
        self._wrapping.prepare()

    def end(self, *, patience_seconds: float | None) -> None:
        """Carry the rest of its output: see `Streams.end`."""
        self._streams.end(patience_seconds=patience_seconds)

    def has_run(self) -> bool:
        """Whether bubblewrap has run the command."""
        return self._wrapping.has_run()

    @property
    def head(self) -> bytes:
        """The first bytes of its standard error."""
        return self._streams.head

    @property
    def problem(self) -> str | None:
        """Why output was lost; None when none was."""
        return self._streams.problem
