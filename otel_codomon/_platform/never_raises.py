"""What is ours may break; what is observed may not notice."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from otel_codomon._platform.logs import get_logger
from otel_codomon._platform.threads_and_forks import on_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec

    P = ParamSpec("P")

T = TypeVar("T")
D = TypeVar("D")
_log = get_logger("otel_codomon")
_told: set[str] = set()
_lock = threading.RLock()

_FORK_SECONDS = 1.0
"""How long a fork waits at most; what is waited for takes microseconds."""

# In a list, so that a fork can put another in.
_telling: Final = [threading.RLock()]
_forking = threading.local()


def before_forks() -> threading.RLock:
    """What a thread of ours holds while it tells the SDK something: a fork waits for it.

    The SDK makes its locks anew in no forked child. One that our thread held in
    the middle of a fork would be held there for ever, and whoever tells or
    collects the same metric in the child would wait for it: the child's own end
    among them. What the program's threads do at that moment is theirs.
    """
    return _telling[0]


def _before_fork() -> None:
    _forking.has = _telling[0].acquire(timeout=_FORK_SECONDS)


def _after_fork_in_parent() -> None:
    if _forking.has:
        _telling[0].release()


def _after_fork_in_child() -> None:
    global _lock
    _telling[0], _lock = threading.RLock(), threading.RLock()


on_fork(
    "telling",
    before=_before_fork,
    in_parent=_after_fork_in_parent,
    in_child=_after_fork_in_child,
)


def log_once(what: str) -> None:
    """Log the exception being handled, the first time *what* fails.

    Without the "once" a broken part would fill the program's log, one
    traceback for each execution.
    """
    with _lock:
        if what in _told:
            return
        _told.add(what)
    _log.exception("%s failed; the observed program is not affected; this is logged once", what)


def never_raises(what: str, *, default: D) -> Callable[[Callable[P, T]], Callable[P, T | D]]:
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
                log_once(what)
                return default

        return guarded

    return decorate
