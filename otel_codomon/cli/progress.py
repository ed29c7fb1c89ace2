"""Says on stderr that something goes on, when it takes longer than a second."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from otel_codomon.cli.standard_streams import write_error

if TYPE_CHECKING:
    from typing_extensions import Self

_QUIET_SECONDS: Final = 1.0
_ERASE_LINE: Final = "\r\x1b[K"


class Progress:
    """A line on the terminal that counts; nothing at all where stderr is no terminal.

    Args:
        what: What is counted, as ``executions read``.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = time.monotonic() + _QUIET_SECONDS
        self._is_terminal = sys.stderr.isatty()
        self._said = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._said:
            write_error(_ERASE_LINE)

    def __call__(self, count: int) -> None:
        """Say that *count* are done, if it is time."""
        now = time.monotonic()
        if not self._is_terminal or now < self._next:
            return
        self._next = now + 0.2
        self._said = True
        write_error(f"{_ERASE_LINE}{count:,} {self._what}")
