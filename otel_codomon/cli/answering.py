"""What every command that gives an answer can do with it: write it into a file, give it again."""

from __future__ import annotations

import io
import os
import sys
import time
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_codomon.cli import options, output
from otel_codomon.errors import CodomonError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

_CLEAR: Final = "\x1b[H\x1b[2J"


def add_answer_options(parser: argparse.ArgumentParser, /) -> None:
    """``--output-file`` and ``--interval``, for a command that gives one answer."""
    add_answer_file(parser)
    add_repeat(parser)


def add_answer_file(parser: argparse.ArgumentParser, /) -> None:
    """``--output-file``."""
    parser.add_argument(
        "-o",
        "--output-file",
        dest="answer_file",
        metavar="FILE",
        help="write the answer to FILE instead of standard output",
    )


def add_repeat(parser: argparse.ArgumentParser, /) -> None:
    """``--interval``."""
    parser.add_argument(
        "-i",
        "--interval",
        dest="repeat_seconds",
        type=options.positive_seconds,
        metavar="SECONDS",
        help="show the answer again every SECONDS, until Ctrl-C",
    )


def answer(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run a command as often as was asked for, with its answer where it was asked for.

    Args:
        run: The command.
        args: Its arguments, `add_answer_options` among them.

    Returns:
        Its exit code.

    Raises:
        CodomonError: The file cannot be written.
    """
    repeat_seconds = getattr(args, "repeat_seconds", None)  # not all have one to repeat
    while True:
        if repeat_seconds is not None and output.is_terminal() and output.can_move():
            sys.stdout.write(_CLEAR)
        with _stdout_in(args.answer_file):
            code = run(args)
        sys.stdout.flush()
        if repeat_seconds is None:
            return code
        time.sleep(repeat_seconds)


@contextmanager
def _stdout_in(name: str | None) -> Iterator[None]:
    """Have what is printed in a file, once it is complete: a command that fails leaves it alone."""
    if name is None:
        yield
        return
    text = io.StringIO()
    with redirect_stdout(text):
        yield
    data = text.getvalue().encode("utf-8", "backslashreplace")
    try:
        _write_whole(Path(name), data)
    except OSError as error:
        raise CodomonError(
            f"cannot write the answer to {name}: {error.strerror}; name a file that can be written"
        ) from error


def _write_whole(path: Path, data: bytes) -> None:
    """Write beside *path* first; directly into what is no file, such as a pipe."""
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path = path.resolve()
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
