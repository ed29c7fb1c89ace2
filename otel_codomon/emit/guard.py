"""What is ours may break; what is observed may not notice."""

from __future__ import annotations

import functools
import logging
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec

    P = ParamSpec("P")

T = TypeVar("T")
D = TypeVar("D")
_log = logging.getLogger("otel_codomon")
_told: set[str] = set()
_lock = threading.Lock()


def tell_once(what: str) -> None:
    """Log the exception being handled, the first time *what* fails.

    Without the "once" a broken part would fill the program's log, one
    traceback for each execution.
    """
    with _lock:
        if what in _told:
            return
        _told.add(what)
    _log.exception("%s failed; the observed program is not affected, and is not told again", what)


def harmless(what: str, *, default: D) -> Callable[[Callable[P, T]], Callable[P, T | D]]:
    """Make a function of ours return *default* where it would raise.

    Only `Exception` is held back: a KeyboardInterrupt that happens to arrive
    in our code is the program's.

    Args:
        what: Names the part in the log record.
        default: What the caller gets instead.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T | D]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T | D:
            try:
                return function(*args, **kwargs)
            except Exception:  # noqa: BLE001 - any failure of ours at all
                tell_once(what)
                return default

        return guarded

    return decorate
