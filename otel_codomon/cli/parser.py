"""The parser of the commands: what is wrong goes on one line, with the way to more."""

from __future__ import annotations

import argparse
import os

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from typing import NoReturn


_DEFAULT_COLUMNS = 80


class Parser(argparse.ArgumentParser):
    """An argument parser that answers wrong usage with one line, not with all of its usage."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong on stderr and leave with exit code 2."""
        said = " ".join(message.split())
        self.exit(2, f"{self.prog}: {said}; see `{self.prog} --help`\n")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of examples, and knows the width without argparse's look at it.

    That look imports shutil, whenever an argument is added: 8 ms of which a
    command that is to be run would have to wait.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    """Columns of the terminal, as `shutil.get_terminal_size` finds them."""
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(1).columns or _DEFAULT_COLUMNS
    except OSError:  # no terminal
        return _DEFAULT_COLUMNS


def make_parser(program: str, description: str, examples: str = "") -> Parser:
    """A parser for one command.

    Args:
        program: The command as it is typed.
        description: One line of help.
        examples: Lines that can be typed, shown below the options.
    """
    lines = "\n".join(f"  {line}" for line in examples.strip().splitlines())
    return Parser(
        prog=program,
        description=description[:1].upper() + description[1:] + ".",
        epilog=f"examples:\n{lines}" if lines else None,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
