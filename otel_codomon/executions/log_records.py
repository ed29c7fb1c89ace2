"""Executions as log records, through the OpenTelemetry API: their start, end and exceptions.

All of it is off by default, and costs a look at three module globals then.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.threads_and_forks import on_fork
from otel_codomon.executions.captured_texts import is_captured
from otel_codomon.settings import read_settings
from otel_codomon.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry._logs import Logger, SeverityNumber
    from opentelemetry.context import Context
    from opentelemetry.util.types import AttributeValue

EXCEPTION_OPT_IN: Final = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"
_LOGS, _BOTH = "logs", "logs/dup"

_lock = threading.RLock()
_events: bool | None = None  # None: not read yet
_exceptions: str | None = None
_make: Callable[[], None] | None = None
_is_made = False


def choose(*, events: bool | None) -> None:
    """Emit the start and the end of executions from now on; None for what the environment says."""
    global _events, _exceptions  # noqa: PLW0603 - one choice for the process
    _events = events
    _exceptions = None if events is None else exception_opt_in(os.environ)


def provide(make: Callable[[], None]) -> None:
    """Have *make* called, once, when the first log record is to be emitted."""
    global _make, _is_made
    _make, _is_made = make, False


def are_wanted() -> bool:
    """Whether any log record was asked for, so that a provider is needed."""
    return has_events() or bool(_exception_choice()) or is_captured("output:logs")


def has_events() -> bool:
    """Whether the start and the end of executions are log records."""
    if _events is None:
        _read_environment()
    return bool(_events)


def exception_forms() -> tuple[bool, bool]:
    """Whether an exception is an event of its span, and whether it is a log record."""
    choice = _exception_choice()
    return choice != _LOGS, bool(choice)


def _exception_choice() -> str:
    if _exceptions is None:
        _read_environment()
    return _exceptions or ""


def exception_opt_in(environ: Mapping[str, str]) -> str:
    """``logs``, ``logs/dup``, or empty; the variable may list words of other conventions."""
    words = [word.strip() for word in environ.get(EXCEPTION_OPT_IN, "").lower().split(",")]
    return _BOTH if _BOTH in words else _LOGS if _LOGS in words else ""


@never_raises("reading the settings of log records", default=None)
def _read_environment() -> None:
    choose(events=False)  # `configure` is where a wrong variable is an error
    choose(events=read_settings({})["execution_logs"].value)


def has_provider() -> bool:
    """Whether there is a global logger provider, or the environment names one."""
    from opentelemetry._logs import _internal  # noqa: PLC0415 - few want logs

    is_named = bool(os.environ.get("OTEL_PYTHON_LOGGER_PROVIDER"))
    return getattr(_internal, "_LOGGER_PROVIDER", True) is not None or is_named


def find_logger() -> Logger | None:
    """What emits log records, its provider made if there is none; None where none can be."""
    global _is_made  # noqa: PLW0603 - as above
    with _lock:
        if _make is not None and not _is_made:
            _is_made = True
            _make()
    if not has_provider():
        return None
    from opentelemetry import _logs  # noqa: PLC0415 - as above

    return _logs.get_logger(names.SCOPE, __version__, schema_url=names.SCHEMA_URL)


@never_raises("emitting a log record", default=False)
def emit(
    event_name: str,
    attributes: Mapping[str, AttributeValue],
    *,
    context: Context,
    body: str | None = None,
    is_error: bool = False,
    unix_ns: int | None = None,
) -> bool:
    """Emit an event; whether there is a provider to take it.

    Args:
        event_name: What happened.
        attributes: Clean ones.
        context: The context of the execution's span.
        body: One sentence; None for none.
        is_error: Whether its severity is ERROR instead of INFO.
        unix_ns: When it happened, nanoseconds since the epoch; None for now.
    """
    logger = find_logger()
    if logger is None:
        return False
    now = time.time_ns()
    number, word = _severity(is_error=is_error)
    logger.emit(
        timestamp=unix_ns or now,
        observed_timestamp=now,
        context=context,
        severity_number=number,
        severity_text=word,
        body=body,
        attributes=dict(attributes),
        event_name=event_name,
    )
    return True


def _severity(*, is_error: bool) -> tuple[SeverityNumber, str]:
    from opentelemetry._logs import SeverityNumber  # noqa: PLC0415 - few want logs

    return (SeverityNumber.ERROR, "ERROR") if is_error else (SeverityNumber.INFO, "INFO")


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - the parent's may be held
    _lock = threading.RLock()


on_fork("log records", in_child=_after_fork)
