"""The parsers of all commands together, for what is made from them: completion and the manual."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from otel_codomon.cli import COMMANDS, PROGRAM, parser_of
from otel_codomon.cli.global_options import add_global_options
from otel_codomon.cli.parser import Parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each command's name and its parser, in the order of the table."""
    for name, (module, _) in COMMANDS.items():
        yield name, parser_of(name, import_module(module))  # type: ignore[arg-type] # what the table promises


def one_parser() -> Parser:
    """One parser with a subparser for each command. It is not for parsing: each imports its own."""
    whole = Parser(prog=PROGRAM, allow_abbrev=False)
    add_global_options(whole)
    listed = whole.add_subparsers(metavar="COMMAND", title="commands", dest="command")
    for name, (module, help_line) in COMMANDS.items():
        import_module(module).add_arguments(listed.add_parser(name, help=help_line))
    return whole
