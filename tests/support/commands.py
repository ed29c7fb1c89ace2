"""A command of the command line that tests put into the table."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from otel_codomon.errors import CodomonError, InvalidArgumentError

if TYPE_CHECKING:
    import argparse

HELP = "do what a test asks for"
EXAMPLES = "otel-codomon deed succeed"


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """Take the name of what is to happen."""
    parser.add_argument("what", choices=sorted(_DEEDS))


def run(args: argparse.Namespace, /) -> int:
    """Do it."""
    return _DEEDS[args.what]()


def _succeed() -> int:
    sys.stdout.write("done\n")
    return 0


def _fail() -> int:
    raise CodomonError("cannot do it:\nthere is nothing; make some")


def _misuse() -> int:
    raise InvalidArgumentError("what", "cannot do it: wrong; say it right")


def _interrupt() -> int:
    raise KeyboardInterrupt


def _flood() -> int:
    while True:
        os.write(sys.stdout.fileno(), b"x" * 65536)


_DEEDS = {
    "succeed": _succeed,
    "fail": _fail,
    "misuse": _misuse,
    "interrupt": _interrupt,
    "flood": _flood,
}
