"""``otel-codomon completion``: a script with which a shell completes the commands."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from otel_codomon.cli import options
from otel_codomon.cli.answering import add_answer_file
from otel_codomon.errors import CodomonError, InvalidArgumentError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from otel_codomon.journal.execution_record import ExecutionRecord

HELP: str = "print a shell completion script"
EXAMPLES: str = """\
otel-codomon completion bash > ~/.local/share/bash-completion/completions/otel-codomon
otel-codomon completion zsh > "${fpath[1]}/_otel-codomon"
otel-codomon completion fish > ~/.config/fish/completions/otel-codomon.fish
"""

SHELLS: Final = ("bash", "zsh", "fish", "tcsh")
# The newest executions, of which the names and ids are completed.
_NEWEST: Final = 1000
# Bash and tcsh expand what they complete: a name with any other character could be a command.
_HARMLESS: Final = re.compile(r"[A-Za-z0-9_./+][A-Za-z0-9_./+,-]*")


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """For which shell, or the words that a script asks for."""
    parser.add_argument("shell", nargs="?", choices=SHELLS, help="the shell")
    parser.add_argument(
        "--words",
        choices=("names", "ids"),
        help="print the names or ids of recent executions, which a completion script asks for",
    )
    options.add_verbose(parser)
    add_answer_file(parser)


def run(args: argparse.Namespace, /) -> int:
    """Print the script, or the words."""
    if args.words is not None:
        sys.stdout.write("".join(f"{word}\n" for word in _words(args.words)))
        return 0
    if args.shell is None:
        raise InvalidArgumentError("shell", f"no shell given: choose from {', '.join(SHELLS)}")
    if find_spec("shtab") is None:
        raise CodomonError(
            "cannot make a completion script: the package shtab is not installed; "
            "install it with `pip install 'otel-codomon[completion]'`"
        )
    import shtab  # noqa: PLC0415 - an extra

    from otel_codomon.cli.every_command import one_parser  # noqa: PLC0415 - imports every command

    parser = one_parser()
    _say_what_values_are(parser)
    sys.stdout.write(shtab.complete(parser, args.shell))
    return 0


def _say_what_values_are(parser: argparse.ArgumentParser) -> None:
    """Tell shtab which arguments are files, directories, names or ids of executions."""
    import shtab  # noqa: PLC0415 - as above

    values = {
        "name": _asked_for("names"),
        "id": _asked_for("ids"),
        "journal": shtab.DIRECTORY,
        "directory": shtab.DIRECTORY,
        "writable": shtab.DIRECTORY,
        "answer_file": shtab.FILE,
        "output_file": shtab.FILE,
        "output": shtab.FILE,
        "html": shtab.FILE,
    }
    for action in parser._actions:  # noqa: SLF001 - argparse shows them nowhere else
        if action.dest in values:
            action.complete = values[action.dest]  # type: ignore[attr-defined] # read by shtab
        if action.dest == "command" and isinstance(action.choices, dict):
            for below in action.choices.values():
                _say_what_values_are(below)


def _asked_for(words: str) -> dict[str, Any]:
    """What makes a shell ask for *words* at each Tab; zsh would ask once, when it starts."""
    import shtab  # noqa: PLC0415 - as above

    command = f"otel-codomon completion --words {words}"
    return {**shtab.cmd(command), "zsh": f"{{compadd -- \\$({command})}}"}


def _words(which: str) -> Iterable[str]:
    """The names or ids of recent executions; none where the journal cannot be read."""
    from otel_codomon.cli.list_executions import id_digits  # noqa: PLC0415 - reads the journal

    try:
        records = list(_recent())
    except (CodomonError, OSError):  # a shell would print the reason in the middle of the line
        return ()
    if which == "names":
        return sorted({r.labels.name for r in records if _HARMLESS.fullmatch(r.labels.name)})
    ids = [record.execution_id for record in records]
    digits = id_digits(ids)
    return [one[:digits] for one in ids if _HARMLESS.fullmatch(one)]


def _recent() -> Iterator[ExecutionRecord]:
    from otel_codomon.journal.location import find_journal  # noqa: PLC0415 - as above
    from otel_codomon.journal.reader import JournalReader  # noqa: PLC0415 - as above

    return JournalReader(find_journal()).executions(limit=_NEWEST, keys=frozenset())
