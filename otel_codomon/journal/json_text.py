"""JSON from the journal: another process may have written anything there.

What comes out is a value that OTLP knows, within bounds.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from otel_codomon._platform.cleaning import MAX_NAME, clean_text

_INT64: Final = 2**63
_MAX_DEPTH: Final = 4
_MAX_ITEMS: Final = 1024
_MAX_CHARACTERS: Final = 1024 * 1024
_DECODE: Final = json.JSONDecoder().decode


def read_object(payload: bytes) -> dict[str, Any]:
    """The JSON object in *payload*.

    Raises:
        ValueError: It is not UTF-8, not JSON, not an object, or nested too deeply.
    """
    try:
        found = _DECODE(payload.decode())  # `json.loads` would guess the encoding first
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 - of the content, not of an argument
    return found


def bounded(value: Any, depth: int = _MAX_DEPTH) -> Any:  # noqa: ANN401, PLR0911 - any value of JSON; a line for each kind
    """*value* as OTLP knows it: texts are valid, numbers have 64 bits, lists and depth an end."""
    kind = type(value)
    if kind is str:
        return _text(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -_INT64 <= value < _INT64 else f"<int of {value.bit_length()} bits>"
    if kind is float:
        return value if math.isfinite(value) else repr(value)
    if depth == 0:
        return f"<{kind.__name__}>"
    if isinstance(value, (list, tuple)):
        return tuple(bounded(item, depth - 1) for item in value[:_MAX_ITEMS])
    if isinstance(value, dict):
        return bounded_mapping(value, depth - 1)
    return clean_text(value)


def bounded_mapping(value: dict[Any, Any], depth: int = _MAX_DEPTH) -> dict[str, Any]:
    """The entries of *value* with valid, short keys and bounded values."""
    items = list(value.items())[:_MAX_ITEMS]
    return {clean_text(key, limit=MAX_NAME): bounded(item, depth) for key, item in items}


def _text(text: str) -> str:
    if len(text) <= _MAX_CHARACTERS and text.isascii():
        return text
    return clean_text(text, limit=_MAX_CHARACTERS)
