"""``otel-codomon run --language``: from a file with source text to what is started."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from otel_codomon.cli.run_command import Start
from otel_codomon.cli.run_isolated import isolated
from otel_codomon.errors import CodomonError, InvalidArgumentError
from otel_codomon.sandbox.environment import build_environment
from otel_codomon.sandbox.host import run_to_end
from otel_codomon.sandbox.toolchains import BY_LANGUAGE, UnavailableError, fill
from otel_codomon.values.languages import known_language

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_codomon.cli.run_options import Options
from otel_codomon.sandbox.toolchains import Toolchain

_STDERR = 2


@contextmanager
def source_start(args: Options, words: Sequence[str]) -> Iterator[Start]:
    """Yield what runs the file ``words[0]`` with the arguments after it.

    A compiler's messages go to stderr; what it made is removed at the end. In
    isolation the compiler is isolated too: it reads what the source text names.

    Raises:
        InvalidArgumentError: The language or the file is none that can be run.
        CodomonError: There is no toolchain, or the source text does not compile.
    """
    toolchain = _toolchain(args.language or "")
    source = Path(words[0])
    if not source.is_file():
        raise InvalidArgumentError(
            "command", f"cannot run {words[0]!r}: it is no file; name one with source text"
        )
    try:
        tool = toolchain.find_tool(os.environ.get("PATH"))
    except UnavailableError as error:
        raise CodomonError(str(error)) from None
    with tempfile.TemporaryDirectory(prefix="otel-codomon-") as folder:
        places = {"tool": tool, "source": str(source), "binary": str(Path(folder, "main"))}
        homes = [str(Path.home() / part) for part in toolchain.homes]
        readable = [str(source.absolute()), *homes]
        if toolchain.compile:
            argv = fill(toolchain.compile, **places)
            _compile(args, argv, words[0], folder=folder, readable=readable)
        yield Start(
            [*fill(toolchain.run, **places), *words[1:]],
            language=toolchain.language,
            readable=[*readable, folder],
        )


def _toolchain(language: str) -> Toolchain:
    toolchain = BY_LANGUAGE.get(known_language(language) or "")
    if toolchain is None:
        raise InvalidArgumentError(
            "language",
            f"cannot run source text in {language!r}: it is no language that can be run here; "
            f"use one of {', '.join(sorted(BY_LANGUAGE))}",
        )
    return toolchain


def _compile(
    args: Options, argv: Sequence[str], source: str, *, folder: str, readable: Sequence[str]
) -> None:
    compiler = Path(argv[0])
    code: int | None
    if args.isolation == "none":
        done = subprocess.run(  # noqa: S603 - from the table
            argv, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
        )
        code = done.returncode
    else:
        code = _compile_isolated(args, argv, folder=folder, readable=readable)
    if code != 0:
        raise CodomonError(
            f"cannot run {source!r}: {compiler.name} refuses it; correct what is said above"
        )


def _compile_isolated(
    args: Options, argv: Sequence[str], *, folder: str, readable: Sequence[str]
) -> int | None:
    env = build_environment(os.environ, given=None, allowed=args.allow_env or ())
    command = isolated(argv[0], argv, env, args, readable=readable, writable=[folder])
    try:
        ending = run_to_end(command, deadline=None, on_start=lambda _: None)
    except UnavailableError as error:
        raise CodomonError(str(error)) from None
    os.write(_STDERR, ending.output.kept + ending.errors.kept)
    return ending.returncode
