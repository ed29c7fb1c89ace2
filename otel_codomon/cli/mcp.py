"""``otel-codomon mcp``: the operations as tools of a Model Context Protocol server."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from otel_codomon.cli import options, output
from otel_codomon.cli.run_options import Option
from otel_codomon.cli.sizes import limit_bytes, positive_number, positive_whole, size_bytes
from otel_codomon.errors import CodomonError
from otel_codomon.resources.limits import Limits

if TYPE_CHECKING:
    import argparse

    from otel_codomon.sandbox.agent_runs import Allowance

HELP: str = "serve these commands to an agent as MCP tools on stdio"
EXAMPLES: str = """\
otel-codomon mcp
otel-codomon mcp --allow-run --timeout 30 --limit-memory 512M --directory ./scratch
otel-codomon mcp --allow-run --isolation none --allow-clear
"""

MIB: Final = 1024**2
_PRIVATE_DISK_BYTES: Final = 512 * MIB


def _directory(text: str, /) -> str:
    """The path of a directory that is there.

    Raises:
        ValueError: It is none; its text says what to do.
    """
    path = os.path.realpath(text)
    if not text or not os.path.isdir(path):  # noqa: PTH112 - a text, as `run` takes it
        raise ValueError(f"{text!r:.80} is not a directory: create it, or choose another")
    return path


# What the agent's commands may do at most; the agent itself can only ask for less.
OPTIONS: Final = (
    Option(
        "--isolation",
        choices=("bubblewrap", "none"),
        default="bubblewrap",
        help="how commands are isolated: bubblewrap (the tool run is not offered where it does not "
        "work), or none, which is no security boundary (default: %(default)s)",
    ),
    Option(
        "--directory",
        convert=_directory,
        metavar="DIRECTORY",
        help="working directory of commands, which they may write to (default: a private one for "
        "each command in isolation, otherwise the server's)",
    ),
    Option(
        "--timeout",
        convert=positive_number,
        default=60.0,
        metavar="SECONDS",
        help="time limit of each command (default: 60)",
    ),
    Option(
        "--limit-cpu",
        dest="cpu_seconds",
        convert=positive_number,
        metavar="SECONDS",
        help="CPU time of the process tree",
    ),
    Option(
        "--limit-memory",
        dest="memory_bytes",
        convert=limit_bytes,
        default=1024 * MIB,
        metavar="SIZE",
        help="memory of the process tree (default: 1G)",
    ),
    Option(
        "--limit-processes",
        dest="processes",
        convert=positive_whole,
        default=64,
        metavar="N",
        help="processes in the tree at the same time (default: %(default)s)",
    ),
    Option(
        "--limit-disk",
        dest="disk_bytes",
        convert=limit_bytes,
        metavar="SIZE",
        help="disk space added where the command may write (default: 512M in a private directory, "
        "no limit in one that you name)",
    ),
    Option(
        "--limit-file-size",
        dest="file_size_bytes",
        convert=limit_bytes,
        metavar="SIZE",
        help="size of each file written",
    ),
    Option(
        "--limit-open-files",
        dest="open_files",
        convert=positive_whole,
        metavar="N",
        help="open files of each process",
    ),
    Option(
        "--limit-output",
        dest="output_bytes",
        convert=size_bytes,
        default=20_000,
        metavar="SIZE",
        help="bytes of each output stream that the agent gets (default: 20000)",
    ),
)


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """What the agent may do besides looking, and what its commands may."""
    parser.add_argument("--allow-run", action="store_true", help="let the agent run commands")
    parser.add_argument(
        "--allow-clear", action="store_true", help="let the agent empty caches of running processes"
    )
    options.add_journal(parser)
    options.add_verbose(parser)
    group = parser.add_argument_group("limits on commands; the agent can only ask for less")
    for option in OPTIONS:
        option.add_to(group)


def run(args: argparse.Namespace, /) -> int:
    """Serve until stdin ends."""
    if find_spec("mcp") is None:
        raise CodomonError(
            "cannot serve MCP: the package mcp is not installed; "
            "install it with `pip install 'otel-codomon[mcp]'`"
        )
    from otel_codomon.mcp import serve  # noqa: PLC0415 - its import takes half a second

    allowance = _allowance(args) if args.allow_run else None
    wire = _divert_stdout()
    if allowance is not None:
        _record_in(args.journal)
    # Last: what was imported before writes to where the old one leads.
    sys.stdout = open(wire, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - a descriptor, open to the end
    serve(journal=args.journal, allowance=allowance, may_clear=args.allow_clear)
    return 0


def _divert_stdout() -> int:
    """A descriptor of stdout for the protocol alone; what others print goes to stderr.

    An exporter to the console, which the environment may ask for, would print
    between the messages.
    """
    wire = os.dup(1)
    try:
        os.dup2(2, 1)
    except OSError:  # stderr is closed
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.close(nothing)
    return wire


def _allowance(args: argparse.Namespace) -> Allowance | None:
    """What commands may do; None, with the reason on stderr, where none can be run."""
    from otel_codomon.sandbox.agent_runs import Allowance, why_not  # noqa: PLC0415 - only for `run`

    limits = {each.name: getattr(args, each.name) for each in fields(Limits)}
    # Of a directory that is not ours every file is counted first, which may take long.
    is_private = args.isolation != "none" and args.directory is None
    if limits["disk_bytes"] is None and is_private:
        limits["disk_bytes"] = _PRIVATE_DISK_BYTES
    allowance = Allowance(
        isolation=args.isolation,
        limits=Limits(**limits),
        timeout_seconds=args.timeout,
        directory=args.directory,
    )
    reason = why_not(allowance)
    if reason is None:
        return allowance
    way_out = (
        ""
        if args.isolation == "none"
        else ("; fix that, or use --isolation none, which is no security boundary")
    )
    output.complain(f"otel-codomon mcp: the tool run is not offered: {reason}{way_out}")
    return None


def _record_in(journal: str | None) -> None:
    """Have what the agent runs recorded like any execution."""
    from otel_codomon.configuration import configure  # noqa: PLC0415 - only for `run`
    from otel_codomon.journal.location import find_journal  # noqa: PLC0415 - as above
    from otel_codomon.journal.records import resource  # noqa: PLC0415 - as above

    configure(
        service_name=str(resource(service_name="otel-codomon-mcp")["service.name"]),
        journal=None if journal is None else find_journal(journal),
    )
