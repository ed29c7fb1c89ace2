"""What `otel-codomon run` is to start, and why it could not."""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class SetupError(Exception):
    """The command cannot be isolated here; the text says why. An execution all the same."""


class Start:
    """What is to be started.

    Attributes:
        argv: Program and arguments.
        language: Language of the source text in a file; None for a command.
        readable: Files and directories that it has to see in isolation.
        source: The file with its source text; None for a command.
        clean_up: Removes what was made for it; what remains, and why.
        stands_in: Called where it could not run its program: why that is none,
            where it only stands in for one that is missing.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        language: str | None = None,
        readable: Sequence[str] = (),
        source: str | None = None,
        clean_up: Callable[[], str | None] = lambda: None,
        stands_in: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.source = source
        self.argv = argv
        self.language = language
        self.readable = readable
        self.clean_up = clean_up
        self.stands_in = stands_in
