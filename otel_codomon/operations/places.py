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
            "name its folder with --journal, or there"
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
