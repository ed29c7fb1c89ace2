"""The first, cheap look: whether a text can hold a secret at all."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

Span = tuple[int, int]
"""Begin and end of a part of a text."""

REDACTED: Final = "[redacted]"

# Every name that promises a secret, and every form without a long run of
# characters, has one of these in it.
_NAMES: Final = (
    *("pass", "pw", "secret", "token", "key", "auth", "cred", "cookie", "dsn", "pat", "jwt"),
    *("bearer", "sessid", "sessionid", "otp", "sas", "sig", "hmac", "ticket", "assertion"),
)
_PATH: Final = "path"  # has "pat" in it, and is everywhere
_FORMS: Final = (
    *("basic", "digest", "negotiate", "ntlm", "hook", "private", "identified", "sqlplus", "ifttt"),
    "jdbc:",
)
# An address with a user, a percent-encoded text, a hash, a short option.
_MARKS: Final = r"[@$%]|\s[-/]\w"
# A value beside its name has one of these in between.
_BESIDE: Final = r"[=:>%,(\s]"
_LONG_RUN: Final = r"[\w-]{16,}"
_DIGIT: Final = r"\d"
_SHORTEST_TOKEN: Final = 16  # characters


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """*pattern*, compiled when it is first needed: an import compiles none."""
    return re.compile(pattern)


def words(text: str) -> frozenset[str]:
    """The words of *text*, as a set."""
    return frozenset(text.split())


def may_be_secret_name(name: str) -> bool:
    """Whether *name* has a part that names of secrets have."""
    return any(map(name.lower().replace(_PATH, "").__contains__, _NAMES))


def may_name_secret(text: str) -> bool:
    """Whether a name in *text* may have its value beside it."""
    return may_be_secret_name(text) and compiled(_BESIDE).search(text) is not None


def may_hold_secret(text: str) -> bool:
    """Whether anything in *text* is worth a closer look."""
    if len(text) < _SHORTEST_TOKEN and text.isalnum():
        return False
    lowered = text.lower()
    return (
        any(map(lowered.__contains__, _FORMS))
        or may_name_secret(lowered)
        or compiled(_MARKS).search(text) is not None
        or has_long_run(text)
    )


def has_long_run(text: str) -> bool:
    """Whether *text* has a word that is long enough for a token, and not all small letters."""
    return any(
        not word.islower() or compiled(_DIGIT).search(word) is not None
        for word in compiled(_LONG_RUN).findall(text)
    )


def has_digits_and_letters(text: str) -> bool:
    """Whether *text* has both, as random characters do and words do not."""
    return any(c.isdigit() for c in text) and any(c.isalpha() for c in text)


def is_random_word(text: str) -> bool:
    """Whether *text* has digits and letters of both cases."""
    return has_digits_and_letters(text) and text.lower() != text != text.upper()
