"""Where the operations look: the journal that is meant."""

from __future__ import annotations

import os

from otel_codomon.errors import CodomonError
from otel_codomon.journal.folder import journal_folder


class JournalOffError(CodomonError):
    """There is no journal to read, because it is switched off."""

    def __init__(self) -> None:
        super().__init__(
            "cannot read the journal: OTEL_PYTHON_CODOMON_JOURNAL is off; "
            "name a directory with --journal or in that variable"
        )


class JournalMissingError(CodomonError, LookupError):
    """The journal that was named does not exist.

    Attributes:
        folder: Its path.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__(
            f"no journal in {folder!r}: no such directory; leave out --journal for the default"
        )


def find_journal(folder: str | None = None) -> str:
    """Path of the journal: *folder*, or what the environment says. It need not exist.

    Raises:
        JournalOffError: Neither names one.
        JournalUnavailableError: There is no home to have one in.
    """
    found = os.path.abspath(os.path.expanduser(folder)) if folder else journal_folder()  # noqa: PTH100, PTH111 - as `journal_folder`
    if found is None:
        raise JournalOffError
    return found


def existing_journal(folder: str | None = None) -> str:
    """As `find_journal`, but a journal that was named has to exist.

    Raises:
        JournalMissingError: The one that was named does not.
        JournalOffError: Neither names one.
        JournalUnavailableError: There is no home to have one in.
    """
    found = find_journal(folder)
    if folder and not os.path.lexists(found):
        raise JournalMissingError(found)
    return found
