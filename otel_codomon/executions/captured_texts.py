"""Texts that leave only when asked for, and then truncated and scrubbed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_codomon._platform.cleaning import MAX_TEXT
from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.scrubbed_values import scrubbed_text, scrubbed_words
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_CAPTURED: Final = MAX_TEXT
"""Characters kept of a captured text: what an attribute holds."""

_wanted: frozenset[str] | None = None


def choose(kinds: Iterable[str] | None) -> None:
    """Capture these kinds of text from now on; None for what the environment says."""
    global _wanted  # noqa: PLW0603 - one choice for the process
    _wanted = None if kinds is None else frozenset(kinds)


@never_raises("reading what is to be captured", default=False)
def is_wanted(kind: str) -> bool:
    """Whether texts of this *kind* were asked for."""
    return kind in _chosen()


@never_raises("capturing a text", default=None)
def captured(kind: str, text: object, *, is_cut: bool = False) -> str | None:
    """*text*, scrubbed and then truncated, if texts of this *kind* were asked for; else None.

    Args:
        kind: ``code``, ``exception`` or ``output``.
        text: Anything; what has no text has a placeholder.
        is_cut: Whether it was cut before, and may end within a secret.
    """
    if kind not in _chosen():
        return None
    return scrubbed_text(text, limit=MAX_CAPTURED, is_cut=is_cut)


@never_raises("capturing arguments", default=None)
def captured_arguments(words: Sequence[str]) -> tuple[str, ...] | None:
    """The first of *words*, a command's, scrubbed as one list, if they were asked for."""
    return scrubbed_words(words) if "arguments" in _chosen() else None


def _chosen() -> frozenset[str]:
    if _wanted is None:
        try:
            choose(read_settings({})["capture"].value)
        except InvalidArgumentError:
            choose(())  # `configure` is where a wrong variable is an error
            raise
    return _wanted or frozenset()
