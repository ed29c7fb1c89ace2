"""The command line: prints what the operations return.

One command is one module with ``HELP``, ``EXAMPLES``, ``add_arguments(parser)``
and ``run(args) -> int``, and a row in `COMMANDS`. Only the module of the command
that was asked for is imported, and nothing here imports what takes
milliseconds: `otel-codomon run` starts its command before it does anything else.
"""

from __future__ import annotations

import os
import sys

from otel_codomon.cli.standard_streams import let_go_of_stdout, open_missing, write_error
from otel_codomon.errors import CodomonError, InvalidArgumentError

# Not from typing: its import alone takes as long as half a start of Python.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    class Command(Protocol):
        """What the module of a command has in it."""

        HELP: str
        EXAMPLES: str

        @staticmethod
        def add_arguments(parser: argparse.ArgumentParser, /) -> None:
            """Declare the command's options and arguments."""

        @staticmethod
        def run(args: argparse.Namespace, /) -> int:
            """Do it; the exit code."""


PROGRAM = "otel-codomon"

# Name of each command: the module it is in, and one line of help, which is here
# as well as in the module so that `--help` imports none of them.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("otel_codomon.cli.run_command", "run a command as one execution"),
    "demo": ("otel_codomon.cli.demo", "run real programs and show what was recorded"),
    "list": (
        "otel_codomon.cli.list_executions",
        "list the executions of this machine, running and finished",
    ),
    "show": ("otel_codomon.cli.show", "show one execution, with its curve"),
    "top": ("otel_codomon.cli.top", "show the running executions, live"),
    "monitor-stats": (
        "otel_codomon.cli.monitor_stats",
        "show live statistics of the host and of running executions",
    ),
    "cache-info": (
        "otel_codomon.cli.cache_info",
        "show the caches of the running processes, or empty them",
    ),
    "report": (
        "otel_codomon.cli.report",
        "report what is wrong with the executions of this machine, and what to do",
    ),
    "doctor": ("otel_codomon.cli.doctor", "check what works on this machine and what does not"),
    "journal": (
        "otel_codomon.cli.journal",
        "show what is in the journal, deliver it now, or delete it",
    ),
    "mcp": ("otel_codomon.cli.mcp", "serve these commands to an agent as MCP tools on stdio"),
    "completion": (
        "otel_codomon.cli.completion",
        "print a shell completion script",
    ),
}

_GLOBAL = """
otel-codomon -v report
otel-codomon -i 5 list
"""

FAILURE = 1
WRONG_USAGE = 2
# As a shell reports the death by a signal: 128 + SIGINT, 128 + SIGPIPE.
INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: What follows the program's name; None for this process's own.

    Returns:
        The exit code: the observed command's own for ``run``; otherwise 0, 1
        for a failure that was explained on stderr, 2 for wrong usage.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    open_missing()
    _report_what_cannot_be_encoded()
    try:
        code = _run_command(arguments)
        sys.stdout.flush()
    except CodomonError as error:
        write_error(f"{PROGRAM}: {_one_line(error)}\n")
        return WRONG_USAGE if isinstance(error, InvalidArgumentError) else FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        let_go_of_stdout()
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is not None:
            raise
        let_go_of_stdout()  # a full disk, or closed: only writing tells nothing of a file
        write_error(
            f"{PROGRAM}: cannot write to standard output: {os.strerror(error.errno or 0)}\n"
        )
        return FAILURE
    return code


def _run_command(arguments: list[str]) -> int:
    arguments = _command_first(arguments)
    row = COMMANDS.get(arguments[0]) if arguments else None
    if row is None:
        return _explain(arguments)
    from importlib import import_module  # noqa: PLC0415 - only the chosen command's module

    command: Command = import_module(row[0])  # type: ignore[assignment] # what the table promises
    read_plainly = getattr(command, "plain_arguments", None)
    if read_plainly is not None and (args := read_plainly(arguments[1:])) is not None:
        return command.run(args)
    parser = parser_of(arguments[0], command)
    try:
        args = parser.parse_args(arguments[1:])
    except SystemExit as stop:  # argparse has said what there is to say
        return _code_of(stop)
    if hasattr(args, "answer_file"):
        from otel_codomon.cli.answering import answer  # noqa: PLC0415 - not for `run`

        return answer(command.run, args)
    return command.run(args)


def _command_first(arguments: list[str]) -> list[str]:
    """*arguments* with the global options that stand before the command put behind it."""
    at = 0
    while at < len(arguments):
        word = arguments[at]
        if word in ("-i", "-vi", "--interval"):  # the seconds are the next word
            at += 2
        elif word == "--verbose" or word.startswith(("-v", "-i", "--interval=")):
            at += 1
        else:
            break
    return [*arguments[at : at + 1], *arguments[:at], *arguments[at + 1 :]]


def parser_of(name: str, command: Command) -> argparse.ArgumentParser:
    """The parser of the command called *name*, with everything it takes."""
    parser = _parser(f"{PROGRAM} {name}", command.HELP, command.EXAMPLES)
    command.add_arguments(parser)
    return parser


def _explain(arguments: list[str]) -> int:
    """Answer a line that names no command: the status, help, version, or what is wrong with it."""
    from otel_codomon.cli.global_options import add_global_options  # noqa: PLC0415 - not for a command

    parser = _parser(PROGRAM, "record executions: a span for each, and what it used", _GLOBAL)
    add_global_options(parser)
    listed = parser.add_subparsers(metavar="COMMAND", title="commands", dest="command")
    for name, (_, help_line) in COMMANDS.items():
        listed.add_parser(name, help=help_line, add_help=False)
    try:
        if arguments and arguments[0][:1] != "-":
            parser.error(_unknown(arguments[0]))
        parser.parse_args(arguments)
    except SystemExit as stop:  # as above
        return _code_of(stop)
    from otel_codomon.cli.status import print_status  # noqa: PLC0415 - this alone

    return print_status()


def _unknown(word: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only for a message

    near = get_close_matches(word, COMMANDS, n=1)
    hint = f" (did you mean {near[0]}?)" if near else f": use one of {', '.join(COMMANDS)}"
    return f"unknown command {word!r:.40}{hint}"


def _parser(program: str, description: str, examples: str = "") -> argparse.ArgumentParser:
    # Not for who imports a constant of this module.
    from otel_codomon.cli.parser import make_parser  # noqa: PLC0415

    return make_parser(program, description, examples)


def _code_of(stop: SystemExit) -> int:
    return stop.code if isinstance(stop.code, int) else WRONG_USAGE


def _one_line(error: CodomonError) -> str:
    # Only for a message.
    from otel_codomon._platform.known_secrets import known_secrets  # noqa: PLC0415
    from otel_codomon._platform.printable import printable  # noqa: PLC0415
    from otel_codomon._platform.scrubbing import scrub  # noqa: PLC0415

    return printable(scrub(" ".join(str(error).split()), known_secrets()))


def _report_what_cannot_be_encoded() -> None:
    """Where the locale has no such character print its code, rather than fail."""
    if hasattr(sys.stdout, "reconfigure"):  # a test or an embedder may have put another file there
        sys.stdout.reconfigure(errors="backslashreplace")
