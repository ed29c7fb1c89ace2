"""What every command that gives an answer can do with it: write it into a file, give it again."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_codomon.cli import options, output
from otel_codomon.errors import CodomonError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

_CLEAR: Final = "\x1b[H\x1b[2J"


def add_answer_options(parser: argparse.ArgumentParser, /) -> None:
    """``--output`` and ``--interval``, for a command that gives one answer."""
    parser.add_argument(
        "-o",
        "--output",
        dest="answer_file",
        metavar="FILE",
        help="write the answer into FILE instead of stdout",
    )
    parser.add_argument(
        "-i",
        "--interval",
        dest="repeat_seconds",
        type=options.positive_seconds,
        metavar="SECONDS",
        help="give the answer again every SECONDS, until Ctrl-C",
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
    while True:
        if args.repeat_seconds is not None and output.is_terminal() and output.can_move():
            sys.stdout.write(_CLEAR)
        with _stdout_in(args.answer_file):
            code = run(args)
        sys.stdout.flush()
        if args.repeat_seconds is None:
            return code
        time.sleep(args.repeat_seconds)


@contextmanager
def _stdout_in(name: str | None) -> Iterator[None]:
    """Have what is printed in a file: beside it first, so that there is never half of it."""
    if name is None:
        yield
        return
    path = Path(name)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    before = sys.stdout
    try:
        with beside.open("w", encoding="utf-8", errors="backslashreplace") as file:
            sys.stdout = file
            try:
                yield
            finally:
                sys.stdout = before
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CodomonError(
            f"cannot write the answer to {name}: {error.strerror}; name a file that can be written"
        ) from error
