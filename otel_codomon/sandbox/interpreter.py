"""A Python to run programs of our own in: the one we are in, where that can be started.

A program that embeds Python may leave anything in `sys.executable`: nothing, its
own binary, a script. Started with arguments for Python, that would be a wrong
program, which may do anything or never end.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME: Final = re.compile(r"(python|pypy)[\d.]*[a-z]?(\.exe)?", re.IGNORECASE)
_OWN_BINARY: Final = "/proc/self/exe"
# What is asked takes a Python 10 ms: this is for a machine under load.
_ANSWER_SECONDS: Final = 10.0
_QUESTION: Final = "import sys; print(sys.version_info[0])"


def interpreter() -> str | None:
    """Return the path of a Python that can be started; None where none is found.

    Looks where we run from, then on the PATH. A frozen program has none of its own.
    """
    return _find(sys.executable, os.environ.get("PATH"))


@cache
def _find(executable: object, search_path: str | None) -> str | None:
    for path in _candidates(executable, search_path):
        if _may_be_python(path) and (_is_our_binary(path) or _answers(path)):
            return path
    return None


def _candidates(executable: object, search_path: str | None) -> Iterator[str]:
    if isinstance(executable, str) and not getattr(sys, "frozen", False):
        yield executable
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        for prefix in dict.fromkeys((sys.exec_prefix, sys.base_exec_prefix)):
            yield os.path.join(prefix, "bin", f"python{version}")
    folders = [part for part in (search_path or "").split(os.pathsep) if os.path.isabs(part)]
    found = shutil.which("python3", path=os.pathsep.join(folders) or os.devnull)
    if found is not None:
        yield found


def _may_be_python(path: str) -> bool:
    """Whether it is called as one, and is a binary: a script may start anything."""
    if not (os.path.isabs(path) and _NAME.fullmatch(os.path.basename(path))):
        return False
    try:
        with open(path, "rb") as file:
            return os.access(path, os.X_OK) and file.read(2) != b"#!"
    except (OSError, ValueError):  # not there, a directory, or no path at all
        return False


def _is_our_binary(path: str) -> bool:
    try:
        return os.path.samefile(path, _OWN_BINARY)
    except OSError:  # no /proc
        return False


def _answers(path: str) -> bool:
    """Whether the program at *path* does what Python does."""
    try:
        done = subprocess.run(  # noqa: S603 - a program of this user, called python
            [path, "-I", "-S", "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.split() == [b"3"]
