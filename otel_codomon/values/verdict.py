"""How an execution ended, read from what it returned or raised.

Tables first: a shape of result or an exception is a row, not a branch.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from otel_codomon.values.cleaning import MAX_NAME, clean_text
from otel_codomon.values.execution import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeGuard


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How an execution ended, as far as one look can tell. None means not known.

    Attributes:
        outcome: How it ended.
        exit_code: Exit code as a shell tells it: 128+n for signal n.
        signal: Name of the signal that ended it, as ``SIGKILL``.
        error_type: Class of error, a short text of few values.
        reason: Why, in words of this package.
    """

    outcome: Outcome | None = None
    exit_code: int | None = None
    signal: str | None = None
    error_type: str | None = None
    reason: str | None = None


SUCCESS: Final = Verdict(outcome=Outcome.SUCCESS)
UNKNOWN: Final = Verdict()
_MAX_EXIT_CODE: Final = 255

# What people write as the status of a result, in lower case -> outcome.
_STATUS: Final[Mapping[str, Outcome]] = {
    **{outcome.value: outcome for outcome in Outcome},
    "ok": Outcome.SUCCESS,
    "passed": Outcome.SUCCESS,
    "succeeded": Outcome.SUCCESS,
    "completed": Outcome.SUCCESS,
    "done": Outcome.SUCCESS,
    "failed": Outcome.ERROR,
    "failure": Outcome.ERROR,
    "execution_error": Outcome.ERROR,
    "runtime_error": Outcome.ERROR,
    "compile_error": Outcome.ERROR,
    "timed_out": Outcome.TIMEOUT,
    "time_limit_exceeded": Outcome.TIMEOUT,
    "oom": Outcome.OOM_KILLED,
    "out_of_memory": Outcome.OOM_KILLED,
    "memory_limit_exceeded": Outcome.OOM_KILLED,
    "canceled": Outcome.CANCELLED,
    "aborted": Outcome.CANCELLED,
}

_FIELDS: Final = ("status", "exit_code", "returncode", "error_message")
# What most functions return: nothing to look for in these.
_PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes, list, tuple, set, bytearray})


def read_exit_code(code: int) -> Verdict:
    """Read a return code in `subprocess`'s way: ``-n`` is the end by signal n."""
    if code == 0:
        return Verdict(outcome=Outcome.SUCCESS, exit_code=0)
    if code > 0:
        # A metric carries it: an exit code beyond what a process can have is one value more.
        kind = f"exit_{code}" if code <= _MAX_EXIT_CODE else "exit_other"
        return Verdict(outcome=Outcome.ERROR, exit_code=code, error_type=kind)
    name = signal_name(-code)
    return Verdict(outcome=Outcome.KILLED, exit_code=128 - code, signal=name, error_type=name)


def signal_name(number: int) -> str:
    """Name of a signal, as ``SIGKILL``; ``signal 40`` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals between SIGRTMIN and SIGRTMAX have no name
        return f"signal {number}"


def read_result(result: object) -> Verdict:
    """Read what the observed code returned.

    Understood are mappings and objects with ``status``, ``exit_code``,
    ``returncode`` or ``error_message`` - `subprocess.CompletedProcess` is one.
    A status says most, then the exit code, then whether there is a message.

    Returns:
        What could be told; `UNKNOWN` for any other result.
    """
    if type(result) in _PLAIN:
        return UNKNOWN
    try:
        found = {field: _field(result, field) for field in _FIELDS}
    except Exception:  # noqa: BLE001 - attributes of a stranger: any failure at all
        return UNKNOWN
    return _read_fields(found)


def _field(result: object, name: str) -> object:
    """The field *name* of a mapping or object, without waking a ``__getattr__``."""
    if isinstance(result, Mapping):
        return result.get(name)
    if hasattr(type(result), name) or name in getattr(result, "__dict__", ()):
        return getattr(result, name)
    return None


def _read_fields(found: Mapping[str, object]) -> Verdict:
    outcome = _status_outcome(found["status"])
    code, is_returncode = found["exit_code"], False
    if not _is_int(code):
        code, is_returncode = found["returncode"], True
    by_code = _by_code(code, is_returncode=is_returncode)
    if outcome is not None:
        return Verdict(
            outcome=outcome,
            exit_code=by_code.exit_code,
            signal=by_code.signal,
            error_type=None if outcome is Outcome.SUCCESS else outcome.value,
        )
    if by_code.outcome in (None, Outcome.SUCCESS) and _is_message(found["error_message"]):
        return Verdict(
            outcome=Outcome.ERROR, exit_code=by_code.exit_code, error_type=Outcome.ERROR.value
        )
    return by_code


def _by_code(code: object, *, is_returncode: bool) -> Verdict:
    if not _is_int(code):
        return UNKNOWN
    if is_returncode or code >= 0:
        return read_exit_code(code)
    # A negative exit_code is somebody's own convention: an error, of no known signal.
    return Verdict(outcome=Outcome.ERROR, exit_code=code, error_type=Outcome.ERROR.value)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**32


def _is_message(value: object) -> bool:
    return isinstance(value, str) and len(value) > 0


def _status_outcome(status: object) -> Outcome | None:
    if isinstance(status, Enum):
        status = status.value
    return _STATUS.get(status.lower()) if isinstance(status, str) else None


def _read_system_exit(error: BaseException) -> Verdict:
    code = getattr(error, "code", None)
    if code is None:
        return Verdict(outcome=Outcome.SUCCESS, exit_code=0)
    if isinstance(code, int):
        code = code & 0xFF  # what the operating system keeps of it
        return read_exit_code(code)
    return Verdict(outcome=Outcome.ERROR, exit_code=1, error_type="SystemExit")


def _read_called_process(error: BaseException) -> Verdict:
    code = getattr(error, "returncode", None)
    return read_exit_code(code) if _is_int(code) and code else UNKNOWN


def _fixed(outcome: Outcome) -> Callable[[BaseException], Verdict]:
    def read(error: BaseException) -> Verdict:
        return Verdict(outcome=outcome, error_type=error_type(error))

    return read


# By qualified name, so that no module has to be imported to recognise its class.
_EXCEPTIONS: Final[Mapping[str, Callable[[BaseException], Verdict]]] = {
    "asyncio.exceptions.CancelledError": _fixed(Outcome.CANCELLED),
    "concurrent.futures._base.CancelledError": _fixed(Outcome.CANCELLED),
    "trio.Cancelled": _fixed(Outcome.CANCELLED),
    "GeneratorExit": _fixed(Outcome.CANCELLED),
    "KeyboardInterrupt": _fixed(Outcome.CANCELLED),
    "SystemExit": _read_system_exit,
    "TimeoutError": _fixed(Outcome.TIMEOUT),
    "asyncio.exceptions.TimeoutError": _fixed(Outcome.TIMEOUT),
    "concurrent.futures._base.TimeoutError": _fixed(Outcome.TIMEOUT),
    "subprocess.TimeoutExpired": _fixed(Outcome.TIMEOUT),
    "subprocess.CalledProcessError": _read_called_process,
}


def error_type(error: BaseException) -> str:
    """Qualified class name of *error*, builtins without their module, bounded."""
    return _qualified(type(error))


def _qualified(cls: type) -> str:
    module = getattr(cls, "__module__", None)
    name = cls.__qualname__
    text = name if module in ("builtins", None) else f"{module}.{name}"
    return clean_text(text, limit=MAX_NAME)


def read_exception(error: BaseException) -> Verdict:
    """Read what the observed code raised; a subclass counts as its nearest known base."""
    for cls in type(error).__mro__:
        read = _EXCEPTIONS.get(_qualified(cls))
        if read is not None:
            verdict = read(error)
            if verdict.outcome is not None:
                return verdict
    return Verdict(outcome=Outcome.ERROR, error_type=error_type(error))
