"""``python -m tools.backends [NAME...]``: install the programs the tests run."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from tools.backends.install import InstallError, install
from tools.backends.programs import PROGRAMS, Program, cache_folder

if TYPE_CHECKING:
    from collections.abc import Sequence


def say(text: str, end: str = "\n") -> None:
    """Write *text* at once: what takes minutes must be seen to be at work."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def install_aloud(program: Program) -> bool:
    """Install *program*, say what is done and how long it took; True if it is there."""
    if program.installed:
        say(f"{program.name} {program.version}: there")
        return True
    say(f"{program.name} {program.version}: installing with {program.needs[0]} ... ", end="")
    began = time.monotonic()
    try:
        install(program)
    except (InstallError, OSError) as error:
        say(f"failed after {time.monotonic() - began:.0f} s\n{error}")
        return False
    say(f"done in {time.monotonic() - began:.0f} s")
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Install what is named, or all; 1 when one of them could not be."""
    parser = argparse.ArgumentParser(prog="python -m tools.backends", description=__doc__)
    names = [program.name for program in PROGRAMS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names)}; all if none")
    wanted = parser.parse_args(arguments).names or names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        parser.error(f"cannot install {', '.join(unknown)}: the programs are {', '.join(names)}")
    say(f"into {cache_folder()}")
    # All of them are tried: one that fails must not keep the others away.
    there = [install_aloud(program) for program in PROGRAMS if program.name in wanted]
    return 0 if all(there) else 1


if __name__ == "__main__":
    sys.exit(main())
