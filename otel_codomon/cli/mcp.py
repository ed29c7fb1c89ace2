"""``otel-codomon mcp``: the operations as tools of a Model Context Protocol server."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from otel_codomon.cli import options
from otel_codomon.errors import CodomonError

if TYPE_CHECKING:
    import argparse

HELP: str = "serve the operations to an agent, as MCP tools on stdio"
EXAMPLES: str = """\
otel-codomon mcp
otel-codomon mcp --allow-run --allow-clear
"""


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """What the agent may do besides looking."""
    parser.add_argument(
        "--allow-run",
        action="append_const",
        dest="allowed",
        const="run",
        help="let it run commands, with the rights of this user",
    )
    parser.add_argument(
        "--allow-clear",
        action="append_const",
        dest="allowed",
        const="clear",
        help="let it empty caches of running processes",
    )
    options.add_journal(parser)


def run(args: argparse.Namespace, /) -> int:
    """Serve until stdin ends."""
    if find_spec("mcp") is None:
        raise CodomonError(
            "cannot serve MCP: the package mcp is not installed; "
            "install it with `pip install 'otel-codomon[mcp]'`"
        )
    from otel_codomon.mcp import serve  # noqa: PLC0415 - its import takes half a second

    serve(journal=args.journal, allowed=args.allowed or ())
    return 0
