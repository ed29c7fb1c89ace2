"""The keys that are pressed on a terminal, one by one, while something is drawn on it."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

UP: Final = "up"
DOWN: Final = "down"
ENTER: Final = "enter"
ESCAPE: Final = "escape"
BACKSPACE: Final = "backspace"

# What a terminal sends for keys that are no characters.
_NAMES: Final = {
    "\x1b[A": UP,
    "\x1bOA": UP,
    "\x1b[B": DOWN,
    "\x1bOB": DOWN,
    "\x1b": ESCAPE,
    "\r": ENTER,
    "\n": ENTER,
    "\x7f": BACKSPACE,
    "\x08": BACKSPACE,
}
# A sequence, which one key sends at once, or a character.
_KEY: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO.|.", re.DOTALL)
_READ_BYTES: Final = 1024


class Keyboard:
    """Reads keys from a terminal. Characters are not echoed while it is open.

    Args:
        descriptor: The terminal; None for standard input.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._pressed: deque[str] = deque()
        self._before: Any = None  # what `termios` gave, and takes

    def open(self) -> None:
        """Have keys sent at once and not echoed. Ctrl-C and Ctrl-Z still send signals."""
        self._before = termios.tcgetattr(self._descriptor)
        tty.setcbreak(self._descriptor, termios.TCSADRAIN)

    def close(self) -> None:
        """Put the terminal back as it was."""
        if self._before is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
            self._before = None

    @contextmanager
    def reading(self) -> Iterator[Keyboard]:
        """Open it, and close it whatever happens."""
        self.open()
        try:
            yield self
        finally:
            self.close()

    def key(self, until: float) -> str | None:
        """The key that is pressed next; empty when it is *until*, on the monotonic clock.

        Returns:
            None when the terminal is gone.
        """
        if not self._pressed:
            wait_seconds = max(0.0, until - time.monotonic())
            if not select.select([self._descriptor], [], [], wait_seconds)[0]:
                return ""
            try:
                read = os.read(self._descriptor, _READ_BYTES)
            except OSError:  # EIO: hung up
                return None
            if not read:
                return None
            self._pressed.extend(keys_in(read))
        return self._pressed.popleft() if self._pressed else ""


def keys_in(read: bytes) -> list[str]:
    r"""The keys for which a terminal sends *read*; an unknown sequence is no key.

    >>> keys_in(b"q\x1b[A\x1b[15~\x1b")
    ['q', 'up', 'escape']
    """
    pressed = _KEY.findall(read.decode("utf-8", "ignore"))
    found = (_NAMES.get(key, key) for key in pressed)
    return [key for key in found if key.isprintable()]
