"""Texts that leave only when asked for, and then truncated and scrubbed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from otel_codomon.emit.guard import harmless
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.settings import read_settings
from otel_codomon.values.cleaning import clean_text
from otel_codomon.values.scrubbing import scrub, secret_values

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_CAPTURED: Final = 8192
"""Characters kept of a captured text."""

_wanted: frozenset[str] | None = None


def choose(kinds: Iterable[str] | None) -> None:
    """Capture these kinds of text from now on; None for what the environment says."""
    global _wanted  # noqa: PLW0603 - one choice for the process
    _wanted = None if kinds is None else frozenset(kinds)


@harmless("capture of a text", default=None)
def captured(kind: str, text: object) -> str | None:
    """*text*, truncated and scrubbed, if texts of this *kind* were asked for; else None.

    Args:
        kind: ``arguments``, ``code``, ``exception`` or ``output``.
        text: Anything; what has no text has a placeholder.
    """
    if kind not in _chosen():
        return None
    return scrub(clean_text(text, limit=MAX_CAPTURED), secret_values(os.environ))


def _chosen() -> frozenset[str]:
    if _wanted is None:
        try:
            choose(read_settings({})["capture"].value)
        except InvalidArgumentError:
            choose(())  # `configure` is where a wrong variable is an error
            raise
    return _wanted or frozenset()
