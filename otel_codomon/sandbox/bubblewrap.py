"""Find the bubblewrap that can be trusted: ours, real, new enough, out of the command's reach."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_codomon.sandbox.toolchains import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

# The first with --disable-userns and --assert-userns-disabled.
_OLDEST: Final = (0, 8)
_ELF: Final = b"\x7fELF"
_VERSION: Final = re.compile(rb"bubblewrap (\d+)\.(\d+)")
_VERSION_SECONDS: Final = 10
_CANNOT: Final = "cannot isolate with bubblewrap: "


def find_bubblewrap(search_path: str | None, *, writable: Iterable[str]) -> str:
    """Return the path of the bubblewrap on *search_path*.

    The first file called bwrap decides: where it cannot be used, no other is
    tried. Only absolute directories are searched, and none that the command or
    another user may write to.

    Args:
        search_path: The PATH of this process, never the command's.
        writable: Directories that the command may write to, links resolved.

    Raises:
        UnavailableError: There is none, or it cannot be used.
    """
    for directory in (search_path or os.defpath).split(os.pathsep):
        path = f"{directory}/bwrap"
        if not directory.startswith("/") or not os.path.lexists(path):
            continue
        real = os.path.realpath(path)
        if not any(_is_reachable(place, writable) for place in (path, real)):
            _check(path, real)
            return real
    raise UnavailableError(
        f"{_CANNOT}no bwrap on the PATH, of which only absolute directories that the command "
        "cannot write to are searched; install the package bubblewrap"
    )


def _is_reachable(path: str, writable: Iterable[str]) -> bool:
    """Whether the command, or any user of this machine, could put a program at *path*."""
    directory = os.path.realpath(os.path.dirname(path))  # noqa: PTH120 - text, as all of this
    if any(is_within(directory, place) for place in writable):
        return True
    try:
        mode = os.stat(directory).st_mode  # noqa: PTH116 - as above
        above = [parent.stat().st_mode for parent in Path(directory).parents]
    except OSError:  # it is gone: there is nothing in it
        return True
    # In a sticky directory nobody renames what belongs to another user.
    return any(each & stat.S_IWOTH for each in (mode, *(m for m in above if not m & stat.S_ISVTX)))


def is_within(path: str, directory: str) -> bool:
    """Whether *path* is *directory* or below it, compared by components."""
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def _check(path: str, real: str) -> None:
    found = _what_is_wrong(real)
    if found is not None:
        raise UnavailableError(
            f"{_CANNOT}{path!r} {found}; install the package bubblewrap, 0.8 or later"
        )


def _what_is_wrong(real: str) -> str | None:
    try:
        status = os.stat(real)  # noqa: PTH116 - text
        if not stat.S_ISREG(status.st_mode):
            return "is not a regular file"
        if not os.access(real, os.X_OK):
            return "may not be executed"
        with open(real, "rb") as file:  # noqa: PTH123 - text
            if file.read(len(_ELF)) != _ELF:
                return "is a script or another file that is not a program of this machine"
    except OSError as error:
        return f"cannot be read ({(error.strerror or 'unknown error').lower()})"
    return _too_old(real, (status.st_dev, status.st_ino, status.st_mtime_ns))


@cache
def _too_old(real: str, identity: tuple[int, int, int]) -> str | None:
    """Ask the program for its version, once as long as it is the same file."""
    del identity
    try:
        told = subprocess.run(  # noqa: S603 - checked above; its exit code says nothing
            [real, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            timeout=_VERSION_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not report its version ({type(error).__name__})"
    version = _VERSION.match(told)
    if version is None:
        return "does not report its version as bubblewrap does"
    if tuple(map(int, version.groups())) < _OLDEST:
        return f"is too old ({told.decode('ascii', 'replace').strip()})"
    return None
