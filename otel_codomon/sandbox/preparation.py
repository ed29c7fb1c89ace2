"""From a request to a command that can be started: files, compiler, isolation."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_codomon.executions.block import execution
from otel_codomon.sandbox.command import Command
from otel_codomon.sandbox.ending import judge
from otel_codomon.sandbox.host import run_to_end
from otel_codomon.sandbox.isolation import ISOLATION, isolate
from otel_codomon.sandbox.toolchains import fill
from otel_codomon.values.execution import Kind, Outcome
from otel_codomon.values.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.sandbox.ending import Ending
    from otel_codomon.sandbox.request import Request
    from otel_codomon.sandbox.toolchains import Toolchain
    from otel_codomon.values.verdict import Verdict

# Compilers write little, and what they write is for people.
_COMPILER_LIMITS: Final = Limits(output_bytes=256 * 1024)


class DoesNotCompileError(Exception):
    """The compiler refused the source text, or was ended over it.

    Never leaves the package: it becomes the outcome of the execution.

    Attributes:
        ending: How the compiler ended; its messages are in it.
        verdict: What that means.
    """

    def __init__(self, ending: Ending, verdict: Verdict) -> None:
        self.ending = ending
        self.verdict = verdict
        refused = verdict.outcome is Outcome.ERROR
        reason = "it does not compile" if refused else f"its compiler: {verdict.reason}"
        super().__init__(reason)


@contextmanager
def prepared(request: Request, deadline: float | None) -> Iterator[Command]:
    """Yield the command that *request* comes down to; its private files go at the end.

    Raises:
        UnavailableError: Something on this machine is missing.
        DoesNotCompileError: The compiler refused the source text.
    """
    with private_folder(request) as private:
        if request.toolchain is None:
            command = _plain(request, private)
        else:
            command = _built(request, request.toolchain, private, deadline)
        yield _isolated(request, command, private)


@contextmanager
def private_folder(request: Request) -> Iterator[str | None]:
    """Yield a folder of the execution's own where it needs one, and remove it."""
    if request.source is None and (request.cwd is not None or request.isolation == "none"):
        yield None
        return
    folder = tempfile.mkdtemp(prefix="otel-codomon-")
    try:
        yield os.path.realpath(folder)
    finally:
        _remove(folder)


def _remove(folder: str) -> None:
    """Remove *folder*, also where the command took the permissions from parts of it."""
    try:
        shutil.rmtree(folder)
    except OSError:
        for inner, _, _ in os.walk(folder):
            with suppress(OSError):  # another user's by now: it stays
                os.chmod(inner, 0o700)  # noqa: PTH101 - as os.walk gives it
        shutil.rmtree(folder, ignore_errors=True)


def _plain(request: Request, private: str | None) -> Command:
    assert request.path is not None  # noqa: S101 - a command has been looked up
    return Command(
        path=request.path,
        argv=request.argv,
        env=request.env,
        cwd=request.cwd or private or str(Path.cwd()),
        stdin=request.stdin,
        limits=request.limits,
    )


def _built(
    request: Request, toolchain: Toolchain, private: str | None, deadline: float | None
) -> Command:
    assert private is not None  # noqa: S101 - a source text gets a folder
    assert request.source is not None  # noqa: S101 - it has a toolchain
    tool = toolchain.find_tool(request.env.get("PATH"))
    source = Path(private, toolchain.source_name)
    source.write_text(request.source, encoding="utf-8", newline="")
    places = {"tool": tool, "source": str(source), "binary": str(Path(private, "main"))}
    env = {**request.env, "HOME": request.env.get("HOME", private)}
    if toolchain.compile:
        argv = fill(toolchain.compile, **places)
        compiler = Command(path=tool, argv=argv, env=env, cwd=private, limits=_COMPILER_LIMITS)
        _compile(request, _isolated(request, compiler, private), deadline)
    argv = fill(toolchain.run, **places)
    return Command(
        path=argv[0],
        argv=argv,
        env=env,
        cwd=request.cwd or private,
        stdin=request.stdin,
        limits=request.limits,
    )


def _compile(request: Request, command: Command, deadline: float | None) -> None:
    """Run the compiler, as an execution of its own within that of the source text."""
    with execution(
        Path(command.path).name,
        kind=Kind.COMMAND,
        language=request.language,
        sandbox_type=ISOLATION[request.isolation],
    ) as current:
        ending = run_to_end(command, deadline=deadline, on_start=current.attach)
        verdict, _ = judge(ending, command.limits)
        current.record(outcome=verdict.outcome, exit_code=ending.returncode, pid=ending.pid)
    if verdict.outcome is not Outcome.SUCCESS:
        raise DoesNotCompileError(ending, verdict)


def _isolated(request: Request, command: Command, private: str | None) -> Command:
    if request.isolation == "none":
        return command
    homes = () if request.toolchain is None else request.toolchain.homes
    home = command.env.get("HOME", "/nonexistent")
    return isolate(
        command,
        writable=[folder for folder in (request.cwd, private) if folder is not None],
        readable=[str(Path(home, part)) for part in homes],
    )
