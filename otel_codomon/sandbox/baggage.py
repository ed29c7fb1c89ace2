"""What a command inherits as ``BAGGAGE``, by W3C Baggage.

Imports nothing: `otel-codomon run` needs it before it starts its command.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Iterator

# W3C Baggage, 3.3.2: what every participant has to pass on, and no more is passed on.
MAX_BYTES = 8192
MAX_MEMBERS = 180

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
# RFC 7230, 3.2.6: what a key is made of.
_TOKEN = frozenset(f"{_LETTERS}{_LETTERS.upper()}{_DIGITS}!#$%&'*+-.^_`|~")
# W3C Baggage, 3.3.1: printable ASCII but for the quotation mark, comma, semicolon and backslash.
_OCTETS = frozenset(map(chr, range(0x21, 0x7F))) - frozenset('",;\\')
_BLANKS = " \t"


def valid_baggage(text: str) -> str:
    """The members of *text* that are well-formed, as far as the bounds go.

    A list that is longer than `MAX_BYTES` is not cut, which could leave half a
    value: it is ignored.

    Args:
        text: A list of members, as in the variable or the header.

    Returns:
        The list to pass on; empty where nothing is left of it.
    """
    if len(text) > MAX_BYTES:
        return ""
    return ",".join(list(_members(text))[:MAX_MEMBERS])


def _members(text: str) -> Iterator[str]:
    """The well-formed members of a list, each with its properties."""
    for item in text.split(","):
        member = item.strip(_BLANKS)
        pair, *properties = member.split(";")
        if _is_pair(pair) and all(_is_property(each) for each in properties):
            yield member


def _is_pair(text: str) -> bool:
    key, equals, value = text.partition("=")
    return bool(equals) and _is_key(key) and _OCTETS.issuperset(value.strip(_BLANKS))


def _is_property(text: str) -> bool:
    return _is_pair(text) or _is_key(text)


def _is_key(text: str) -> bool:
    key = text.strip(_BLANKS)
    return bool(key) and _TOKEN.issuperset(key)
