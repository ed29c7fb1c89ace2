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
from otel_codomon.errors import CodomonError, InvalidArgumentError
from otel_codomon.sandbox.toolchains import BY_LANGUAGE, UnavailableError, fill
from otel_codomon.values.languages import known_language

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_codomon.sandbox.toolchains import Toolchain


@contextmanager
def source_start(language: str, words: Sequence[str]) -> Iterator[Start]:
    """Yield what runs the file ``words[0]`` with the arguments after it.

    A compiler's messages go to stderr; what it made is removed at the end.

    Raises:
        InvalidArgumentError: The language or the file is none that can be run.
        CodomonError: There is no toolchain, or the source text does not compile.
    """
    toolchain = _toolchain(language)
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
        if toolchain.compile:
            _compile(fill(toolchain.compile, **places), words[0])
        yield Start(
            [*fill(toolchain.run, **places), *words[1:]],
            language=toolchain.language,
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


def _compile(argv: Sequence[str], source: str) -> None:
    compiler = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)  # noqa: S603 - from the table
    if compiler.returncode != 0:
        raise CodomonError(
            f"cannot run {source!r}: {Path(argv[0]).name} refuses it; correct what is said above"
        )
