"""An isolated command in our place: bubblewrap, and streams of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from otel_codomon.sandbox.command import wrap
from otel_codomon.sandbox.foreground import Foreground
from otel_codomon.sandbox.streams import Streams
from otel_codomon.sandbox.wrapping import Wrapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_codomon.sandbox.command import Command
    from otel_codomon.sandbox.rlimits import RlimitRow


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


def start_apart(
    command: Command, *, rlimits: Iterable[RlimitRow], cgroups: Sequence[str]
) -> Foreground:
    """Start *command*, which has a wrapper, in our place.

    Raises:
        OSError: Bubblewrap cannot be started.
    """
    wrapper = command.wrapper
    assert wrapper is not None  # noqa: S101 - as said
    wrapped = wrap(command, wrapper, rlimits)
    options = b"".join(os.fsencode(word) + b"\0" for word in wrapped.options)
    apart = Apart(options, wrapper.call_filter)
    return Foreground(
        [apart.program(os.fsencode(wrapper.path))],
        [os.fsencode(word) for word in wrapped.argv],
        {},  # what it is to give to the command is among its options
        rlimits=[(which, (soft, hard)) for which, soft, hard in wrapped.rlimits],
        cgroups=cgroups,
        apart=apart,
    )
