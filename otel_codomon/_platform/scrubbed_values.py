"""Whatever comes in, as telemetry may carry it: clean, bounded, and without secrets.

What is cut is cut after it was scrubbed, so that no limit leaves half a secret.
Imports nothing of OpenTelemetry: `otel-codomon run` uses it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_codomon._platform.cleaning import (
    MAX_ITEMS,
    MAX_NAME,
    MAX_TEXT,
    clean_attribute,
    clean_text,
    first_items,
    first_pairs,
    on_one_line,
)
from otel_codomon._platform.known_secrets import known_secrets
from otel_codomon._platform.scrubbing import (
    LOOKAHEAD,
    REDACTED,
    is_count_name,
    is_secret_name,
    scrub,
    scrub_words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_codomon._platform.cleaning import AttributeValue


def scrubbed_text(value: object, *, limit: int = MAX_TEXT, is_cut: bool = False) -> str:
    """*value* as valid text of at most *limit* characters, without secrets.

    Args:
        value: Anything; what has no text has a placeholder.
        limit: Characters to keep.
        is_cut: Whether *value* was cut before, and may end within a secret.
    """
    text = clean_text(value, limit=limit + LOOKAHEAD)
    return scrub(text, known_secrets(), limit=limit, is_cut=is_cut)


def scrubbed_name(value: object, *, default: str) -> str:
    """*value* as a short name on one line, without secrets; *default* if nothing is left of it."""
    return on_one_line(scrubbed_text(value, limit=MAX_NAME)) or default


def scrubbed_words(words: Sequence[object]) -> tuple[str, ...]:
    """The first of *words*, of one command line: each bounded, and without secrets."""
    texts = [clean_text(word, limit=MAX_NAME + LOOKAHEAD) for word in words[:MAX_ITEMS]]
    return tuple(scrub_words(texts, known_secrets(), limit=MAX_NAME))


def scrubbed_attribute(key: str, value: object) -> AttributeValue:
    """*value* as the value of the attribute *key*, without secrets."""
    kind = type(value)  # `isinstance` would ask the value
    is_number = issubclass(kind, (int, float))
    is_answer = kind is bool or (is_number and is_count_name(key))
    if is_secret_name(key) and not is_answer:
        return REDACTED
    if is_number:
        return clean_attribute(value)
    if kind in (list, tuple, set, frozenset):
        return scrubbed_words(first_items(value))
    return scrubbed_text(value)


def scrubbed_attributes(attributes: Mapping[str, object]) -> dict[str, AttributeValue]:
    """Keys and values of the first of *attributes*, without secrets."""
    return {
        scrubbed_name(key, default="unnamed"): scrubbed_attribute(clean_text(key), value)
        for key, value in first_pairs(attributes)
    }
