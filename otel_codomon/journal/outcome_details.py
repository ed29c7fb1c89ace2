"""How an execution ended, read from an exit code or from what was raised.

Tables first: an exception is a row, not a branch. What was returned is read by
`otel_codomon.executions.results`.
"""

from __future__ import annotations

import inspect
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.cleaning import MAX_NAME, clean_text
from otel_codomon.journal.execution_record import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeDetails:
    """How an execution ended, as far as one source can tell. None means not known.

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


SUCCESS: Final = OutcomeDetails(outcome=Outcome.SUCCESS)
UNKNOWN: Final = OutcomeDetails()
_MAX_EXIT_CODE: Final = 255
_MAX_SIGNAL: Final = 64
_SIGNALLED: Final = 128
"""What a shell and an engine add to the number of a signal."""

# Programs whose exit code may be that of the command they run: shells, and clients of engines.
_RELAYS: Final = frozenset(
    {
        *("sh", "ash", "bash", "dash", "fish", "ksh", "zsh"),
        *("bwrap", "crictl", "ctr", "docker", "kubectl", "nerdctl", "podman"),
    }
)


# --- exit codes ---


def read_exit_code(code: int) -> OutcomeDetails:
    """Read a return code in `subprocess`'s way: ``-n`` is the end by signal n."""
    if code == 0:
        return OutcomeDetails(outcome=Outcome.SUCCESS, exit_code=0)
    if 0 < code <= _MAX_EXIT_CODE:
        return OutcomeDetails(outcome=Outcome.ERROR, exit_code=code, error_type=f"exit_{code}")
    if -_MAX_SIGNAL <= code < 0:
        return read_signal(-code)
    # No exit code of a process; a metric carries the class of error, so that it is one value.
    return OutcomeDetails(outcome=Outcome.ERROR, error_type="exit_other")


def read_relayed_code(code: int) -> OutcomeDetails:
    """Read an exit code that a shell or an engine passes on: ``128+n`` is the end by signal n."""
    if _SIGNALLED < code <= _SIGNALLED + _MAX_SIGNAL:
        return read_signal(code - _SIGNALLED)
    # A negative one is a convention of the caller's own: an error, of no known signal.
    return read_exit_code(code if code >= 0 else _MAX_EXIT_CODE + 1)


def read_reported_code(code: int) -> OutcomeDetails:
    """Read an exit code that may be told in either way: ``-n`` and ``128+n`` are signal n."""
    return read_relayed_code(code) if code > 0 else read_exit_code(code)


def read_signal(number: int) -> OutcomeDetails:
    """The end by signal *number*."""
    name = signal_name(number)
    exit_code = _SIGNALLED + number
    return OutcomeDetails(outcome=Outcome.KILLED, exit_code=exit_code, signal=name, error_type=name)


def read_code_of(command: object, code: int) -> OutcomeDetails:
    """Read the return code of *command*, the arguments that a `subprocess.Popen` was given.

    A text is the command of a shell.
    """
    is_relayed = isinstance(command, str) or _program_of(command) in _RELAYS
    return read_reported_code(code) if is_relayed else read_exit_code(code)


def _program_of(command: object) -> str:
    first = command[0] if isinstance(command, (list, tuple)) and command else ""
    return str(first).rpartition("/")[2]


def signal_name(number: int) -> str:
    """Name of a signal, as ``SIGKILL``; ``signal 40`` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals between SIGRTMIN and SIGRTMAX have no name
        return f"signal {number}"


# --- exceptions ---


def _fixed(
    outcome: Outcome, reason: str | None = None
) -> Callable[[BaseException], OutcomeDetails]:
    def read(error: BaseException) -> OutcomeDetails:
        return OutcomeDetails(outcome=outcome, error_type=error_type(error), reason=reason)

    return read


def _relayed(field: str) -> Callable[[BaseException], OutcomeDetails]:
    def read(error: BaseException) -> OutcomeDetails:
        code = getattr(error, field, None)
        return read_relayed_code(code) if isinstance(code, int) and code else UNKNOWN

    return read


def _read_system_exit(error: BaseException) -> OutcomeDetails:
    code = getattr(error, "code", None)
    if code is None:
        return OutcomeDetails(outcome=Outcome.SUCCESS, exit_code=0)
    if isinstance(code, int):
        return read_exit_code(code & 0xFF)  # what the operating system keeps of it
    return OutcomeDetails(outcome=Outcome.ERROR, exit_code=1, error_type="SystemExit")


def _read_called_process(error: BaseException) -> OutcomeDetails:
    code = getattr(error, "returncode", None)
    if not isinstance(code, int) or not code:
        return UNKNOWN
    return read_code_of(getattr(error, "cmd", None), code)


def _read_generator_exit(error: BaseException) -> OutcomeDetails:
    """A generator that its consumer closes has done what was asked; a coroutine has not.

    Which of the two it was shows in the first frame of the traceback.
    """
    traceback = error.__traceback__
    if traceback is not None and traceback.tb_frame.f_code.co_flags & _IS_GENERATOR:
        return OutcomeDetails(outcome=Outcome.SUCCESS, reason="closed by its consumer")
    return _cancelled(error)


def _read_group(error: BaseException) -> OutcomeDetails:
    """A group of exceptions that all say the same says that."""
    outcomes = {read_exception(inner).outcome for inner in getattr(error, "exceptions", ())}
    outcome = outcomes.pop() if len(outcomes) == 1 else Outcome.ERROR
    return OutcomeDetails(outcome=outcome, error_type=error_type(error))


_cancelled: Final = _fixed(Outcome.CANCELLED)
_timeout: Final = _fixed(Outcome.TIMEOUT)
_killed: Final = _fixed(Outcome.KILLED)
_IS_GENERATOR: Final = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_EXHAUSTED: Final = _fixed(Outcome.SUCCESS, "the iterator is exhausted")
_SKIPPED: Final = _fixed(Outcome.SUCCESS, "skipped")

# Top-level package and class, so that no module has to be imported to recognise its class, and
# one that moves within its package still is. A subclass counts as its nearest base in the table.
_EXCEPTIONS: Final[Mapping[tuple[str, str], Callable[[BaseException], OutcomeDetails]]] = {
    # Python itself
    ("asyncio", "CancelledError"): _cancelled,
    ("asyncio", "TimeoutError"): _timeout,
    ("builtins", "BaseExceptionGroup"): _read_group,
    ("builtins", "GeneratorExit"): _read_generator_exit,
    ("builtins", "KeyboardInterrupt"): _cancelled,
    ("builtins", "StopAsyncIteration"): _EXHAUSTED,
    ("builtins", "StopIteration"): _EXHAUSTED,
    ("builtins", "SystemExit"): _read_system_exit,
    ("builtins", "TimeoutError"): _timeout,
    ("concurrent", "BrokenExecutor"): _killed,
    ("concurrent", "BrokenThreadPool"): _fixed(Outcome.ERROR),  # no process has died
    ("concurrent", "CancelledError"): _cancelled,
    ("concurrent", "TimeoutError"): _timeout,
    ("multiprocessing", "TimeoutError"): _timeout,
    ("subprocess", "CalledProcessError"): _read_called_process,
    ("subprocess", "TimeoutExpired"): _timeout,
    ("unittest", "SkipTest"): _SKIPPED,
    # event loops
    ("trio", "Cancelled"): _cancelled,
    ("trio", "TooSlowError"): _timeout,
    # clients of servers
    ("httpx", "TimeoutException"): _timeout,
    ("httpx2", "TimeoutException"): _timeout,
    ("redis", "TimeoutError"): _timeout,
    ("requests", "Timeout"): _timeout,
    ("urllib3", "TimeoutError"): _timeout,
    # task queues and clusters
    ("billiard", "SoftTimeLimitExceeded"): _timeout,
    ("billiard", "Terminated"): _cancelled,
    ("billiard", "TimeLimitExceeded"): _timeout,
    ("billiard", "WorkerLostError"): _killed,
    ("celery", "Ignore"): _fixed(Outcome.SUCCESS, "ignored by its task"),
    ("celery", "Reject"): _fixed(Outcome.SUCCESS, "rejected by its task"),
    ("celery", "Retry"): _fixed(Outcome.SUCCESS, "to be retried"),
    ("celery", "SoftTimeLimitExceeded"): _timeout,
    ("celery", "TaskPredicate"): _fixed(Outcome.SUCCESS, "control flow of its task"),
    ("celery", "TaskRevokedError"): _cancelled,
    ("celery", "TimeLimitExceeded"): _timeout,
    ("celery", "TimeoutError"): _timeout,
    ("celery", "WorkerLostError"): _killed,
    ("distributed", "KilledWorker"): _killed,
    ("ray", "ActorDiedError"): _killed,
    ("ray", "GetTimeoutError"): _timeout,
    ("ray", "NodeDiedError"): _killed,
    ("ray", "OutOfMemoryError"): _fixed(Outcome.OOM_KILLED),
    ("ray", "TaskCancelledError"): _cancelled,
    ("ray", "WorkerCrashedError"): _killed,
    # notebooks, sandboxes and engines
    ("docker", "ContainerError"): _relayed("exit_status"),
    ("e2b", "CommandExitException"): _relayed("exit_code"),
    ("e2b", "TimeoutException"): _timeout,
    ("llm_sandbox", "SandboxTimeoutError"): _timeout,
    ("nbclient", "DeadKernelError"): _killed,
    ("smolagents", "ExecutionTimeoutError"): _timeout,
    ("smolagents", "FinalAnswerException"): _fixed(Outcome.SUCCESS, "ended by its final answer"),
}


def error_type(error: BaseException) -> str:
    """Qualified class name of *error*, builtins without their module, bounded."""
    cls = type(error)
    module = getattr(cls, "__module__", None)
    text = cls.__qualname__ if module in ("builtins", None) else f"{module}.{cls.__qualname__}"
    return clean_text(text, limit=MAX_NAME)


def read_exception(error: BaseException) -> OutcomeDetails:
    """Read what the observed code raised; a subclass counts as its nearest known base."""
    for cls in type(error).__mro__:
        package = str(getattr(cls, "__module__", "")).partition(".")[0]
        read = _EXCEPTIONS.get((package, cls.__qualname__))
        if read is not None:
            details = read(error)
            if details.outcome is not None:
                return details
    return OutcomeDetails(outcome=Outcome.ERROR, error_type=error_type(error))
