"""The loggers of this package: what they are handed leaves without secrets, and visible.

A message may repeat a path, a name or an address, and a traceback the text of
an exception that is not ours: none of them acts on the terminal that shows the
log. Every logger of the package comes from here.
"""

from __future__ import annotations

import logging
from typing import Final

from otel_codomon._platform.known_secrets import known_secrets
from otel_codomon._platform.printable import printable, printable_lines
from otel_codomon._platform.scrubbing import scrub


def get_logger(name: str) -> logging.Logger:
    """The logger called *name*, whose records are scrubbed."""
    logger = logging.getLogger(name)
    logger.addFilter(_FILTER)  # once, however often it is asked for
    return logger


class _Scrubbing(logging.Filter):
    """Lets every record through; nothing in its message and traceback is secret or acts."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Scrub *record*; a text without secrets stays as it was handed in."""
        try:
            _scrub(record, known_secrets())
        except Exception:  # noqa: BLE001 - texts of exceptions that are not ours: any failure
            record.msg, record.args = "a message that cannot be shown: %r", (str(record.msg),)
            record.exc_info = record.exc_text = None
        return True


def _scrub(record: logging.LogRecord, secrets: frozenset[str]) -> None:
    message = record.getMessage()
    scrubbed = printable(scrub(message, secrets))
    if scrubbed != message:
        record.msg, record.args = scrubbed, None
    if record.exc_info:
        text = _FORMATTER.formatException(record.exc_info)
        scrubbed = printable_lines(scrub(text, secrets))
        if scrubbed != text:  # handlers that read the exception itself find none
            record.exc_text, record.exc_info = scrubbed, None


_FILTER: Final = _Scrubbing()
_FORMATTER: Final = logging.Formatter()
