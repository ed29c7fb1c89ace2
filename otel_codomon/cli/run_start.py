"""Start a command in our place, and record it as one execution.

The order matters: the command is started first, with next to nothing imported,
and what tells of it is imported while it runs.
"""

from __future__ import annotations

import errno
import os

from otel_codomon._platform import cgroups
from otel_codomon.cli.run_limits import LIMITS, HeldLimits, unlimited_meter
from otel_codomon.cli.standard_streams import write_error
from otel_codomon.cli.start import SetupError
from otel_codomon.sandbox import environment
from otel_codomon.sandbox.foreground import Foreground

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeVar

    from otel_codomon._platform.cgroups import Cgroup
    from otel_codomon.cli.run_options import Options
    from otel_codomon.cli.start import Start
    from otel_codomon.resources.limits import Limits
    from otel_codomon.sandbox.foreground_execution import Description, ForegroundExecution
    from otel_codomon.sandbox.result import ExecutionResult
    from otel_codomon.sandbox.sdk_free_execution import Identity

    T = TypeVar("T")

FAILURE = 1
# Imports for looking take as long as a short command; who lasts longer has a curve.
_LATER_SECONDS = 0.25
TIMED_OUT = 124
# By these a shell says that it could not start a program.
_NOT_RUN = (126, 127)
_SIGNALLED = 128  # what a shell adds to the number of a signal


def places(program: str, search_path: str | None) -> list[str]:
    """Where *program* may be, in the order in which a shell looks."""
    if "/" in program:
        return [program]
    folders = (search_path or os.defpath).split(":")
    return [f"{folder or '.'}/{program}" for folder in folders]


def run_start(args: Options, start: Start, identity: Identity) -> int:
    """Start it, and stand in for it until it ends; its exit code."""
    cgroup = cgroups.create(identity.execution_id)
    try:
        return _run_in(cgroup, args, start, identity)
    finally:
        if cgroup is not None:
            cgroup.remove()  # a daemon keeps it; a later run clears it away


def _run_in(cgroup: Cgroup | None, args: Options, start: Start, identity: Identity) -> int:
    limits = HeldLimits.of(args, cgroup)
    env = _environment(identity, args)
    try:
        meter = None if limits is None else limits.meter()
        foreground = _start(args, start, env, limits, cgroup)
    except OSError as error:
        return _report_failure(args, start, identity, error)
    except SetupError as error:
        return report_setup_error(args, start, identity, str(error))
    # The command runs. From here on there is time for imports, and nothing of ours may end us.
    pid = foreground.tree.pid
    execution = _guarded("record the execution", lambda: _execution(args, start, identity, pid=pid))
    foreground.wait(
        deadline=args.timeout and identity.started_ns / 1e9 + args.timeout,
        grace_seconds=args.grace,
        meter=meter or unlimited_meter(cgroup),
        later=lambda: _look(execution, (cgroup, pid) if cgroup else (pid,)),
        later_seconds=_LATER_SECONDS,
    )
    foreground.restore(is_over=True)
    code = _guarded(
        "record the execution", lambda: _finish(args, start, execution, foreground, cgroup)
    )
    foreground.release()
    if foreground.timed_out:
        return TIMED_OUT
    return _plain_code(foreground) if code is None else code


def _look(execution: ForegroundExecution | None, targets: tuple[object, ...]) -> None:
    if execution is not None:
        _guarded("sample the execution", lambda: execution.start_sampling(targets, _set_up_gauges))


def _finish(
    args: Options,
    start: Start,
    execution: ForegroundExecution | None,
    foreground: Foreground,
    cgroup: Cgroup | None,
) -> int | None:
    """Record how the command ended, and summarise it; its exit code, None where not known."""
    if execution is None:
        return None
    left = start.clean_up()
    refusal = start.stands_in() if _plain_code(foreground) in _NOT_RUN else None
    result = execution.end(foreground, cgroup, refusal=refusal, left=left)
    problem = execution.problem or (foreground.apart.problem if foreground.apart else None)
    problem = problem or execution.doubt
    _guarded("summarise", lambda: summarise(args, result, problem))
    return result.exit_code


def _plain_code(foreground: Foreground) -> int:
    """The exit code of the command, where nothing of ours could tell it."""
    status = foreground.tree.status
    code = FAILURE if status is None else os.waitstatus_to_exitcode(status)
    return code if code >= 0 else _SIGNALLED - code


def _guarded(what: str, do: Callable[[], T]) -> T | None:
    """Do something of ours; None where it fails, which the command does not notice."""
    try:
        return do()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with us, the exit code is the command's
        from otel_codomon._platform.printable import printable  # noqa: PLC0415 - only for a message

        found = printable(f"{type(error).__name__}: {error}")
        write_error(f"otel-codomon run: cannot {what}: {found}; the command is not affected\n")
        return None


def _start(
    args: Options,
    start: Start,
    env: Mapping[str, str],
    limits: HeldLimits | None,
    cgroup: Cgroup | None,
) -> Foreground:
    paths = places(start.argv[0], env.get("PATH"))
    rlimits = [] if limits is None else limits.of_process()
    entrances = () if cgroup is None else cgroup.entrances
    if args.isolation != "none":
        from otel_codomon.cli.run_isolated import isolated  # noqa: PLC0415 - for who isolates
        from otel_codomon.sandbox.isolated_foreground import start_apart  # noqa: PLC0415

        program = _first_program(paths)
        command = isolated(program, start.argv, env, args, readable=start.readable)
        return start_apart(command, rlimits=rlimits, cgroups=entrances)
    return Foreground(
        [os.fsencode(path) for path in paths],
        [os.fsencode(word) for word in start.argv],
        {os.fsencode(name): os.fsencode(value) for name, value in env.items()},
        rlimits=[(which, (soft, hard)) for which, soft, hard in rlimits],
        cgroups=entrances,
    )


def _first_program(paths: Sequence[str]) -> str:
    """The first of *paths* that can be started: bubblewrap would not say what is wrong as we do.

    Raises:
        OSError: None can.
    """
    there = [path for path in paths if os.path.exists(path)]  # noqa: PTH110 - pathlib takes 10 ms
    for path in there:
        if os.access(path, os.X_OK) and not os.path.isdir(path):  # noqa: PTH112 - as above
            return os.path.abspath(path)  # noqa: PTH100 - as above
    number = errno.EACCES if there else errno.ENOENT
    raise OSError(number, os.strerror(number))


def _set_up_gauges() -> None:
    """Have live gauges sent, where they are wanted; in a thread, while the command runs."""
    import logging  # noqa: PLC0415 - as all of this, for a command that lasts

    from otel_codomon.journal.records import is_delivery_wanted  # noqa: PLC0415

    # The terminal is the command's: what OpenTelemetry has to say is not for it.
    logging.getLogger().addHandler(logging.NullHandler())
    if is_delivery_wanted():
        from otel_codomon.configuration import configure  # noqa: PLC0415

        configure()


def _environment(identity: Identity, args: Options) -> dict[str, str]:
    """What the command gets of our environment, and what lets it report."""
    ours = os.environ
    is_open = args.isolation == "none"
    env = (
        environment.without_telemetry(ours)
        if is_open
        else environment.build_environment(ours, given=None, allowed=args.allow_env or ())
    )
    propagate = args.propagate or ("full" if is_open else "none")
    if propagate == "full":
        context = environment.inherited_context(ours)
        told = environment.exporting(ours)
        return {**env, **told, **context, "TRACEPARENT": identity.traceparent}
    if propagate == "linked":
        told = environment.linked(ours)
        return {**env, **told, "TRACEPARENT": identity.link()}
    return env


# --- telling of it ------------------------------------------------------------


def _execution(
    args: Options, start: Start, identity: Identity, *, pid: int | None
) -> ForegroundExecution:
    from otel_codomon.sandbox.foreground_execution import (  # noqa: PLC0415 - the command runs
        ForegroundExecution,
    )

    return ForegroundExecution(identity, described(args, start), pid)


def limits_of(args: Options) -> Limits:
    """The limits that the user set."""
    from otel_codomon.resources.limits import Limits  # noqa: PLC0415 - the command runs

    return Limits(**{field: getattr(args, field) for field in LIMITS})


def described(args: Options, start: Start) -> Description:
    """What the user said of the command, for its execution."""
    from otel_codomon.resources.labels import SandboxType  # noqa: PLC0415
    from otel_codomon.sandbox.foreground_execution import Description  # noqa: PLC0415 - the command runs

    is_open = args.isolation == "none"
    return Description(
        executable=os.path.basename(start.argv[0]),  # noqa: PTH119 - may be anything
        name=args.name,
        language=start.language,
        session_id=args.session_id,
        timeout=args.timeout,
        limits=limits_of(args) if any(getattr(args, field) for field in LIMITS) else None,
        sandbox_type=SandboxType.PROCESS if is_open else SandboxType.BUBBLEWRAP,
        arguments=start.argv,
        source=start.source,
        places=places(start.argv[0], os.environ.get("PATH")),
    )


def _report_failure(args: Options, start: Start, identity: Identity, error: OSError) -> int:
    """Say that the command could not be started, to the user and to the journal."""
    execution = _execution(args, start, identity, pid=None)
    result = execution.fail(error)
    from otel_codomon._platform.refused_values import shown  # noqa: PLC0415 - only for a message

    why = os.strerror(error.errno or 0).lower()
    write_error(
        f"otel-codomon run: cannot run {shown(start.argv[0])}: {why}; "
        "check its name, its path and its permissions\n"
    )
    if execution.problem is not None and not args.quiet:
        from otel_codomon.cli.run_summary import write_problem  # noqa: PLC0415 - rare

        write_problem(execution.problem)
    return result.exit_code or FAILURE


def report_setup_error(
    args: Options, start: Start, identity: Identity, reason: str, exit_code: int = 126
) -> int:
    """Say that the command cannot be started here, to the user and to the journal."""
    result = _execution(args, start, identity, pid=None).refuse(reason, exit_code)
    write_error(f"otel-codomon run: {result.reason or reason}\n")
    return result.exit_code or FAILURE


def summarise(args: Options, result: ExecutionResult, problem: str | None) -> None:
    """Write the summary, where the user wants one."""
    if args.quiet and args.output is None:
        return
    from otel_codomon.cli import run_summary  # noqa: PLC0415 - the command has ended

    text = (
        run_summary.as_json(result)
        if args.format == "json"
        else run_summary.as_text(
            result,
            limits=limits_of(args),
            timeout_seconds=args.timeout,
            verbose=args.verbose,
        )
    )
    run_summary.write_summary(text, args.output)
    if problem is None or args.quiet or (args.output is None and problem in text):
        return
    run_summary.write_problem(problem)
