"""``otel-codomon run --isolation``: the same command, inside bubblewrap.

As with `otel_codomon.run`, but for the working directory: it is the one that the
user is in, which the command sees and may write to only when that is said.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from otel_codomon.cli.start import SetupError
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.resources.limits import Limits
from otel_codomon.sandbox.command import Command
from otel_codomon.sandbox.isolation import isolate
from otel_codomon.sandbox.shown import resolve_shown
from otel_codomon.sandbox.toolchains import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_codomon.cli.run_options import Options


def isolated(
    path: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    options: Options,
    *,
    readable: Iterable[str] = (),
    writable: Iterable[str] = (),
) -> Command:
    """Return the command that runs *argv* inside bubblewrap.

    Args:
        path: The program.
        argv: What it finds as its name and arguments.
        env: Its whole environment.
        options: What the user said.
        readable: Files and directories it is shown besides the working directory.
        writable: Directories it may write to besides those the user named.

    Raises:
        InvalidArgumentError: A directory shows too much, or is none.
        SetupError: It cannot be isolated here.
    """
    cwd = resolve_shown(_working_directory(), argument="cwd", environ=os.environ)
    command = Command(
        path=path,
        argv=tuple(argv),
        env=env,
        cwd=cwd,
        limits=Limits(memory_bytes=options.memory_bytes, disk_bytes=options.disk_bytes),
    )
    named = [_directory(text) for text in options.writable or ()]
    try:
        return isolate(command, writable=[*named, *writable], readable=[cwd, *readable])
    except UnavailableError as error:
        raise SetupError(str(error)) from None


def _working_directory() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        raise InvalidArgumentError(
            "cwd", "cannot isolate here: the working directory was deleted; change to another"
        ) from None


def _directory(text: str) -> str:
    if not Path(text).is_dir():
        raise InvalidArgumentError(
            "writable",
            f"cannot make {text!r} writable: not a directory; create it first",
        )
    return resolve_shown(text, argument="writable", environ=os.environ)
