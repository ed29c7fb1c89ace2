"""One call of the SDK's metrics at a time in each thread, also in a signal handler.

The SDK's locks are not reentrant: a handler that records a measurement while
its thread is in the middle of recording one, or of collecting them, would wait
for itself forever. What comes in the middle of a turn is done at its end.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Turn(threading.local):
    """The turn of one thread."""

    def __init__(self) -> None:
        self.is_taken = False
        self.waiting: deque[Callable[[], object]] = deque()


_turn = _Turn()


def in_turn(call: Callable[[], object]) -> None:
    """Do *call* now, or as soon as the thread is out of the turn it is in."""
    turn = _turn
    if turn.is_taken:
        turn.waiting.append(call)
        return
    turn.is_taken = True
    try:
        call()
    finally:
        turn.is_taken = False
        if turn.waiting:
            _do_waiting()


@contextmanager
def take_turn() -> Iterator[None]:
    """Have what signal handlers record meanwhile wait until the end of the block."""
    before, _turn.is_taken = _turn.is_taken, True
    try:
        yield
    finally:
        _turn.is_taken = before
        if not before and _turn.waiting:
            _do_waiting()


def _do_waiting() -> None:
    """Do what came meanwhile, each in a turn: more may come."""
    waiting = _turn.waiting
    while waiting:
        in_turn(waiting.popleft())
