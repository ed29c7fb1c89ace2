"""What is wrong with the journal's folder is reported once, not for each record.

Imports next to nothing, as `segments`.
"""

from __future__ import annotations

import time

# A disk that fills up and empties again and again is reported once in a while.
_AGAIN_SECONDS = 600.0


class TroubleReport:
    """Reports that a journal cannot be used, and that it can be again.

    All writers and the sender of a process share one for each folder.

    Args:
        folder: Path of the journal.
        consequence: What happens to what is recorded until then.
    """

    def __init__(self, folder: str, consequence: str) -> None:
        self._folder = folder
        self._consequence = consequence
        self._reported_at: float | None = None
        self._is_wrong = False
        self._has_moved = False

    def wrong(self, reason: str, consequence: str | None = None) -> None:
        """The journal cannot be used, because of *reason*.

        Args:
            reason: A few words.
            consequence: What happens until then, where not the usual.
        """
        if self._is_wrong:
            return
        self._is_wrong = True
        now = time.monotonic()
        if self._reported_at is None or now - self._reported_at > _AGAIN_SECONDS:
            self._reported_at = now
            _log(
                "cannot use the journal in %s: %s; %s",
                self._folder,
                reason,
                consequence or self._consequence,
            )

    def right(self) -> None:
        """The journal was written again."""
        if self._is_wrong:
            self._is_wrong = False
            _log("the journal in %s can be used again", self._folder)

    def moved(self) -> None:
        """The folder is another one than before: removed, renamed or unmounted."""
        if not self._has_moved:
            self._has_moved = True
            _log(
                "the journal directory %s was removed, renamed or unmounted; what is recorded "
                "from now on goes into the directory that is there now",
                self._folder,
            )


def _log(message: str, *values: object) -> None:
    from otel_codomon._platform.logs import get_logger  # noqa: PLC0415 - 10 ms, and rarely needed

    get_logger(__name__).warning(message, *values)


def reason_of(error: OSError) -> str:
    """A few words on why a file or folder cannot be used."""
    found: str | None = getattr(error, "found", None)  # of a JournalUnavailableError
    return found or (error.strerror or str(error)).lower()
