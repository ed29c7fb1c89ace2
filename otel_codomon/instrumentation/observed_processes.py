"""The processes that the program starts, each as one execution: what all targets share.

A target sees a process being started and calls `begin`; what `waits` wraps, and
the sampler where the program does not wait, see its end. The first to see it
reports it.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.instrumentation.utils import is_instrumentation_enabled, suppress_instrumentation

from otel_codomon import names
from otel_codomon._platform.executable_name import executable_name
from otel_codomon._platform.never_raises import before_forks, log_once, never_raises
from otel_codomon._platform.scrubbed_values import scrubbed_name
from otel_codomon._platform.threads_and_forks import OwnThread, on_fork
from otel_codomon.executions.captured_texts import captured_arguments
from otel_codomon.executions.providers import active_telemetry
from otel_codomon.executions.running import Execution
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.outcome_details import OutcomeDetails, read_code_of
from otel_codomon.resources.engine_clients import client_in, is_client_name
from otel_codomon.resources.labels import Kind, Labels
from otel_codomon.resources.started_child import StartedChild

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span

    from otel_codomon._platform.cleaning import AttributeValue
    from otel_codomon.resources.totals import ChildTotals

_NO_EXIT_CODE: Final = "its exit code could not be read"
_STILL_RUNS: Final = "it outlived the process that started it"
_NOT_OBSERVED: Final = "it was running when its instrumentation was switched off"
_FAILED: Final = -1
"""What system(3) returns where there is no status of a process."""

_MOST_NAMES: Final = 100
"""Different programs of one process that have a name of their own: each is a series."""

_MOST_KNOWN: Final = 1000
_OTHER: Final = "other"
_SHELL: Final = "/bin/sh"
_PACKAGE: Final = __name__.partition(".")[0] + "."


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """How processes are observed.

    Attributes:
        exclude: Globs of programs that are left out: of the base name, or of the
            whole path where the glob has a slash.
        request_hook: Called with the span, and the arguments that the program was
            started with, before it is started.
        response_hook: Called with the span, these arguments and the exit code as
            `subprocess` has it, None where it is not known, at its end: in the
            thread that sees it.
    """

    exclude: tuple[str, ...] = ()
    request_hook: Callable[[Span, Any], object] | None = None
    response_hook: Callable[[Span, Any, int | None], object] | None = None


class _Plan(NamedTuple):
    """How the executions of one program are reported."""

    labels: Labels
    attributes: Mapping[str, AttributeValue]
    may_be_client: bool


class _End(NamedTuple):
    """How a process ended: exit code and totals, None where they are not known."""

    code: int | None
    totals: ChildTotals | None


class ObservedProcess:
    """One process, from before it is started to its end.

    Attributes:
        execution: What it is reported as.
        child: The process.
        timed_out: Whether it was sent a signal because a timeout had expired.
        end: How it ended, where that was seen and is not reported yet.
    """

    __slots__ = ("_command", "_turn", "_words", "child", "end", "execution", "timed_out")

    def __init__(
        self, execution: Execution, child: StartedChild, command: object, words: Sequence[str]
    ) -> None:
        self.execution = execution
        self.child = child
        self.timed_out = False
        self.end: _End | None = None
        self._command = command
        self._words = words
        self._turn = [True]  # taking it out is one step: one of several threads reports the end

    def has_started(self, pid: int) -> None:
        """It runs as process *pid*."""
        try:
            self._start(pid)
        except Exception:  # noqa: BLE001 - any failure of ours
            log_once("observing a process")
            _starting.pop(id(self), None)
            self.finish(None, None)

    def _start(self, pid: int) -> None:
        self.child.start(pid, self._is_seen_to_end)
        self.execution.note(names.PROCESS_EXECUTABLE_NAME, executable_name(pid))
        before = _running.get(pid)
        _running[pid] = self
        early = _early.pop(pid, None)
        _starting.pop(id(self), None)
        if not _starting:
            _early.clear()
        if before is not None:  # its number is in use again: it was waited for unseen
            before.finish(None, None)
        # Else it was another one of that number, waited for while this one was started.
        if early is not None and not self.child.is_process():
            self.finish(*early)
        if not _at_exit:
            _at_exit.append(True)
            atexit.register(_end_all, _STILL_RUNS)

    def has_failed(self, error: BaseException) -> None:
        """It could not be started."""
        _starting.pop(id(self), None)
        if not self._turn:
            return
        self._turn.clear()
        if isinstance(error, Exception):
            self.execution.record(outcome=Outcome.SETUP_ERROR)
        self._respond(None)
        self.execution.fail(error)

    @never_raises("ending the execution of a command", default=None)
    def has_returned(self, status: int) -> None:
        """The call that started it and waited for it has returned the wait *status*."""
        if status == _FAILED:  # no process could be started
            self._turn.clear()
            self._respond(None)
            setup_error = Outcome.SETUP_ERROR
            self.execution.succeed(OutcomeDetails(outcome=setup_error, error_type="OSError"))
        else:
            self.finish(os.waitstatus_to_exitcode(status), None)

    def _is_seen_to_end(self, code: int | None, totals: ChildTotals | None) -> None:
        """In a thread that samples: it has not been waited for so far."""
        with before_forks():
            self.finish(*(self.end or (code, totals)))

    @never_raises("ending the execution of a process", default=None)
    def finish(
        self, code: int | None, totals: ChildTotals | None, *, reason: str = _NO_EXIT_CODE
    ) -> None:
        """Report its end, unless that has been done.

        Args:
            code: Exit code as `subprocess` has it; None where it is not known.
            totals: What it used; None where that is not known.
            reason: Why the exit code is not known.
        """
        try:
            self._turn.pop()
        except IndexError:
            return
        pid = self.child.pid
        if pid is not None and _running.get(pid) is self:
            _running.pop(pid, None)
        self.child.totals = totals
        if pid is not None:
            self.execution.note(names.PROCESS_PID, pid)
        self._respond(code)
        self.execution.succeed(self._details(code, reason))

    def _details(self, code: int | None, reason: str) -> OutcomeDetails:
        if code is None:
            return OutcomeDetails(outcome=Outcome.UNKNOWN, reason=reason)
        details = _read_code(self._words[0] if self._words else "", code)
        if self.timed_out:
            timeout = Outcome.TIMEOUT
            return OutcomeDetails(
                outcome=timeout,
                exit_code=details.exit_code,
                signal=details.signal,
                error_type=timeout.value,
            )
        return details

    def _respond(self, code: int | None) -> None:
        hook = _options.response_hook
        if hook is not None and self.execution.span.is_recording():
            try:
                with suppress_instrumentation():  # else what it starts would call it again
                    hook(self.execution.span, self._command, code)
            except Exception:  # noqa: BLE001 - the user's own code
                log_once("the response hook of a process")


@lru_cache(maxsize=_MOST_KNOWN)
def _read_code(program: str, code: int) -> OutcomeDetails:
    """What the exit code of *program* says: few programs have many."""
    return read_code_of([program], code)


_options = ProcessOptions()
_plans: dict[str, _Plan | None] = {}
_names: set[str] = set()
# Single steps on dicts are atomic under the interpreter's lock: there is no lock of
# ours that a signal handler, which may wait for a child, could find held.
_running: Final[dict[int, ObservedProcess]] = {}
_starting: Final[dict[int, ObservedProcess]] = {}
_early: Final[dict[int, _End]] = {}
"""Children that were waited for while one was just being started: it may be that one."""
_at_exit: Final[list[bool]] = []


def choose(options: ProcessOptions) -> None:
    """Observe processes in this way from now on."""
    global _options  # noqa: PLW0603 - the instrumentor's choice, for the whole process
    _options = options
    _plans.clear()


def stop() -> None:
    """End what is still running: its end will not be seen any more."""
    _end_all(_NOT_OBSERVED)
    _plans.clear()
    _names.clear()
    if _at_exit:
        _at_exit.clear()
        atexit.unregister(_end_all)


# --- the start ------------------------------------------------------------------


def caller_of(depth: int) -> str | None:
    """The module that starts a process, frames of `subprocess` left out; None for our own code.

    Args:
        depth: Frames between the caller of this and the first that is examined.
    """
    frame = sys._getframe(depth + 1)  # noqa: SLF001 - public but for its name
    while True:
        module = str(frame.f_globals.get("__name__"))
        if module != "subprocess" or frame.f_back is None:
            break
        frame = frame.f_back
    is_ours = module.startswith(_PACKAGE) or isinstance(threading.current_thread(), OwnThread)
    return None if is_ours else module


@never_raises("observing the start of a process", default=None)
def begin(
    command: object,
    *,
    executable: object = None,
    shell: object = False,
    in_thread: bool = False,
) -> ObservedProcess | None:
    """Begin the execution of a process that is about to be started.

    Args:
        command: The arguments that it is started with, or the text of a shell.
        executable: The program, where it is not the first of these.
        shell: Whether a shell runs it.
        in_thread: Whether the calling thread starts it and waits for it in one
            call, so that its process id stays unknown.

    Returns:
        What is observed; None where nothing is configured, or it is left out.
    """
    telemetry = active_telemetry()
    if telemetry is None or not is_instrumentation_enabled():
        return None  # the first asks for one of two keys that suppress, the second for both
    words = _words(command, is_shell=bool(shell))
    program = _text(executable) or (words[0] if words else "")
    plan = _plan_of(program)
    if plan is None:
        return None
    child = StartedChild(client=client_in(words) if plan.may_be_client else None)
    execution = Execution(
        telemetry,
        plan.labels,
        plan.attributes,
        thread=in_thread,
        result=_as_it_is,
        command=words,
        child=None if in_thread else child,
        finds_children=in_thread,
    )
    arguments = captured_arguments(words)
    if arguments is not None:
        execution.note(names.PROCESS_COMMAND_ARGS, arguments)
    observed = ObservedProcess(execution, child, command, words)
    if not in_thread:
        _starting[id(observed)] = observed
    hook = _options.request_hook
    if hook is not None and execution.span.is_recording():
        try:
            with suppress_instrumentation():  # else what it starts would call it again
                hook(execution.span, command)
        except Exception:  # noqa: BLE001 - the user's own code
            log_once("the request hook of a process")
    return observed


def _as_it_is(details: object) -> object:
    return details


def _words(command: object, *, is_shell: bool) -> list[str]:
    """Program and arguments as texts; empty where they can be read only once."""
    if isinstance(command, (str, bytes, os.PathLike)):
        words = [_text(command)]
    elif isinstance(command, Sequence):
        words = [_text(word) for word in command]
    else:
        words = []
    return [_SHELL, "-c", *words] if is_shell else words


def _text(value: object) -> str:
    if type(value) is str:
        return value
    return os.fsdecode(value) if isinstance(value, (str, bytes, os.PathLike)) else ""


def _plan_of(program: str) -> _Plan | None:
    """How *program* is reported; None where it is excluded."""
    try:
        return _plans[program]
    except KeyError:
        pass  # the first time
    if len(_plans) >= _MOST_KNOWN:
        _plans.clear()
    base = program.rpartition("/")[2]
    is_excluded = any(
        fnmatchcase(program if "/" in glob else base, glob) for glob in _options.exclude
    )
    plan = _plans[program] = None if is_excluded else _make_plan(base)
    return plan


def _make_plan(base: str) -> _Plan:
    name = scrubbed_name(base, default=_OTHER)
    if name not in _names and len(_names) >= _MOST_NAMES:
        name = _OTHER
    _names.add(name)
    labels = Labels(name, Kind.COMMAND)
    return _Plan(labels, labels.attributes(), is_client_name(base.encode(errors="replace")[:15]))


# --- the end --------------------------------------------------------------------


def find(pid: int) -> ObservedProcess | None:
    """The process of this id that runs, as far as is known; None for any other."""
    return _running.get(pid)


def is_any_observed() -> bool:
    """Whether a process is observed now."""
    return bool(_running or _starting)


def is_awaited(pid: int) -> bool:
    """Whether the end of process *pid* matters: it is observed, or may be one just started."""
    return pid in _running or bool(_starting)


@never_raises("taking the end of a process", default=None)
def was_reaped(
    pid: int, code: int | None, totals: ChildTotals | None, *, is_reported_later: bool = False
) -> None:
    """Take the end of a child that was waited for.

    Args:
        pid: The child, one of any.
        code: Exit code as `subprocess` has it.
        totals: What it used; None where that is not known.
        is_reported_later: Whether `report` follows, once the caller has its result.
    """
    observed = _running.get(pid)
    if observed is None:
        if _starting:
            if len(_early) >= _MOST_KNOWN:
                _early.clear()
            _early[pid] = _End(code, totals)
        return
    observed.end = _End(code, totals)
    if not is_reported_later:
        observed.finish(code, totals)


def report(pid: int) -> None:
    """Report the end of a child that was taken before."""
    observed = _running.get(pid)
    if observed is not None and observed.end is not None:
        observed.finish(*observed.end)


@never_raises("ending the executions of processes", default=None)
def _end_all(reason: str) -> None:
    """Nothing is seen from now on: end what has ended, and what still runs."""
    for observed in tuple(_running.values()):
        observed.child.check()
        observed.finish(None, None, reason=reason)


def _after_fork() -> None:
    """The children are those of the parent of this process, and are reported there."""
    _running.clear()
    _starting.clear()
    _early.clear()


on_fork("observed processes", in_child=_after_fork)
