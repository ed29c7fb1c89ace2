"""The folder of the journal: where it is, and that nobody else can reach into it.

Imports next to nothing, as `segments`.
"""

from __future__ import annotations

import os
import stat

from otel_codomon.environment_variables import OTEL_PYTHON_CODOMON_JOURNAL
from otel_codomon.errors import JournalUnavailableError

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIX = ".seg"
# First letter of a segment's name, by what it holds. Two streams, so that
# whoever reads executions does not read past metrics.
TRACES = "t"
METRICS = "m"
# What was refused by a collector or is damaged, kept for a look.
ASIDE = "x"

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def journal_folder(environ: Mapping[str, str] | None = None) -> str | None:
    """Path of the journal by the environment; None where it is switched off.

    Raises:
        JournalUnavailableError: There is neither a home nor anything else to
            put it in.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(OTEL_PYTHON_CODOMON_JOURNAL, "").strip()
    if named.lower() == "off":
        return None
    if named:
        return os.path.abspath(os.path.expanduser(named))
    state = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # the specification of XDG: a relative one is ignored
        state = os.path.join(os.path.expanduser("~"), ".local", "state")
    if not os.path.isabs(state):
        raise JournalUnavailableError(state, "this user has no home")
    return os.path.join(state, "otel-codomon")


def open_folder(path: str) -> int:
    """Make the folder where it is missing, check it, and open it.

    Everything in it is then opened relative to the descriptor, so that what
    was checked is what is used.

    Returns:
        A descriptor of the folder.

    Raises:
        JournalUnavailableError: It cannot be made, is a symbolic link or no
            folder, or belongs to somebody else.
    """
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


def segment_names(folder_fd: int, stream: str | None = None) -> list[str]:
    """Names of the segments in the folder, oldest first; of one *stream* only."""
    return sorted(
        (
            name
            for name in os.listdir(folder_fd)
            if name.endswith(SUFFIX) and (name[:1] == stream or (stream is None))
        ),
        key=lambda name: (created_unix_ns(name), name),
    )


def new_segment_name(stream: str, *, time_unix_ns: int) -> str:
    """A name that no other segment has, and that tells when it was made."""
    return f"{stream}-{time_unix_ns:019d}-{os.urandom(4).hex()}{SUFFIX}"


def created_unix_ns(name: str) -> int:
    """When a segment was made, by its name, nanoseconds since the epoch; 0 if it does not tell."""
    middle = name[2:21]
    return int(middle) if middle.isdecimal() else 0
