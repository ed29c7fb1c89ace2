"""``otel-codomon run --isolation``: the same command, inside bubblewrap.

As with `otel_codomon.run`, but for the working folder: it is the one that the
user is in, which the command sees and may write to only when that is said.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from otel_codomon.errors import CodomonError, InvalidArgumentError
from otel_codomon.sandbox.command import Command
from otel_codomon.sandbox.isolation import isolate
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
    is_telling: bool = True,
) -> Command:
    """Return the command that runs *argv* inside bubblewrap.

    Args:
        path: The program.
        argv: What it finds as its name and arguments.
        env: Its whole environment.
        options: What the user said.
        readable: Files and folders it is shown besides the working folder.
        writable: Folders it may write to besides those the user named.
        is_telling: As for `isolate`.

    Raises:
        InvalidArgumentError: The working folder shows too much, or a folder is none.
        CodomonError: There is no bubblewrap here.
    """
    cwd = _working_folder(env.get("HOME", ""))
    command = Command(path=path, argv=tuple(argv), env=env, cwd=cwd)
    folders = [_folder(text) for text in options.writable or ()]
    try:
        return isolate(
            command,
            writable=[*folders, *writable],
            readable=[cwd, *readable],
            is_telling=is_telling,
        )
    except UnavailableError as error:
        raise CodomonError(str(error)) from None


def _working_folder(home: str) -> str:
    cwd = Path.cwd()
    if home and Path(home).resolve().is_relative_to(cwd):
        raise InvalidArgumentError(
            "isolation",
            f"cannot isolate in {str(cwd)!r}: it would show the whole home folder to the command; "
            "change into the folder that the command works in",
        )
    return str(cwd)


def _folder(text: str) -> str:
    if not Path(text).is_dir():
        raise InvalidArgumentError(
            "writable", f"cannot let it write to {text!r}: it is no folder; make it first"
        )
    return os.path.realpath(text)
