"""A value that was refused, as a message may repeat it."""

from __future__ import annotations

from typing import Final

from otel_codomon._platform.scrubbing import LOOKAHEAD, scrub

_LONGEST: Final = 80  # characters


def shown(value: object) -> str:
    """*value* for a message: on one line, bounded, and without secrets."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - `__repr__` of a stranger: any failure at all
        text = f"<unprintable {type(value).__qualname__}>"
    return scrub(text[: _LONGEST + LOOKAHEAD], limit=_LONGEST)
