"""Folders and files that nobody else can reach into.

Imports next to nothing: `otel-codomon run` comes through here before it
starts its command.
"""

from __future__ import annotations

import os
import stat

from otel_codomon.errors import JournalUnavailableError

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Mapping


def state_folder(environ: Mapping[str, str]) -> str:
    """Where the journal is by default: in the user's own folder for state.

    Begins with ``~`` where this user has no home; `open_folder` refuses that.
    """
    state = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # the specification of XDG: a relative one is ignored
        home = os.path.expanduser("~")
        state = os.path.join(home if os.path.isabs(home) else "~", ".local", "state")
    return os.path.join(state, "otel-codomon")


def open_folder(path: str) -> int:
    """Make the folder where it is missing, check it, and open it.

    Everything in it is then opened relative to the descriptor, so that what
    was checked is what is used. A directory that exists keeps its mode: it may
    be shared with other programs, and the files that we put there are 0600.

    Returns:
        A descriptor of the folder.

    Raises:
        JournalUnavailableError: It cannot be made, is a symbolic link or not a
            directory, or belongs to another user; or there is no home to have it in.
    """
    if path.startswith("~"):
        raise JournalUnavailableError(path, "this user has no home directory")
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        return _open_checked(path, os.O_NOFOLLOW)
    except JournalUnavailableError:
        raise
    except OSError as error:
        raise JournalUnavailableError(path, _found(path, error)) from error


def find_folder(path: str) -> int | None:
    """Open the folder to read it; nothing is made, and nothing is changed.

    Returns:
        A descriptor of the folder; None where there is none.

    Raises:
        JournalUnavailableError: It cannot be read, is not a directory, or
            belongs to another user.
    """
    try:
        return _open_checked(path)
    except JournalUnavailableError:
        raise
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalUnavailableError(path, _found(path, error)) from error


def _open_checked(path: str, flags: int = 0) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | flags)
    owner = os.fstat(descriptor).st_uid
    if owner != os.geteuid():
        os.close(descriptor)
        raise JournalUnavailableError(path, f"it belongs to user {owner}")
    return descriptor


def _found(path: str, error: OSError) -> str:
    if os.path.islink(path):
        return "it is a symbolic link"
    return (error.strerror or str(error)).lower()


def open_file(folder_fd: int, name: str, flags: int) -> int:
    """Open *name* in the folder, 0600, never through a link, never another user's.

    Raises:
        OSError: It cannot be opened, or is not a regular file of this user.
    """
    descriptor = os.open(
        name, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600, dir_fd=folder_fd
    )
    if not is_own_file(os.fstat(descriptor)):
        os.close(descriptor)
        raise PermissionError(f"{name} is not a regular file of this user")
    return descriptor


def is_own_file(found: os.stat_result) -> bool:
    """Whether it is a regular file of this user: all else in the folder is foreign."""
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
