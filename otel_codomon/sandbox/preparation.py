"""From a request to a command that can be started: files, compiler, isolation."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from otel_codomon import names
from otel_codomon._platform.executable_name import executable_name
from otel_codomon.executions.block import execution
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.resources.labels import Kind
from otel_codomon.sandbox.command import Command
from otel_codomon.sandbox.command_runner import run_to_end
from otel_codomon.sandbox.compilation import CompilationError, limits_of_compiler, version_command
from otel_codomon.sandbox.confined import run_confined
from otel_codomon.sandbox.isolation import SANDBOX_TYPES, isolate
from otel_codomon.sandbox.outcome_report import record_exit, record_limit, recorded_if_interrupted
from otel_codomon.sandbox.own_cgroup import own_cgroup
from otel_codomon.sandbox.private_directory import PrivateDirectory
from otel_codomon.sandbox.process_exit import classify
from otel_codomon.sandbox.toolchains import fill, refused_by_the_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.sandbox.request import Request
    from otel_codomon.sandbox.toolchains import Toolchain


@contextmanager
def private_directory(request: Request, facts: dict[str, object]) -> Iterator[str | None]:
    """Yield a directory of the execution's own where it needs one, and remove it.

    Args:
        request: What needs it.
        facts: Where what remains of it is noted, as a span attribute.

    Raises:
        UnavailableError: It cannot be made.
    """
    if request.source is None and (request.cwd is not None or request.isolation == "none"):
        yield None
        return
    private = PrivateDirectory()
    try:
        yield private.path
    finally:
        left = private.remove()
        if left is not None:
            facts[names.CLEANUP_LEFT] = left


def prepare(request: Request, private: str | None, deadline: float | None) -> Command:
    """Return the command that *request* comes down to.

    Args:
        request: What is to be run.
        private: The directory that `private_directory` has made for it.
        deadline: `time.monotonic` at which a compiler is ended; None for never.

    Raises:
        UnavailableError: Something on this machine is missing.
        CompilationError: There is a compiler, and no program came of it.
    """
    if request.toolchain is None:
        command = _plain(request, private)
    else:
        command = _built(request, request.toolchain, private, deadline)
    return _isolated(request, command, private)


def _plain(request: Request, private: str | None) -> Command:
    assert request.path is not None  # noqa: S101 - a command has been looked up
    return Command(
        path=request.path,
        argv=request.argv,
        env=request.env,
        cwd=request.cwd or private or "/",
        stdin=request.stdin,
        limits=request.limits,
    )


def _built(
    request: Request, toolchain: Toolchain, private: str | None, deadline: float | None
) -> Command:
    assert private is not None  # noqa: S101 - a source text gets a directory
    assert request.source is not None  # noqa: S101 - it has a toolchain
    tool = toolchain.find_tool(request.env.get("PATH"))
    source = Path(private, toolchain.source_name)
    with refused_by_the_kernel("write the source text", "set TMPDIR to a directory with room"):
        source.write_text(request.source, encoding="utf-8", newline="")
    places = {"tool": tool, "source": str(source), "binary": str(Path(private, "main"))}
    env = {**request.env, "HOME": request.env.get("HOME", private)}
    if toolchain.compile:
        argv = fill(toolchain.compile, **places)
        limits = limits_of_compiler(request.limits)
        compiler = Command(path=tool, argv=argv, env=env, cwd=private, limits=limits)
        _compile(request, compiler, private, deadline)
    argv = fill(toolchain.run, **places)
    return Command(
        path=argv[0],
        argv=argv,
        env=env,
        cwd=request.cwd or private,
        stdin=request.stdin,
        limits=request.limits,
    )


def _compile(request: Request, compiler: Command, private: str, deadline: float | None) -> None:
    """Run the compiler, as an execution of its own within that of the source text."""
    name = Path(compiler.path).name
    command = _isolated(request, compiler, private)
    with (
        own_cgroup() as own,
        execution(
            name,
            kind=Kind.COMMAND,
            language=request.language,
            sandbox_type=SANDBOX_TYPES[request.isolation],
            limits=command.limits,
        ) as current,
        recorded_if_interrupted(current),
    ):
        process_exit = run_confined(
            command,
            own,
            execution_id=current.execution_id,
            deadline=deadline,
            attach=current.attach,
        )
        details, limit = classify(process_exit, command.limits)
        record_exit(
            current, process_exit, details, executable=executable_name(None, [compiler.path])
        )
        record_limit(current, command.limits, limit)
    if details.outcome is Outcome.SUCCESS:
        return
    if details.outcome is Outcome.ERROR:
        check_usable(request, compiler, private, deadline)
    raise CompilationError(name, process_exit, details, limit)


def check_usable(
    request: Request, command: Command, private: str | None, deadline: float | None
) -> None:
    """Check that the toolchain of *request* is one, and no stand-in for one that is missing.

    Args:
        request: A source text.
        command: What its tool was started as.
        private: As for `prepare`.
        deadline: `time.monotonic` at which it is ended; None for never.

    Raises:
        UnavailableError: The tool cannot even say its version.
    """
    assert request.toolchain is not None  # noqa: S101 - a source text has one
    asked = version_command(request.toolchain, command)
    process_exit = run_to_end(
        _isolated(request, asked, private), deadline=deadline, on_start=lambda _pid: None
    )
    request.toolchain.check_version(asked.path, process_exit)


def _isolated(request: Request, command: Command, private: str | None) -> Command:
    own = [directory for directory in (request.cwd, private) if directory is not None]
    command = replace(command, places=tuple(own or [command.cwd]))
    if request.isolation == "none":
        return command
    return isolate(command, writable=own, readable=list(_toolchain_homes(request)))


def _toolchain_homes(request: Request) -> Iterator[str]:
    """What the toolchain needs of our home. One that was given may hold links to anywhere."""
    home = request.env.get("HOME")
    if home and home == os.environ.get("HOME") and request.toolchain is not None:
        yield from (str(Path(home, part)) for part in request.toolchain.homes)
