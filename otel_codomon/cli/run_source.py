"""``otel-codomon run --language``: a file with source text, compiled and run as one execution."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from otel_codomon._platform.printable import printable_lines
from otel_codomon.cli.run_isolated import isolated
from otel_codomon.cli.run_start import (
    FAILURE,
    TIMED_OUT,
    described,
    limits_of,
    report_setup_error,
    run_start,
    summarise,
)
from otel_codomon.cli.standard_streams import write_error
from otel_codomon.cli.start import SetupError, Start
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.executions.languages import known_language
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.resources.labels import Kind
from otel_codomon.sandbox.command import Command
from otel_codomon.sandbox.command_runner import run_to_end
from otel_codomon.sandbox.compilation import CompilationError, limits_of_compiler, version_command
from otel_codomon.sandbox.confined import run_confined
from otel_codomon.sandbox.environment import build_environment, without_telemetry
from otel_codomon.sandbox.foreground_execution import Description, ForegroundExecution, with_cgroup
from otel_codomon.sandbox.outcome_report import cancelled_by
from otel_codomon.sandbox.own_cgroup import own_cgroup
from otel_codomon.sandbox.private_directory import PrivateDirectory
from otel_codomon.sandbox.process_exit import CANNOT_START, NOT_FOUND, classify, usage_of
from otel_codomon.sandbox.sdk_free_execution import Identity
from otel_codomon.sandbox.toolchains import BY_LANGUAGE, UnavailableError, fill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_codomon.cli.run_options import Options
    from otel_codomon.sandbox.process_exit import ProcessExit
    from otel_codomon.sandbox.toolchains import Toolchain

_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def run_source(args: Options, words: Sequence[str]) -> int:
    """Run the file ``words[0]`` with the arguments after it; its exit code.

    A compiler's messages go to stderr; what it made is removed at the end. In
    isolation the compiler is isolated too: it reads what the source text names.

    Raises:
        InvalidArgumentError: The language or the file is none that can be run.
    """
    toolchain = _toolchain(args.language or "")
    source = _source(words[0])
    build = _Build(args, toolchain, source)
    start = Start(["main"], language=toolchain.language, source=source)
    try:
        start = build.start(words[1:])
    except (UnavailableError, SetupError) as error:
        code = CANNOT_START if build.has_tool else NOT_FOUND
        return report_setup_error(args, start, build.identity, str(error), code)
    except CompilationError as error:
        return _report_not_compiled(build, start, error)
    except KeyboardInterrupt as error:
        build.record(start).finish(cancelled_by(error))
        return _INTERRUPTED
    else:
        return run_start(args, start, build.identity)
    finally:
        build.clean_up()


def _report_not_compiled(build: _Build, start: Start, error: CompilationError) -> int:
    execution = build.record(start)
    result = execution.finish(error.details, error.limit)
    summarise(build.args, result, execution.problem)
    if result.outcome is Outcome.TIMEOUT:
        return TIMED_OUT
    return result.exit_code or FAILURE


def _toolchain(language: str) -> Toolchain:
    toolchain = BY_LANGUAGE.get(known_language(language) or "")
    if toolchain is None:
        raise InvalidArgumentError(
            "language",
            f"cannot run source text in {language!r}: unknown language; "
            f"use one of {', '.join(sorted(BY_LANGUAGE))}",
        )
    return toolchain


def _source(typed: str) -> str:
    if not os.path.isfile(typed):  # noqa: PTH113 - as it was typed
        raise InvalidArgumentError(
            "command", f"cannot run {typed!r}: not a file; name a source file"
        )
    return f"./{typed}" if typed.startswith("-") else typed  # which tools take for an option


class _Build:
    """From a source text to what is started.

    Attributes:
        args: What the user said.
        identity: The ids of its execution, which begins with this.
        has_tool: Whether its tool was found.
    """

    def __init__(self, args: Options, toolchain: Toolchain, source: str) -> None:
        self.args = args
        self.identity = Identity(os.environ)
        self.has_tool = False
        self._toolchain = toolchain
        self._source = source
        self._directory: PrivateDirectory | None = None

    def start(self, arguments: Sequence[str]) -> Start:
        """Compile it where that is needed; what runs it.

        Raises:
            UnavailableError: Something on this machine is missing.
            SetupError: It cannot be isolated here.
            CompilationError: No program came of it.
        """
        tool = self._toolchain.find_tool(os.environ.get("PATH"))
        self.has_tool = True
        binary = ""
        if self._toolchain.compile:
            self._directory = PrivateDirectory()
            binary = str(Path(self._directory.path, "main"))
            self._compile(tool, binary)
        argv = fill(self._toolchain.run, tool=tool, source=self._source, binary=binary)
        return Start(
            [*argv, *arguments],
            language=self._toolchain.language,
            readable=self._readable(),
            source=self._source,
            clean_up=self.clean_up,
            stands_in=lambda: self._stands_in(tool),
        )

    def clean_up(self) -> str | None:
        """Remove what the compiler made; what remains of it, and why."""
        directory, self._directory = self._directory, None
        return None if directory is None else directory.remove()

    def record(self, start: Start) -> ForegroundExecution:
        """The execution of the source text, where nothing of it is started."""
        return ForegroundExecution(self.identity, described(self.args, start), None)

    def _readable(self) -> list[str]:
        made = [] if self._directory is None else [self._directory.path]
        homes = [os.path.expanduser(f"~/{part}") for part in self._toolchain.homes]  # noqa: PTH111 - as it is without a home
        return [os.path.abspath(self._source), *homes, *made]  # noqa: PTH100 - as above

    def _command(self, argv: Sequence[str]) -> Command:
        """The command that starts the tool for us, isolated as the source text is."""
        limits = limits_of_compiler(limits_of(self.args))
        writable = [] if self._directory is None else [self._directory.path]
        if self.args.isolation != "none":
            env = build_environment(os.environ, given=None, allowed=self.args.allow_env or ())
            readable = self._readable()
            command = isolated(argv[0], argv, env, self.args, readable=readable, writable=writable)
            return replace(command, limits=limits, places=tuple(writable))
        env = without_telemetry(os.environ)
        cwd = os.path.abspath(".")  # noqa: PTH100 - pathlib has no other way
        places = tuple(writable)
        return Command(
            path=argv[0], argv=tuple(argv), env=env, cwd=cwd, limits=limits, places=places
        )

    def _compile(self, tool: str, binary: str) -> None:
        argv = fill(self._toolchain.compile, tool=tool, source=self._source, binary=binary)
        command = self._command(argv)
        process_exit, error = self._run_compiler(command)
        write_error(_messages(process_exit))
        if error is None:
            return
        if error.details.outcome is Outcome.ERROR and (said := self._stands_in(tool)):
            raise UnavailableError(said)
        raise error

    def _run_compiler(self, command: Command) -> tuple[ProcessExit, CompilationError | None]:
        """Run the compiler, as an execution of its own within that of the source text."""
        name = Path(command.path).name
        said = Description(
            executable=name,
            language=self._toolchain.language,
            kind=Kind.COMMAND,
            limits=command.limits,
            sandbox_type=described(self.args, Start([name])).sandbox_type,
            places=[command.path],
        )
        inner = Identity({**os.environ, "TRACEPARENT": self.identity.traceparent})
        timeout = self.args.timeout
        deadline = None if timeout is None else self.identity.started_ns / 1e9 + timeout
        with own_cgroup() as own:
            try:
                process_exit = run_confined(
                    command,
                    own,
                    execution_id=inner.execution_id,
                    deadline=deadline,
                    attach=lambda _: None,
                )
            except BaseException as error:
                ForegroundExecution(inner, said, None).finish(cancelled_by(error))
                raise
            totals = None if own.cgroup is None else own.cgroup.totals()
        details, limit = classify(process_exit, command.limits)
        usage = with_cgroup(usage_of(process_exit), totals)
        ForegroundExecution(inner, said, process_exit.pid).finish(details, limit, usage)
        if details.outcome is Outcome.SUCCESS:
            return process_exit, None
        return process_exit, CompilationError(name, process_exit, details, limit)

    def _stands_in(self, tool: str) -> str | None:
        """Why *tool* is none, where it only stands in for one that is missing; else None."""
        command = version_command(self._toolchain, self._command([tool]))
        try:
            process_exit = run_to_end(command, deadline=None, on_start=lambda _: None)
            self._toolchain.check_version(tool, process_exit)
        except UnavailableError as error:
            return str(error)
        return None


def _messages(process_exit: ProcessExit) -> str:
    """What a compiler has said, for a terminal: it repeats the source text."""
    said = process_exit.output.kept + process_exit.errors.kept
    return printable_lines(said.decode("utf-8", "replace"))
