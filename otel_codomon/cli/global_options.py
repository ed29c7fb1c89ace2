"""The options that may stand before the command."""

from __future__ import annotations

from otel_codomon.cli.answering import add_repeat
from otel_codomon.cli.options import add_verbose
from otel_codomon.version import __version__

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    import argparse


def add_global_options(parser: argparse.ArgumentParser) -> None:
    """Declare them on the parser of the program itself."""
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    add_verbose(parser)
    add_repeat(parser)
