"""Take secrets out of a text before it may leave.

By key (``password=…``), by form (tokens whose makers gave them a shape), and by
value: what this process's own environment holds under a name that looks
secret. It lowers the risk and cannot end it: what must not leave should not be
captured.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

REDACTED: Final = "[redacted]"
MIN_SECRET: Final = 8
"""Shorter values of the environment are words that texts are full of."""

_SENSITIVE: Final = (
    r"(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|auth(?:orization)?|credential|cookie|session[_-]?key|dsn)"
)
_SECRET_NAME: Final = re.compile(_SENSITIVE, re.IGNORECASE)
_KEYED: Final = re.compile(
    rf"""([\w.-]{{0,64}}{_SENSITIVE}[\w.-]{{0,64}}["']?\s{{0,4}}(?:=>|[:=])\s{{0,4}})"""
    r"""((?:bearer|basic|token)\s+\S+|"[^"]*"|'[^']*'|[^\s"',;&)\]}]+)""",
    re.IGNORECASE,
)
# Shapes that token makers document.
_FORMS: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # JSON Web Token
    r"|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"  # GitHub, GitLab
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS access key
    r"|\bxox[abeoprs]-[\w-]{10,}"  # Slack
    r"|\bsk-[\w-]{16,}|\b[rs]k_(?:live|test)_\w{10,}"  # OpenAI and alike, Stripe
    r"|\bAIza[\w-]{30,}"  # Google
    r"|\bnpm_\w{30,}|\bpypi-[\w-]{30,}"
    r"|\bbearer\s+[\w.~+/=-]{8,}",
    re.DOTALL | re.IGNORECASE,
)
_USER_INFO: Final = re.compile(
    r"(\b[a-z][a-z0-9+.-]{1,20}://)[^/\s:@]{0,128}:[^/\s@]{1,256}@", re.IGNORECASE
)


def is_secret_name(name: str) -> bool:
    """Whether a variable or key of this name is likely to hold a secret."""
    return _SECRET_NAME.search(name) is not None


def secret_values(environ: Mapping[str, str]) -> frozenset[str]:
    """The values in *environ* that must not be in any text."""
    return frozenset(
        value
        for name, value in environ.items()
        if len(value) >= MIN_SECRET and is_secret_name(name)
    )


def scrub(text: str, secrets: frozenset[str] = frozenset()) -> str:
    """Return *text* with what looks like a secret replaced by `REDACTED`.

    >>> scrub("login --password hunter2secret failed: token=abc")
    'login --password hunter2secret failed: token=[redacted]'
    >>> scrub("postgres://me:pass@host/db")
    'postgres://[redacted]@host/db'

    Args:
        text: Bounded already: the patterns take time in proportion to it.
        secrets: Values to take out wherever they stand, longest first.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    text = _FORMS.sub(REDACTED, text)
    text = _USER_INFO.sub(rf"\1{REDACTED}@", text)
    return _KEYED.sub(rf"\1{REDACTED}", text)
