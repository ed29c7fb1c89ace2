"""A value that was refused, as a message may repeat it."""

from __future__ import annotations

from typing import Final

from otel_codomon._platform.known_secrets import known_secrets
from otel_codomon._platform.scrubbing import LOOKAHEAD, scrub

_LONGEST: Final = 80  # characters


def shown(value: object) -> str:
    """*value* for a message: on one line, bounded and without secrets, whatever its repr does."""
    try:
        text = str.__str__(repr(value))[: _LONGEST + LOOKAHEAD]  # repr may be of a class of its own
    except Exception:  # noqa: BLE001 - `__repr__` of a stranger: any failure at all
        text = f"<unprintable {type(value).__qualname__}>"
    text = " ".join(text.replace("\0", "").split()) or "''"
    return scrub(text.encode("utf-8", "replace").decode(), known_secrets(), limit=_LONGEST)
