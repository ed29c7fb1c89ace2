"""``otel-codomon run``: a command as one execution, as if we were not there.

The order matters: the command is started first, with next to nothing imported,
and what tells of it is imported while it runs.
"""

from __future__ import annotations

import os
import sys

from otel_codomon.cli.sizes import positive_number, positive_whole, size_bytes
from otel_codomon.sandbox.foreground import Foreground
from otel_codomon.sandbox.light_execution import Identity
from otel_codomon.sandbox.supervisor import TreeLimits
from otel_codomon.sources import cgroups

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from otel_codomon.sandbox.foreground_execution import ForegroundExecution
    from otel_codomon.sources.cgroups import Cgroup
    from otel_codomon.values.limits import Limits
    from otel_codomon.values.result import ExecutionResult

HELP = "run a command as one execution"
EXAMPLES = """
otel-codomon run -- make test
otel-codomon run --timeout 60 --limit-memory 512M -- python job.py
otel-codomon run --language c prime.c 1000
otel-codomon run --quiet --format json --output usage.json -- ./build.sh
"""

WRONG_USAGE = 2
FAILURE = 1
# Imports for looking take as long as a short command; who lasts longer has a curve.
_LATER_SECONDS = 0.25
TIMED_OUT = 124


class _Defaults:
    """What is so when no option is given."""

    name = language = session_id = timeout = output = None
    limit_cpu = limit_memory = limit_processes = limit_file_size = limit_open_files = None
    grace = 2.0
    propagate = "full"
    quiet = False
    format = "text"

    def __init__(self, command: list[str]) -> None:
        self.command = command


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """Declare what can be said of a command."""
    parser.usage = "%(prog)s [options] [--] COMMAND [ARGUMENT ...]"
    add = parser.add_argument
    add("--name", help="what the execution is called (default: the program's name)")
    add("--language", help="COMMAND is a file with source text in this language")
    add("--session-id", metavar="ID", help="the session that asked for it")
    add(
        "--timeout", type=positive_number, metavar="SECONDS", help="end it then, with exit code 124"
    )
    add(
        "--grace",
        type=positive_number,
        default=_Defaults.grace,
        metavar="SECONDS",
        help="from SIGTERM to SIGKILL (default: %(default)s)",
    )
    add(
        "--propagate",
        choices=("full", "none"),
        default=_Defaults.propagate,
        help="whether it reports into this trace, by TRACEPARENT, or learns nothing of our "
        "telemetry (default: %(default)s)",
    )
    limits = parser.add_argument_group("limits of the whole process tree")
    limit = limits.add_argument
    limit("--limit-cpu", type=positive_number, metavar="SECONDS", help="CPU time")
    limit("--limit-memory", type=size_bytes, metavar="SIZE", help="memory, such as 512M")
    limit("--limit-processes", type=positive_whole, metavar="N", help="processes at one time")
    limits = parser.add_argument_group("limits of each process")
    limit = limits.add_argument
    limit("--limit-file-size", type=size_bytes, metavar="SIZE", help="the largest file it writes")
    limit("--limit-open-files", type=positive_whole, metavar="N", help="files it holds open")
    summary = parser.add_argument_group("summary")
    summary.add_argument("-q", "--quiet", action="store_true", help="no summary on stderr")
    summary.add_argument(
        "--format", choices=("text", "json"), default=_Defaults.format, help="of the summary"
    )
    summary.add_argument(
        "--output",
        metavar="FILE|FD",
        help="where the summary goes, in place of stderr: a file, or a descriptor by its number",
    )
    parser.add_argument(
        "command", nargs="...", metavar="COMMAND", help="the command, as it is typed"
    )


def without_options(arguments: list[str], /) -> argparse.Namespace | None:
    """The arguments when there are no options, which takes no parser.

    Its import and its making take as long as the start of Python itself.
    """
    if arguments[:1] != ["--"]:
        return None
    return _Defaults(arguments)  # type: ignore[return-value] # has what a parser would have made


def run(args: argparse.Namespace, /) -> int:
    """Run the command; its exit code is ours."""
    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not words:
        sys.stderr.write("otel-codomon run: no command; see `otel-codomon run --help`\n")
        return WRONG_USAGE
    if args.language is None:
        return _run(args, Start(words))
    from otel_codomon.cli.run_source import source_start  # noqa: PLC0415 - only for source text

    with source_start(args.language, words) as start:
        return _run(args, start)


class Start:
    """What is to be started.

    Attributes:
        argv: Program and arguments.
        paths: Where the program may be.
        language: Language of the source text in a file; None for a command.
    """

    def __init__(self, words: Sequence[str], *, language: str | None = None) -> None:
        self.argv = [os.fsencode(word) for word in words]
        self.paths = _places(self.argv[0])
        self.language = language


def _places(program: bytes) -> list[bytes]:
    """Where *program* may be, in the order in which a shell looks."""
    if b"/" in program:
        return [program]
    search_path = os.environb.get(b"PATH", os.fsencode(os.defpath))
    return [(folder or b".") + b"/" + program for folder in search_path.split(b":")]


def _run(args: argparse.Namespace, start: Start) -> int:
    cgroup = cgroups.create()
    try:
        return _run_in(cgroup, args, start)
    finally:
        if cgroup is not None:
            cgroup.remove()  # a daemon keeps it; a later run clears it away


def _run_in(cgroup: Cgroup | None, args: argparse.Namespace, start: Start) -> int:
    identity = Identity(os.environ.get("TRACEPARENT"))
    limits = _limits_of(args)
    held = _held(cgroup, limits)
    env = _environment(identity, propagate=args.propagate)
    try:
        foreground = Foreground(
            start.paths,
            start.argv,
            env,
            rlimits=_rlimits(held),
            cgroups=() if cgroup is None else cgroup.procs,
        )
    except OSError as error:
        return _tell_failure(args, start, identity, error)
    # The command runs. From here on there is time for imports.
    execution = _execution(args, start, identity, pid=foreground.tree.pid)
    targets = (cgroup, foreground.tree.pid) if cgroup else (foreground.tree.pid,)
    foreground.wait(
        deadline=args.timeout and identity.started_ns / 1e9 + args.timeout,
        grace_seconds=args.grace,
        limits=_tree_limits(held),
        later=lambda: execution.look(targets, _set_up_gauges),
        later_seconds=_LATER_SECONDS,
    )
    foreground.restore()
    result = execution.end(foreground, cgroup)
    _summarise(args, result, execution.problem)
    if foreground.timed_out:
        return TIMED_OUT
    return FAILURE if result.exit_code is None else result.exit_code


def _set_up_gauges() -> None:
    """Have live gauges sent, where they are wanted; in a thread, while the command runs."""
    import logging  # noqa: PLC0415 - as all of this, for a command that lasts

    from otel_codomon.journal.light import is_delivery_wanted  # noqa: PLC0415

    # The terminal is the command's: what OpenTelemetry has to say is not for it.
    logging.getLogger().addHandler(logging.NullHandler())
    if is_delivery_wanted():
        from otel_codomon.configuration import configure  # noqa: PLC0415

        configure()


def _environment(identity: Identity, *, propagate: str) -> dict[bytes, bytes]:
    """A copy of ours, with what lets the command report into this trace, or without any of it."""
    env = dict(os.environb)
    if propagate == "full":
        env[b"TRACEPARENT"] = identity.traceparent.encode("ascii")
        return env
    context = (b"TRACEPARENT", b"TRACESTATE", b"BAGGAGE")
    return {
        name: value
        for name, value in env.items()
        if name not in context and not name.startswith(b"OTEL_")
    }


# --- limits -------------------------------------------------------------------

_LIMITS = {
    "limit_cpu": "cpu_seconds",
    "limit_memory": "memory_bytes",
    "limit_processes": "processes",
    "limit_file_size": "file_size_bytes",
    "limit_open_files": "open_files",
}


def _limits_of(args: argparse.Namespace) -> Limits | None:
    given = {field: getattr(args, option) for option, field in _LIMITS.items()}
    if not any(given.values()):
        return None
    from otel_codomon.values.limits import Limits  # noqa: PLC0415 - 15 ms, only for who limits

    return Limits(**given)


def _held(cgroup: Cgroup | None, limits: Limits | None) -> Limits | None:
    """*limits* without those that the kernel holds on the whole cgroup."""
    if cgroup is None or limits is None or not cgroup.limit(memory_bytes=limits.memory_bytes):
        return limits
    from dataclasses import replace  # noqa: PLC0415 - loaded with `Limits`

    return replace(limits, memory_bytes=None)


def _rlimits(limits: Limits | None) -> list[tuple[int, tuple[int, int]]]:
    if limits is None:
        return []
    from otel_codomon.sandbox.command import resource_limits  # noqa: PLC0415 - as above

    return [(which, (soft, hard)) for which, soft, hard in resource_limits(limits)]


def _tree_limits(limits: Limits | None) -> TreeLimits | None:
    if limits is None:
        return None
    return TreeLimits(limits.cpu_seconds or 0, limits.memory_bytes or 0, limits.processes or 0)


# --- telling of it ------------------------------------------------------------


def _execution(
    args: argparse.Namespace, start: Start, identity: Identity, *, pid: int | None
) -> ForegroundExecution:
    from otel_codomon.sandbox.foreground_execution import (  # noqa: PLC0415 - the command runs
        ForegroundExecution,
        Said,
    )

    said = Said(
        executable=os.path.basename(os.fsdecode(start.argv[0])),  # noqa: PTH119 - may be anything
        name=args.name,
        language=start.language,
        session_id=args.session_id,
        timeout=args.timeout,
        limits=_limits_of(args),
    )
    return ForegroundExecution(identity, said, pid)


def _tell_failure(
    args: argparse.Namespace, start: Start, identity: Identity, error: OSError
) -> int:
    """Say that the command could not be started, to the user and to the journal."""
    result = _execution(args, start, identity, pid=None).fail(error)
    program = os.fsdecode(start.argv[0])
    sys.stderr.write(
        f"otel-codomon run: cannot run {program!r}: {os.strerror(error.errno or 0).lower()}; "
        "check its name, its path and its permissions\n"
    )
    return result.exit_code or FAILURE


def _summarise(args: argparse.Namespace, result: ExecutionResult, problem: str | None) -> None:
    if args.quiet and args.output is None:
        return
    from otel_codomon.cli.run_summary import write_summary  # noqa: PLC0415 - the command has ended

    write_summary(result, problem, form=args.format, where=args.output)
