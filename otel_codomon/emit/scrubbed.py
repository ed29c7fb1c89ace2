"""Whatever comes in, as telemetry may carry it: clean, bounded, and without secrets.

What is cut is cut after it was scrubbed, so that no limit leaves half a secret.
Imports nothing of OpenTelemetry: `otel-codomon run` uses it too.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from otel_codomon.values.cleaning import (
    MAX_ITEMS,
    MAX_NAME,
    MAX_TEXT,
    clean_attribute,
    clean_text,
    first_items,
    first_pairs,
    on_one_line,
)
from otel_codomon.values.scrubbing import (
    LOOKAHEAD,
    REDACTED,
    is_count_name,
    is_secret_name,
    scrub,
    scrub_words,
    secret_values,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_codomon.values.cleaning import AttributeValue

_NOTHING: Final[frozenset[str]] = frozenset()
_of_command: ContextVar[frozenset[str]] = ContextVar("otel_codomon_secrets", default=_NOTHING)
# This process's environment as it was, and the secrets in it.
_of_process: tuple[object, frozenset[str]] = ({}, _NOTHING)


@contextmanager
def secrets_of(environ: Mapping[str, str]) -> Iterator[None]:
    """Within this context the secrets in *environ*, a command's own, are known too."""
    token = _of_command.set(_of_command.get() | secret_values(environ))
    try:
        yield
    finally:
        _of_command.reset(token)


def known_secrets() -> frozenset[str]:
    """The secrets in this process's environment, and in that of the command being run."""
    global _of_process  # noqa: PLW0603 - worked out again only when the environment has changed
    before, secrets = _of_process
    now = getattr(os.environ, "_data", None)  # the dict inside: compared in a microsecond
    if now is None or now != before:
        kept = dict(os.environ) if now is None else dict(now)
        readable = {os.fsdecode(name): os.fsdecode(value) for name, value in kept.items()}
        secrets = secret_values(readable)
        _of_process = kept, secrets
    of_command = _of_command.get()
    return secrets | of_command if of_command else secrets


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
    is_number = isinstance(value, (int, float))
    is_answer = isinstance(value, bool) or (is_number and is_count_name(key))
    if is_secret_name(key) and not is_answer:
        return REDACTED
    if is_number:
        return clean_attribute(value)
    if type(value) in (list, tuple, set, frozenset):
        return scrubbed_words(first_items(value))
    return scrubbed_text(value)


def scrubbed_attributes(attributes: Mapping[str, object]) -> dict[str, AttributeValue]:
    """Keys and values of the first of *attributes*, without secrets."""
    return {
        scrubbed_name(key, default="unnamed"): scrubbed_attribute(clean_text(key), value)
        for key, value in first_pairs(attributes)
    }
