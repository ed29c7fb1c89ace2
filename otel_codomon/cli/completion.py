"""``otel-codomon completion``: a script with which a shell completes the commands."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from otel_codomon.errors import CodomonError

if TYPE_CHECKING:
    import argparse

HELP: str = "print a shell completion script"
EXAMPLES: str = """\
otel-codomon completion bash > ~/.local/share/bash-completion/completions/otel-codomon
otel-codomon completion zsh > "${fpath[1]}/_otel-codomon"
"""


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """For which shell."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell")


def run(args: argparse.Namespace, /) -> int:
    """Print the script."""
    if find_spec("shtab") is None:
        raise CodomonError(
            "cannot make a completion script: the package shtab is not installed; "
            "install it with `pip install 'otel-codomon[completion]'`"
        )
    import shtab  # noqa: PLC0415 - an extra

    from otel_codomon.cli.every_command import one_parser  # noqa: PLC0415 - imports every command

    sys.stdout.write(shtab.complete(one_parser(), args.shell))
    return 0
