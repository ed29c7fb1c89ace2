"""Whether the program's own signal handler ended what was running."""

from __future__ import annotations

import functools
import inspect
import signal
from typing import TYPE_CHECKING, Final

from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.outcome_details import OutcomeDetails

if TYPE_CHECKING:
    from types import CodeType, TracebackType

INTERRUPTED: Final = OutcomeDetails(
    outcome=Outcome.CANCELLED,
    error_type="SystemExit",
    reason="a signal handler of the program exited",
)
"""The exit code is then the program's, not that of the code that was interrupted."""


def is_interruption(error: BaseException) -> bool:
    """Whether *error* is the `SystemExit` of a signal handler, which may come at any instant.

    The traceback shows it: Python calls a handler on top of the code that it
    interrupts.
    """
    if not isinstance(error, SystemExit):
        return False
    handlers = _handlers()
    return any(code in handlers for code in _codes(error.__traceback__))


def _codes(traceback: TracebackType | None) -> list[CodeType]:
    found = []
    while traceback is not None:
        found.append(traceback.tb_frame.f_code)
        traceback = traceback.tb_next
    return found


def _handlers() -> set[CodeType]:
    """The code of the handlers that are installed, those of Python itself left out."""
    installed = (signal.getsignal(number) for number in signal.valid_signals())
    codes = (_code_of(handler) for handler in installed if callable(handler))
    return {code for code in codes if code is not None}


def _code_of(handler: object) -> CodeType | None:
    while isinstance(handler, functools.partial):
        handler = handler.func
    function = inspect.unwrap(handler) if callable(handler) else None
    code = getattr(function, "__code__", None)
    return code or getattr(getattr(type(function), "__call__", None), "__code__", None)  # noqa: B004 - not whether it is callable
