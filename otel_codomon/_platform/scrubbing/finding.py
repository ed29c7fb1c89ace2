"""All finders, one after another: each says where in a text secrets stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_codomon._platform.scrubbing.forms import form_spans
from otel_codomon._platform.scrubbing.gate import may_name_secret
from otel_codomon._platform.scrubbing.named import named_spans
from otel_codomon._platform.scrubbing.options import option_spans
from otel_codomon._platform.scrubbing.urls import cut_url_spans, url_spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon._platform.scrubbing.gate import Span


def found_spans(text: str, *, is_cut: bool) -> Iterator[Span]:
    """Where secrets stand in *text*, by form, place and name; in no order, and some twice."""
    yield from form_spans(text, is_cut=is_cut)
    if "@" in text or "%40" in text:
        yield from url_spans(text)
    if is_cut:
        yield from cut_url_spans(text)
    if may_name_secret(text):
        yield from named_spans(text)
    if " -" in text or " /" in text:
        yield from option_spans(text)
