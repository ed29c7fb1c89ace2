"""The parser of the commands: what is wrong goes on one line, with the way to more."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser that answers wrong usage with one line, not with all of its usage."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong on stderr and leave with exit code 2."""
        said = " ".join(message.split())
        self.exit(2, f"{self.prog}: {said}; see `{self.prog} --help`\n")


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
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
