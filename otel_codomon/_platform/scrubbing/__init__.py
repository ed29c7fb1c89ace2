"""Take secrets out of a text before it may leave.

By form (tokens whose makers gave them a shape), by name (``password=…``), by
place (the user information of an address, the options of known programs), and
by value: what an environment holds under a name that looks secret. It lowers
the risk and cannot end it: what must not leave should not be captured.

What is found are places in the text as it was, so that the finders do not
depend on one another, and a text is cut after it was scrubbed: no secret
survives by half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_codomon._platform.scrubbing.gate import (
    REDACTED,
    has_digits_and_letters,
    may_be_secret_name,
    may_hold_secret,
)
from otel_codomon._platform.scrubbing.known import MIN_SECRET, known_spans, variants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_codomon._platform.scrubbing.gate import Span

__all__ = [
    "LOOKAHEAD",
    "MIN_SECRET",
    "REDACTED",
    "is_count_name",
    "is_secret_name",
    "scrub",
    "scrub_rest",
    "scrub_words",
    "secret_values",
]

LOOKAHEAD: Final = 4096
"""Characters beyond a limit that tell what stands at it."""

_HEADERS: Final = "_HEADERS"
_ELLIPSIS: Final = "…"
_CUT_MARKS: Final = "…\ufffd"  # ours, and what is left of a character that was cut


def scrub(
    text: str,
    secrets: frozenset[str] = frozenset(),
    *,
    limit: int | None = None,
    is_cut: bool = False,
) -> str:
    """Return *text* with what looks like a secret replaced by `REDACTED`.

    >>> scrub("login --password hunter2secret failed: token=abc")
    'login --password [redacted] failed: token=[redacted]'
    >>> scrub("postgres://me:pass@host/db")
    'postgres://[redacted]@host/db'
    >>> scrub("token = next(tokens)")
    'token = next(tokens)'

    Args:
        text: Takes time in proportion to its length.
        secrets: Values to take out wherever they are: see `secret_values`.
        limit: Characters to return at most; None for all. Hand in a text that
            is longer by `LOOKAHEAD`, where there is more.
        is_cut: Whether *text* was cut before, and may end within a secret.
    """
    return _replaced(text, _merged(_spans(text, secrets, is_cut=is_cut)), limit)


def scrub_rest(
    text: str, secrets: frozenset[str] = frozenset(), *, begin: int, is_cut: bool = False
) -> str:
    """`scrub` what of *text* comes after *begin*; what is before tells only what it means.

    >>> scrub_rest("--password hunter2secret", begin=11)
    '[redacted]'
    """
    spans = _merged(_spans(text, secrets, is_cut=is_cut))
    after = [(max(0, start - begin), end - begin) for start, end in spans if end > begin]
    return _replaced(text[begin:], after, None)


def scrub_words(
    words: Sequence[str],
    secrets: frozenset[str] = frozenset(),
    *,
    limit: int | None = None,
) -> list[str]:
    """Scrub the *words* of one command line, each within *limit* characters.

    One word says what the next one is, as in ``--password x``.

    >>> scrub_words(["mysql", "-pX1", "--token", "abc", "-u", "me"])
    ['mysql', '-p[redacted]', '--token', '[redacted]', '-u', 'me']
    """
    from otel_codomon._platform.scrubbing.options import secret_words  # noqa: PLC0415 - few need it

    begins = secret_words(words)
    return [
        _replaced(
            word,
            _merged([*_spans(word, secrets, is_cut=False), *_to_its_end(word, begins.get(index))]),
            limit,
        )
        for index, word in enumerate(words)
    ]


def _to_its_end(word: str, begin: int | None) -> list[Span]:
    return [] if begin is None else [(begin, len(word))]


def is_secret_name(name: str) -> bool:
    """Whether a variable or key of this name is likely to hold a secret."""
    if not may_be_secret_name(name):
        return False
    from otel_codomon._platform.scrubbing import secret_names  # noqa: PLC0415 - most need it not

    return secret_names.is_secret_name(name)


def is_count_name(name: str) -> bool:
    """Whether a number under this name, which looks secret, only counts something."""
    from otel_codomon._platform.scrubbing import secret_names  # noqa: PLC0415 - as above

    return secret_names.is_count_name(name)


def secret_values(environ: Mapping[str, str]) -> frozenset[str]:
    """The values in *environ* that must not be in any text.

    Those of secret names, and of other names the secrets inside them: the
    password in a ``DATABASE_URL``, the token in a header. Each also as it is
    written percent-encoded, in JSON, HTML and base64.
    """
    found: set[str] = set()
    for name, value in environ.items():
        if len(value) < MIN_SECRET:
            continue
        if is_secret_name(name):
            found |= variants(value)
        if name.endswith(_HEADERS):
            found |= _header_values(value)
        for start, end in _spans(value, frozenset(), is_cut=False):
            found |= variants(value[start:end])
            # Of user:password the password alone is one too.
            found |= variants(value[start:end].partition(":")[2])
    return frozenset(found)


def _header_values(headers: str) -> set[str]:
    """The values in *headers*, ``key=value`` with commas, that are no words: keys of exporters."""
    values = (item.partition("=")[2].strip() for item in headers.split(","))
    return {value for value in values if len(value) >= MIN_SECRET and has_digits_and_letters(value)}


def _spans(text: str, secrets: frozenset[str], *, is_cut: bool) -> Iterator[Span]:
    if is_cut:
        text = text.rstrip(_CUT_MARKS)
    yield from known_spans(text, secrets, is_cut=is_cut)
    if is_cut or may_hold_secret(text):
        # Most texts pass the gate, and `otel-codomon run` waits for each import.
        from otel_codomon._platform.scrubbing.finding import found_spans  # noqa: PLC0415

        yield from found_spans(text, is_cut=is_cut)


def _merged(spans: Iterator[Span] | list[Span]) -> list[Span]:
    """*spans* in order, those that touch as one."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged


def _replaced(text: str, spans: list[Span], limit: int | None) -> str:
    if not spans and (limit is None or len(text) <= limit):
        return text
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        if limit is not None and start >= limit:
            break
        pieces += text[at:start], REDACTED
        at = end
    pieces.append(text[at:limit])
    scrubbed = "".join(pieces)
    if limit is None or max(len(text), len(scrubbed)) <= limit:
        return scrubbed
    return scrubbed[: limit - 1] + _ELLIPSIS
