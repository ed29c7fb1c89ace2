"""All finders, one after another: each says where in a text secrets stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_codomon._platform.scrubbing.forms import form_spans
from otel_codomon._platform.scrubbing.gate import compiled, has_digits_and_letters, may_name_secret
from otel_codomon._platform.scrubbing.named import named_spans
from otel_codomon._platform.scrubbing.options import option_spans
from otel_codomon._platform.scrubbing.urls import cut_url_spans, url_spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon._platform.scrubbing.gate import Span

_LAST_WORD: Final = r"[^\s\"'<>]+\Z"
_LONGEST_WORD: Final = 512  # characters


def found_spans(text: str, *, is_cut: bool) -> Iterator[Span]:
    """Where secrets stand in *text*, by form, place and name; in no order, and some twice."""
    yield from form_spans(text, is_cut=is_cut)
    if "@" in text or "%40" in text:
        yield from url_spans(text)
    if is_cut:
        yield from cut_url_spans(text)
        yield from _cut_word_spans(text)
    if may_name_secret(text):
        yield from named_spans(text)
    if " -" in text or " /" in text:
        yield from option_spans(text)


def _cut_word_spans(text: str) -> Iterator[Span]:
    """The last word of a text that was cut, if it may be half a token of whatever kind."""
    word = compiled(_LAST_WORD).search(text, max(0, len(text) - _LONGEST_WORD))
    if word is not None and has_digits_and_letters(word.group()):
        yield word.span()
