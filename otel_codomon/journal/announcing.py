"""Tells the collecting thread of new values at once, not at the next interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_listeners: Final[list[Callable[[], None]]] = []


def on_new(listener: Callable[[], None]) -> None:
    """Call *listener* from now on whenever something new is reported."""
    _listeners.append(listener)


def announce() -> None:
    """Say that something new is reported."""
    for listener in tuple(_listeners):
        listener()
