"""`run` and `arun`: one command or source text, as one execution."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon._platform.executable_name import executable_name
from otel_codomon._platform.known_secrets import secrets_of
from otel_codomon._platform.scrubbed_values import scrubbed_text
from otel_codomon.executions.block import execution
from otel_codomon.executions.captured_texts import captured, captured_arguments, is_captured
from otel_codomon.executions.output_logs import OutputLog
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.outcome_details import UNKNOWN, OutcomeDetails
from otel_codomon.resources.labels import Kind
from otel_codomon.sandbox.async_wait import in_thread
from otel_codomon.sandbox.compilation import CompilationError
from otel_codomon.sandbox.confined import run_confined
from otel_codomon.sandbox.isolation import SANDBOX_TYPES
from otel_codomon.sandbox.outcome_report import cancelled_by, record_exit, record_limit
from otel_codomon.sandbox.own_cgroup import own_cgroup
from otel_codomon.sandbox.preparation import check_usable, prepare, private_directory
from otel_codomon.sandbox.process_exit import (
    CANNOT_START,
    NOT_FOUND,
    ProcessExit,
    classify,
    usage_of,
)
from otel_codomon.sandbox.propagation import trace_environment
from otel_codomon.sandbox.request import make_request
from otel_codomon.sandbox.result import ExecutionResult
from otel_codomon.sandbox.toolchains import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_codomon.executions.running import Execution
    from otel_codomon.resources.limits import Limits
    from otel_codomon.sandbox.command import Command
    from otel_codomon.sandbox.own_cgroup import OwnCgroup
    from otel_codomon.sandbox.process_exit import LimitSeen
    from otel_codomon.sandbox.request import Request
    from otel_codomon.words import Isolation, Propagation


# By these a stand-in says that the tool it stands for is not installed.
_NOT_RUN: Final = (CANNOT_START, NOT_FOUND)


def run(
    command: str | Sequence[str | bytes | os.PathLike[str]],
    *,
    language: str | None = None,
    name: str | None = None,
    timeout: float | None = None,
    limits: Limits | None = None,
    stdin: str | bytes | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    allow_env: Sequence[str] = (),
    propagate: Propagation = "none",
    isolation: Isolation = "none",
    session_id: str | None = None,
    attributes: Mapping[str, object] | None = None,
    logs: bool | None = None,
) -> ExecutionResult:
    """Run a command, or a source text, as one execution.

    When this returns, nothing of the command's process tree is left, whatever
    it did to get away from us.

    Args:
        command: Program and arguments as a list, or source text in *language*.
        language: Language of the source text: ``python``, ``javascript``,
            ``bash``, ``c``, ``cpp``, ``go``, ``rust`` or ``java``. Of a command
            it is only what telemetry calls it.
        name: What the execution is called: few different ones. By default the
            language of a source text, or the names of the program and its
            script, as ``python job.py``.
        timeout: Longest time, seconds. Then the tree gets SIGTERM, and SIGKILL
            if that does not end it.
        limits: What it may use; 1 MiB of each output stream is kept by default.
        stdin: What it reads; nothing by default.
        cwd: Working folder. By default ours for a command, and for source text
            or inside bubblewrap a private one that is removed at the end.
        env: Variables it gets, besides the few of ours that programs need.
        allow_env: Names of more variables of ours that it gets; ``LC_*`` is
            every name that begins so.
        propagate: ``none``: it learns nothing of our telemetry. ``linked``: it
            can report, in a trace of its own that ours has a link to. ``full``:
            it reports into our trace and gets our baggage, for code you trust.
        isolation: ``none``: a process like any other of this user, which is no
            security boundary. ``bubblewrap``: no network, a private /tmp, a
            read-only system, process ids of its own.
        session_id: The caller's session that asked for it.
        attributes: More attributes of its span.
        logs: Whether each line of its output is a log record too, scrubbed and
            bounded; by default only if ``output:logs`` is captured.

    Returns:
        How it went. A command that fails, is killed or runs out of time is a
        result too; so is, as ``setup_error``, a toolchain that is not here.

    Raises:
        InvalidArgumentError: One of the arguments cannot mean anything; nothing
            was started.
    """
    request = make_request(
        command,
        language=language,
        name=name,
        timeout=timeout,
        limits=limits,
        stdin=stdin,
        cwd=cwd,
        env=env,
        allow_env=allow_env,
        propagate=propagate,
        isolation=isolation,
        session_id=session_id,
        attributes=attributes,
        logs=logs,
    )
    started = time.monotonic()
    # The cgroup is removed after the execution has ended, which reads it last.
    with (
        secrets_of(request.env),
        own_cgroup() as own,
        execution(
            request.name,
            kind=Kind.COMMAND if request.source is None else Kind.SNIPPET,
            language=request.language,
            sandbox_type=SANDBOX_TYPES[request.isolation],
            timeout=request.timeout,
            session_id=request.session_id,
            code=request.source,
            limits=request.limits,
            attributes=request.attributes,
        ).of_command(request.argv) as current,
    ):
        result = _carry_out(request, current, own, started)
    # Where nothing is configured nobody watched, and what was told at the end stands.
    return replace(
        result,
        usage=current.usage or result.usage,
        duration_seconds=time.monotonic() - started,
    )


@dataclass(slots=True)
class _Attempt:
    """What is known so far of how a request went.

    Attributes:
        process_exit: How its command ended; its compiler, if it got no further.
        details: What that means; None until it is known.
        limit: The limit it ran into, if any.
        facts: What else its span has.
        executable: Name of the file that its process ran; None where nobody can tell.
        log: Its output as log records, where they are wanted.
    """

    process_exit: ProcessExit = field(default_factory=ProcessExit)
    details: OutcomeDetails | None = None
    limit: LimitSeen | None = None
    facts: dict[str, object] = field(default_factory=dict)
    executable: str | None = None
    log: OutputLog | None = None


def _carry_out(
    request: Request, current: Execution, own: OwnCgroup, started: float
) -> ExecutionResult:
    """Run *request* within *current*, and tell it how that went."""
    attempt = _Attempt()
    is_logged = is_captured("output:logs") if request.logs is None else request.logs
    if is_logged and current.is_running:  # an inert one has nowhere to report to
        attempt.log = OutputLog(current)
    deadline = None if request.timeout is None else started + request.timeout
    try:
        _try(request, current, own, deadline, attempt)
    except BaseException as error:
        # A signal handler of the host raised it. Its exit code is not the command's.
        _record_exit(current, request, attempt, attempt.details or cancelled_by(error))
        current.succeed()
        raise
    details = attempt.details or UNKNOWN
    _record_exit(current, request, attempt, details)
    return _result(current, attempt, details)


def _try(
    request: Request,
    current: Execution,
    own: OwnCgroup,
    deadline: float | None,
    attempt: _Attempt,
) -> None:
    """Run *request*, and note in *attempt* what becomes of it."""
    extra = trace_environment(current, request.propagate, os.environ)
    request = replace(request, env={**request.env, **extra})
    try:
        with private_directory(request, attempt.facts) as private:
            command = prepare(request, private, deadline)

            def attach(target: object) -> None:
                current.attach(target)
                if isinstance(target, int):
                    # In isolation the process is bubblewrap, and the command one of those below.
                    pid = target if command.wrapper is None else None
                    attempt.executable = executable_name(pid, [command.path])

            process_exit = run_confined(
                _logged(command, attempt.log),
                own,
                execution_id=current.execution_id,
                deadline=deadline,
                attach=attach,
            )
            if request.toolchain is not None and process_exit.returncode in _NOT_RUN:
                check_usable(request, command, private, deadline)
            attempt.process_exit = process_exit
            attempt.details, attempt.limit = classify(process_exit, request.limits, request.argv)
    except UnavailableError as error:
        attempt.details = OutcomeDetails(outcome=Outcome.SETUP_ERROR, reason=str(error))
    except CompilationError as error:
        attempt.process_exit, attempt.details, attempt.limit = (
            error.process_exit,
            error.details,
            error.limit,
        )
        _log_whole(attempt)


def _logged(command: Command, log: OutputLog | None) -> Command:
    """*command*, with its output going to *log* too."""
    if log is None:
        return command
    output, errors = log.streams
    return replace(command, readers=(output.take, errors.take))


def _log_whole(attempt: _Attempt) -> None:
    """Emit what the compiler has said: it is all the output there is."""
    if attempt.log is not None:
        ended = attempt.process_exit
        for stream, output in zip(attempt.log.streams, (ended.output, ended.errors), strict=True):
            stream.take(memoryview(output.kept))


def _record_exit(
    current: Execution, request: Request, attempt: _Attempt, details: OutcomeDetails
) -> None:
    record_limit(current, request.limits, attempt.limit)
    record_exit(current, attempt.process_exit, details, executable=attempt.executable)
    for key, value in attempt.facts.items():
        current.note(key, value)
    if attempt.log is not None:
        attempt.log.end()
    _record_texts(current, request, attempt.process_exit)


def _record_texts(current: Execution, request: Request, process_exit: ProcessExit) -> None:
    """What leaves only when the user asked for it."""
    for name, output in (
        (names.STDOUT_TEXT, process_exit.output),
        (names.STDERR_TEXT, process_exit.errors),
    ):
        current.note(name, captured("output", output.kept, is_cut=output.is_truncated))
    if request.source is None:
        current.note(names.PROCESS_COMMAND_ARGS, captured_arguments(request.argv))


def _result(current: Execution, attempt: _Attempt, details: OutcomeDetails) -> ExecutionResult:
    process_exit = attempt.process_exit
    return ExecutionResult(
        execution_id=current.execution_id,
        outcome=details.outcome or Outcome.ERROR,
        exit_code=details.exit_code,
        signal=details.signal,
        reason=None if details.reason is None else scrubbed_text(details.reason),
        duration_seconds=0.0,
        output=process_exit.output,
        errors=process_exit.errors,
        usage=usage_of(process_exit),
        pid=process_exit.pid,
        trace_id=current.trace_id,
        span_id=current.span_id,
        attributes=attempt.facts,
    )


# --- the same for coroutines ---------------------------------------------------

arun = in_thread(run)
arun.__name__ = arun.__qualname__ = "arun"
arun.__doc__ = """`run` for coroutines of asyncio: the event loop goes on while the command runs.

Cancelling it ends the command with its tree, with outcome ``cancelled``; the
cancellation goes on when nothing of the tree is left. So does giving up the
coroutine, as when its event loop is closed.

Raises:
    NoEventLoopError: No event loop of asyncio runs here; use `run` in a thread
        of the framework's, such as ``trio.to_thread.run_sync(run, ["make"])``.
"""
