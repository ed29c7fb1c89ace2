"""How an execution ended, read from what it returned.

A field that reports an outcome is a row of a table. All fields of a result are
read: one that says how it failed counts before one that says only that it did,
and that before any that says it went well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.outcome_details import (
    UNKNOWN,
    OutcomeDetails,
    read_code_of,
    read_exit_code,
    read_relayed_code,
)

if TYPE_CHECKING:
    from typing import TypeGuard

    from otel_codomon.words import ResultForm

# What is written as the status of a result, in lower case -> outcome.
_STATUS: Final[Mapping[str, Outcome]] = {
    **{outcome.value: outcome for outcome in Outcome if outcome is not Outcome.HOST_DIED},
    "ok": Outcome.SUCCESS,
    "passed": Outcome.SUCCESS,
    "succeeded": Outcome.SUCCESS,
    "completed": Outcome.SUCCESS,
    "done": Outcome.SUCCESS,
    "failed": Outcome.ERROR,
    "failure": Outcome.ERROR,
    "exception": Outcome.ERROR,
    "execution_error": Outcome.ERROR,
    "runtime_error": Outcome.ERROR,
    "compile_error": Outcome.ERROR,
    "compilation_error": Outcome.ERROR,
    "timed_out": Outcome.TIMEOUT,
    "deadline_exceeded": Outcome.TIMEOUT,
    "time_limit_exceeded": Outcome.TIMEOUT,
    "oom": Outcome.OOM_KILLED,
    "out_of_memory": Outcome.OOM_KILLED,
    "memory_limit_exceeded": Outcome.OOM_KILLED,
    "canceled": Outcome.CANCELLED,
    "aborted": Outcome.CANCELLED,
    "interrupted": Outcome.CANCELLED,
    # It had not ended when it was reported, and nothing later says how it did.
    "unspecified": Outcome.UNKNOWN,
    "pending": Outcome.UNKNOWN,
    "queued": Outcome.UNKNOWN,
    "running": Outcome.UNKNOWN,
    "in_progress": Outcome.UNKNOWN,
}
_STATUS_PREFIX: Final = "outcome_"  # as in OUTCOME_DEADLINE_EXCEEDED

# What most functions return: there is nothing to look for in these.
_PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes, list, tuple, set, bytearray})

_Read: TypeAlias = Callable[[object, object], OutcomeDetails]


class _Row(NamedTuple):
    """One way in which results report their outcome.

    Attributes:
        fields: What the field is called; the first that is there counts.
        read: From its value, and the whole result, to what it says.
    """

    fields: tuple[str, ...]
    read: _Read


def _status(value: object, _result: object) -> OutcomeDetails:
    outcome = status_outcome(value)
    return UNKNOWN if outcome is None else _failed(outcome)


def status_outcome(value: object) -> Outcome | None:
    """The outcome that a text or a member of an enumeration stands for; None for any other."""
    if isinstance(value, Enum):
        value = value.value if isinstance(value.value, str) else value.name
    if not isinstance(value, str):
        return None
    word = value.lower().replace(" ", "_").replace("-", "_")
    return _STATUS.get(word.removeprefix(_STATUS_PREFIX))


def _failed(outcome: Outcome) -> OutcomeDetails:
    return OutcomeDetails(outcome=outcome, error_type=outcome.value if outcome.is_failure else None)


def _true(outcome: Outcome) -> _Read:
    return lambda value, _result: _failed(outcome) if value is True else UNKNOWN


def _false(outcome: Outcome) -> _Read:
    return lambda value, _result: _failed(outcome) if value is False else UNKNOWN


def _relayed(value: object, _result: object) -> OutcomeDetails:
    return read_relayed_code(value) if _is_int(value) else UNKNOWN


def _returned(value: object, result: object) -> OutcomeDetails:
    return read_code_of(_field(result, "args"), value) if _is_int(value) else UNKNOWN


def _signalled(value: object, _result: object) -> OutcomeDetails:
    if not isinstance(value, str) or not value.startswith("SIG") or len(value) > _MAX_SIGNAL_NAME:
        return UNKNOWN
    return OutcomeDetails(outcome=Outcome.KILLED, signal=value, error_type=value)


def _message(value: object, _result: object) -> OutcomeDetails:
    """A text, a mapping or an object that describes an error; a number measures something."""
    is_absent = value is None or value is False or callable(value) or _is_number(value)
    return UNKNOWN if is_absent or not value else _failed(Outcome.ERROR)


def _stage(value: object, _result: object) -> OutcomeDetails:
    """A part of a result that reports like one, and may call its exit code ``code``."""
    return _combined(value, (*_ROWS, _CODE)) if isinstance(value, Mapping) else UNKNOWN


_MAX_SIGNAL_NAME: Final = 16
_CODE: Final = _Row(("code",), _relayed)
_ROWS: Final = (
    _Row(("timed_out", "timedOut"), _true(Outcome.TIMEOUT)),
    _Row(("oom_killed", "OOMKilled"), _true(Outcome.OOM_KILLED)),
    _Row(("cancelled", "canceled"), _true(Outcome.CANCELLED)),
    _Row(("outcome",), _status),
    _Row(("status",), _status),
    _Row(
        ("exit_code", "exitCode", "return_code", "exit_status", "StatusCode", "ExitCode"),
        _relayed,
    ),
    _Row(("returncode", "exitcode"), _returned),
    _Row(("signal",), _signalled),
    _Row(("success", "ok"), _false(Outcome.ERROR)),
    _Row(("is_error", "isError"), _true(Outcome.ERROR)),
    _Row(("error", "Error"), _message),
    _Row(("error_message", "errorMessage"), _message),
)
_STAGES: Final = tuple(_Row((name,), _stage) for name in ("compile", "run", "State"))


def read_result(result: object) -> OutcomeDetails:
    """Read what the observed code returned: a mapping or an object with known fields.

    `subprocess.CompletedProcess` is one, and so are the results of the common
    engines and sandboxes. See the table in ``docs/telemetry.md``.

    Returns:
        What is reported; `UNKNOWN` for any other result.
    """
    return UNKNOWN if type(result) in _PLAIN else _combined(result, (*_ROWS, *_STAGES))


def _combined(result: object, rows: tuple[_Row, ...]) -> OutcomeDetails:
    found = [details for row in rows if (details := _read_row(row, result)) is not UNKNOWN]
    if not found:
        return UNKNOWN
    chosen = min(found, key=lambda details: _RANK.get(details.outcome, 0))
    return OutcomeDetails(
        outcome=chosen.outcome,
        exit_code=next((v.exit_code for v in found if v.exit_code is not None), None),
        signal=next((v.signal for v in found if v.signal is not None), None),
        error_type=chosen.error_type,
    )


# What counts first is what is not here: the specific failures.
_RANK: Final[Mapping[Outcome | None, int]] = {
    Outcome.ERROR: 1,
    Outcome.SUCCESS: 2,
    Outcome.UNKNOWN: 3,
    None: 4,
}


def _read_row(row: _Row, result: object) -> OutcomeDetails:
    try:
        values = (_field(result, name) for name in row.fields)
        value = next((value for value in values if value is not None), None)
        return UNKNOWN if value is None else row.read(value, result)
    except Exception:  # noqa: BLE001 - attributes of observed code: any failure at all
        return UNKNOWN


def _field(result: object, name: str) -> object:
    """The field *name* of a mapping or object, without waking a ``__getattr__``."""
    if isinstance(result, Mapping):
        return result.get(name)
    if hasattr(type(result), name) or name in getattr(result, "__dict__", ()):
        return getattr(result, name)
    return None


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# --- readers that are asked for by name ---


def _read_code(result: object) -> OutcomeDetails:
    return read_relayed_code(result) if _is_int(result) else read_result(result)


def _read_returncode(result: object) -> OutcomeDetails:
    return read_exit_code(result) if _is_int(result) else read_result(result)


def _read_nothing(_result: object) -> OutcomeDetails:
    return UNKNOWN


def _read_status(result: object) -> OutcomeDetails:
    if not isinstance(result, (str, Enum)):
        return read_result(result)
    outcome = status_outcome(result)
    return _failed(Outcome.UNKNOWN if outcome is None else outcome)


def _read_success(result: object) -> OutcomeDetails:
    return _failed(Outcome.SUCCESS if result else Outcome.ERROR)


READERS: Final[Mapping[ResultForm, Callable[[object], OutcomeDetails]]] = {
    "exit_code": _read_code,
    "returncode": _read_returncode,
    "status": _read_status,
    "success": _read_success,
    "nothing": _read_nothing,
}
"""How a returned number, text or truth value is read, by the name that `execution` takes."""
