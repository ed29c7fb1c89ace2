"""``otel-codomon run``: a command as one execution, as if we were not there."""

from __future__ import annotations

import os

from otel_codomon.cli.run_options import declare, read_plainly
from otel_codomon.cli.run_start import run_start
from otel_codomon.cli.standard_streams import write_error
from otel_codomon.cli.start import Start
from otel_codomon.sandbox.sdk_free_execution import Identity

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    import argparse

    from otel_codomon.cli.run_options import Options

HELP = "run a command as one execution"
EXAMPLES = """
otel-codomon run -- make test
otel-codomon run --timeout 60 --limit-memory 512M -- python job.py
otel-codomon run --language c prime.c 1000
otel-codomon run --isolation bubblewrap --writable . -- python untrusted.py
otel-codomon run --quiet --format json --output-file usage.json -- ./build.sh
"""

WRONG_USAGE = 2


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """Declare what can be said of a command."""
    declare(parser)


def plain_arguments(arguments: list[str], /) -> Options | None:
    """The arguments where they are plain; None where argparse has to read them."""
    return read_plainly(arguments)


def run(args: Options, /) -> int:
    """Run the command; its exit code is ours."""
    words = words_of(args.command)
    if not words:
        write_error("otel-codomon run: no command; see `otel-codomon run --help`\n")
        return WRONG_USAGE
    if args.isolation == "none" and (args.writable or args.allow_env):
        write_error(
            "otel-codomon run: cannot use --writable or --allow-env: the command is not isolated "
            "and has your environment and permissions; add --isolation bubblewrap\n"
        )
        return WRONG_USAGE
    if args.language is None:
        return run_start(args, Start(words), Identity(os.environ))
    from otel_codomon.cli.run_source import run_source  # noqa: PLC0415 - only for source text

    return run_source(args, words)


def words_of(typed: list[str]) -> list[str]:
    """The command without the ``--`` that may stand before it."""
    return typed[1:] if typed[:1] == ["--"] else typed
