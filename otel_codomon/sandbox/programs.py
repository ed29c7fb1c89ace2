"""What has to be seen for a program to start: links, interpreter, libraries."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_codomon.sandbox.bubblewrap import is_within

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Add-on packages have a directory each.
ADD_ONS: Final = "/opt"
# Of an installation outside of the system: what runs, and none of what else
# lies there, such as credentials.
_INSTALLED: Final = ("bin", "lib", "lib64", "libexec", "include", "pyvenv.cfg")
_FIRST_LINE_BYTES: Final = 256  # all that the kernel reads of it
_MOST_LINKS: Final = 40  # as the kernel, path_resolution(7)


def files_of(path: str, *, writable: Iterable[str]) -> list[str]:
    """Return the program at *path*, the links it leads through, and its interpreter's.

    A program in a directory that the command may write to can be the work of an
    earlier command: where it leads is then not shown, except to the Python that
    we run in.
    """
    starts: tuple[str, ...] = (path, *_interpreter(path))
    if any(is_within(path, place) for place in writable):
        starts = tuple(filter(_is_ours, starts))
    return [step for start in starts for step in _links(start)] or [path]


def add_ons(files: Iterable[str]) -> Iterator[str]:
    """Of /opt the packages that *files* are in."""
    for file in files:
        if is_within(file, ADD_ONS):
            yield "/".join(file.split("/")[:3])


def installation_of(files: Iterable[str]) -> Iterator[str]:
    """The parts of installations that *files* are in, and those that are in none."""
    steps = list(files)
    prefixes = {str(Path(step).parent.parent) for step in steps if _is_installed(step)}
    if any(_is_ours(step) for step in steps):
        prefixes |= {sys.prefix, sys.base_prefix}
    for prefix in sorted(prefixes):
        yield from (f"{prefix}/{part}" for part in _INSTALLED)
    yield from (step for step in steps if not _is_installed(step))


def _links(path: str) -> Iterator[str]:
    seen = [path]
    while os.path.islink(seen[-1]) and len(seen) < _MOST_LINKS:  # noqa: PTH114 - text, as below
        target = os.path.join(os.path.dirname(seen[-1]), os.readlink(seen[-1]))  # noqa: PTH115, PTH118, PTH120
        seen.append(os.path.normpath(target))
    yield from dict.fromkeys((*seen, os.path.realpath(path)))


def _interpreter(path: str) -> Iterator[str]:
    """What the first line of a script names."""
    with suppress(OSError), open(path, "rb") as file:  # noqa: PTH123 - text
        words = file.read(_FIRST_LINE_BYTES).partition(b"\n")[0].split()
        if words and words[0].startswith(b"#!"):
            name = os.fsdecode(words[0][2:] or b"".join(words[1:2]))
            if name.startswith("/"):
                yield name


def _is_ours(path: str) -> bool:
    return bool(sys.executable) and os.path.realpath(path) == os.path.realpath(sys.executable)


def _is_installed(path: str) -> bool:
    """Whether it lies with other programs, and its libraries beside them."""
    return Path(path).parent.name in ("bin", "sbin")
