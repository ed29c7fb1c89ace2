"""Make anything at all into something that telemetry can carry.

Names, results, exception texts and attribute values come from code that is
not ours. One lone surrogate in a batch loses the batch in the SDK's encoder,
an int of 64 bits or more stops it, and a ``__str__`` may raise. Whatever
comes in here, what goes out is short, valid UTF-8 and of a type OTLP knows.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TEXT: Final = 8192
"""Characters kept of a text; longer ones end in an ellipsis."""
MAX_NAME: Final = 128
"""Characters kept of a name or a key."""
MAX_ITEMS: Final = 128
"""Items kept of a sequence, and entries of a mapping of attributes."""

_INT64: Final = 2**63

Scalar = str | bool | int | float
AttributeValue = Scalar | tuple[str, ...]


def clean_text(value: object, *, limit: int = MAX_TEXT) -> str:
    """Return *value* as valid, bounded text; a placeholder where it cannot be had.

    Args:
        value: Anything; a text is taken as it is, bytes are decoded, and any
            other object is asked for its ``str``.
        limit: Characters to keep.
    """
    try:
        if isinstance(value, bytes):
            text = value[: 4 * limit].decode("utf-8", "replace")
        elif isinstance(value, str):
            text = str.__str__(value)
        else:
            text = str.__str__(str(value))
    except Exception:  # noqa: BLE001 - `__str__` of a stranger: any failure at all
        return _placeholder(value)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def _placeholder(value: object) -> str:
    name = type(value).__qualname__.encode("ascii", "replace").decode("ascii")
    return f"<unprintable {name[:MAX_NAME]}>"


def clean_name(value: object, *, default: str) -> str:
    """Return *value* as a short name on one line; *default* if nothing is left of it."""
    return on_one_line(clean_text(value, limit=MAX_NAME)) or default


def on_one_line(text: str) -> str:
    """*text* with one space for each run of white space, and without NUL."""
    return " ".join(text.replace("\0", "").split())


def clean_attribute(value: object) -> AttributeValue:
    """Return *value* as an attribute value: a scalar, or a tuple of texts.

    Whole numbers beyond 64 bits and floats that are not finite become text,
    since OTLP has no number for the first and JSON none for the second.
    """
    try:
        return _clean_attribute(value)
    except Exception:  # noqa: BLE001 - even what asks for its class may raise
        return _placeholder(value)


def _clean_attribute(value: object) -> AttributeValue:
    kind = type(value)
    if kind is str or kind is bytes:
        return clean_text(value)
    if isinstance(value, (bool, int, float)):
        return _clean_number(value)
    if kind in (list, tuple, set, frozenset):
        return tuple(clean_text(item, limit=MAX_NAME) for item in first_items(value))
    return clean_text(value)


def _clean_number(value: bool | float) -> Scalar:  # noqa: FBT001 - a bool is what it may be
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        whole = int.__int__(value)
        if -_INT64 <= whole < _INT64:
            return whole
        return f"<int of {whole.bit_length()} bits>"
    return float.__float__(value) if math.isfinite(value) else repr(float.__float__(value))


def clean_attributes(attributes: Mapping[str, object]) -> dict[str, AttributeValue]:
    """Clean keys and values of *attributes*, at most `MAX_ITEMS` of them."""
    return {
        clean_name(key, default="unnamed"): clean_attribute(value)
        for key, value in first_pairs(attributes)
    }


def first_items(items: Any) -> list[object]:  # noqa: ANN401 - a list, tuple, set or frozenset
    """The first `MAX_ITEMS` of *items*."""
    return list(islice(items, MAX_ITEMS))


def first_pairs(attributes: Mapping[str, object]) -> list[tuple[object, object]]:
    """The first `MAX_ITEMS` keys of *attributes* with their values, but for those that are None."""
    try:
        pairs = list(islice(attributes.items(), MAX_ITEMS))
    except Exception:  # noqa: BLE001 - a stranger's mapping: any failure at all
        return []
    return [(key, value) for key, value in pairs if value is not None]
