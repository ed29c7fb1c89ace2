"""Secrets that are known by their value, in the ways in which they are written."""

from __future__ import annotations

from binascii import b2a_base64
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon._platform.scrubbing.gate import Span

MIN_SECRET: Final = 8
"""Characters; shorter values are words that texts are full of."""
_MIN_BEGINNING: Final = 4
"""Characters of a secret at the end of a text that was cut."""
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_IN_JSON: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_IN_HTML: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}


def variants(value: str) -> frozenset[str]:
    """*value* as texts may have it; nothing where it is too short to be told from a word."""
    value = value.strip()
    if len(value) < MIN_SECRET:
        return frozenset()
    data = value.encode("utf-8", "surrogateescape")
    found = {value, b2a_base64(data, newline=False).decode().rstrip("=")}
    if not _UNRESERVED.issuperset(value):
        percent = "".join(chr(b) if chr(b) in _UNRESERVED else f"%{b:02X}" for b in data)
        found |= {
            percent,
            percent.lower(),
            percent.replace("%20", "+"),
            percent.replace("%2F", "/"),
        }
        found |= {_translated(value, _IN_JSON), _translated(value, _IN_HTML), repr(value)[1:-1]}
        found |= {line.strip() for line in value.splitlines() if len(line.strip()) >= MIN_SECRET}
    return frozenset(found)


def _translated(value: str, table: dict[str, str]) -> str:
    return "".join(table.get(character, character) for character in value)


def known_spans(text: str, secrets: frozenset[str], *, is_cut: bool) -> Iterator[Span]:
    """Where *secrets* are in *text*; where it was cut, also the beginning of one at its end."""
    for secret in secrets:
        at = text.find(secret)
        while at >= 0:
            yield at, at + len(secret)
            at = text.find(secret, at + len(secret))
        if is_cut and (begin := _begun(text, secret)) is not None:
            yield begin, len(text)


def _begun(text: str, secret: str) -> int | None:
    """Where *text* ends in the beginning of *secret*; None where it does not."""
    at = text.find(secret[:_MIN_BEGINNING], max(0, len(text) - len(secret) + 1))
    while at >= 0:
        if secret.startswith(text[at:]):
            return at
        at = text.find(secret[:_MIN_BEGINNING], at + 1)
    return None
