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

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


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
    was checked is what is used.

    Returns:
        A descriptor of the folder.

    Raises:
        JournalUnavailableError: It cannot be made, is a symbolic link or no
            folder, or belongs to somebody else; or there is no home to have it in.
    """
    if path.startswith("~"):
        raise JournalUnavailableError(path, "this user has no home")
    descriptor = -1
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise JournalUnavailableError(path, f"it belongs to user {found.st_uid}")
        if found.st_mode & _OTHERS:
            os.fchmod(descriptor, 0o700)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        if isinstance(error, JournalUnavailableError):
            raise
        raise JournalUnavailableError(path, _found(path, error)) from error
    return descriptor


def _found(path: str, error: OSError) -> str:
    if os.path.islink(path):
        return "it is a symbolic link"
    return (error.strerror or str(error)).lower()


def open_file(folder_fd: int, name: str, flags: int) -> int:
    """Open *name* in the folder, 0600, never through a link, never somebody else's.

    Raises:
        OSError: It cannot be opened, or is not a plain file of this user.
    """
    descriptor = os.open(
        name, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600, dir_fd=folder_fd
    )
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(descriptor)
        raise PermissionError(f"{name} is not a plain file of this user")
    return descriptor
