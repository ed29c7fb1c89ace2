"""The folder of the journal: where it is, and what the files in it are called.

Imports next to nothing, as `segments`.
"""

from __future__ import annotations

import os

from otel_codomon._platform.private_folder import (  # what the journal opens, it opens through here
    find_folder as find_folder,  # noqa: PLC0414 - handed on
    is_own_file as is_own_file,  # noqa: PLC0414 - handed on
    open_file as open_file,  # noqa: PLC0414 - handed on
    open_folder as open_folder,  # noqa: PLC0414 - handed on
    state_folder,
)
from otel_codomon.environment_variables import OTEL_PYTHON_CODOMON_JOURNAL
from otel_codomon.errors import JournalUnavailableError

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIX = ".seg"
# How much is kept, and for how long since it was written.
MAX_JOURNAL_BYTES = 256 * 1024 * 1024
MAX_AGE_SECONDS = 48 * 3600.0
# First letter of a segment's name, by what it holds. A stream each, so that
# whoever reads executions does not read past the others.
TRACES = "t"
METRICS = "m"
LOGS = "l"
STREAMS = {"traces": TRACES, "metrics": METRICS, "logs": LOGS}
# Of logs alone, so that a flood of them evicts no execution.
MAX_LOGS_BYTES = 64 * 1024 * 1024
# What running executions use, beside the records: see `heartbeats`.
HEARTBEATS = "h"
MAX_HEARTBEATS_BYTES = 8 * 1024 * 1024
# What was refused by a collector or is damaged, kept for a look.
DEAD_LETTERS = "x"


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
    folder = state_folder(environ)
    if not os.path.isabs(folder):
        raise JournalUnavailableError(folder, "this user has no home directory")
    return folder


def segment_names(folder_fd: int, stream: str | None = None) -> list[str]:
    """Names of the segments in the folder, oldest first; of one *stream* only.

    Without one they are those of records: heartbeats are kept by other rules.
    Directories, links, fifos and sockets are none, whatever they are called.
    """
    with os.scandir(folder_fd) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.endswith(SUFFIX)
            and (entry.name[:1] == stream or (stream is None and entry.name[:1] != HEARTBEATS))
            and entry.is_file(follow_symlinks=False)
        ]
    return sorted(names, key=lambda name: (created_unix_ns(name), name))


def new_segment_name(stream: str, *, time_unix_ns: int) -> str:
    """A name that no other segment has, and that tells when it was made."""
    return f"{stream}-{time_unix_ns:019d}-{os.urandom(4).hex()}{SUFFIX}"


def created_unix_ns(name: str) -> int:
    """When a segment was made, by its name, nanoseconds since the epoch; 0 if it does not tell."""
    middle = name[2:21]
    return int(middle) if middle.isdecimal() else 0
