"""A Python to run programs of our own in: the one we are in, where that can be started.

A program that embeds Python may leave anything in `sys.executable`: nothing, its
own binary, a script. Started with arguments for Python, that would be a wrong
program, which may do anything or never end.

Imports next to nothing while `sys.executable` is what it should be.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Iterator

_OWN_BINARY = "/proc/self/exe"
# What is asked takes a Python 10 ms: this is for a machine under load.
_ANSWER_SECONDS = 10.0
# An older one cannot read our programs.
_QUESTION = "import sys; print(sys.version_info >= (3, 10))"
# What was found for a `sys.executable` and a PATH.
_found: dict[tuple[object, str | None], str | None] = {}


def interpreter() -> str | None:
    """Return the path of a Python that can be started; None where none is found.

    Looks where we run from, then on the PATH. A frozen program has none of its own.
    """
    asked = sys.executable, os.environ.get("PATH")
    try:
        return _found[asked]
    except (KeyError, TypeError):  # for the first time; no text, and nothing that can be a key
        path = next(filter(_is_python, _candidates(*asked)), None)
    if isinstance(asked[0], (str, type(None))):
        _found[asked] = path
    return path


def _candidates(executable: object, search_path: str | None) -> Iterator[str]:
    if not getattr(sys, "frozen", False):
        if isinstance(executable, str):
            yield executable
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        for prefix in dict.fromkeys((sys.exec_prefix, sys.base_exec_prefix)):
            yield os.path.join(prefix, "bin", f"python{version}")
    for folder in (search_path or "").split(os.pathsep):
        if os.path.isabs(folder):
            yield os.path.join(folder, "python3")


def _is_python(path: str) -> bool:
    return _may_be_python(path) and (_is_our_binary(path) or _answers(path))


def _may_be_python(path: str) -> bool:
    """Whether it is called as one, and is a binary: a script may start anything."""
    if not (os.path.isabs(path) and _is_called_python(os.path.basename(path).lower())):
        return False
    try:
        with open(path, "rb") as file:
            return os.access(path, os.X_OK) and file.read(2) != b"#!"
    except (OSError, ValueError):  # not there, a directory, or no path at all
        return False


def _is_called_python(name: str) -> bool:
    """Whether *name* is one of ``python``, ``python3.13t``, ``pypy3``, ``python.exe``."""
    stem = name.removesuffix(".exe")
    for kind in ("python", "pypy"):
        if stem.startswith(kind):
            version = stem[len(kind) :].rstrip("dtw")
            return version.replace(".", "").isdigit() or not version
    return False


def _is_our_binary(path: str) -> bool:
    try:
        return os.path.samefile(path, _OWN_BINARY)
    except OSError:  # no /proc
        return False


def _answers(path: str) -> bool:
    """Whether the program at *path* does what Python does."""
    import subprocess  # noqa: PLC0415 - rarely

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
    return done.stdout.split() == [b"True"]
