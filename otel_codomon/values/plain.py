"""Values as JSON has them, with nothing in their texts that is not simply visible."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final

from otel_codomon._platform.printable import printable


def plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """*value* as JSON has it.

    A dataclass becomes an object, a number that is not finite null, and every
    text, keys included, is `printable`.
    """
    for types, convert in _PLAIN:
        if isinstance(value, types):
            return convert(value)
    return _plain_fields(value) if is_dataclass(value) else printable(str(value))


def _plain_fields(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    return {field.name: plain(getattr(value, field.name)) for field in fields(value)}


# The first row that fits: an Enum may be a str too.
_PLAIN: Final[tuple[tuple[Any, Callable[[Any], Any]], ...]] = (
    (Enum, lambda value: plain(value.value)),
    (float, lambda value: value if math.isfinite(value) else None),
    (str, printable),
    ((int, type(None)), lambda value: value),
    (Mapping, lambda value: {printable(str(key)): plain(each) for key, each in value.items()}),
    ((Sequence, AbstractSet), lambda value: [plain(each) for each in value]),
)
