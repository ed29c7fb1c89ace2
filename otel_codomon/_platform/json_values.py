"""Values as JSON has them, with nothing in their texts that is not simply visible."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import datetime, timezone
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


# --- the one form in which every command prints JSON ---

_TIME: Final = "unix_ns"
_RUNNING: Final = "running"


def as_json(value: object) -> Any:  # noqa: ANN401 - JSON
    """*value* as the commands print it.

    As `plain`, but a time is ISO 8601 in UTC instead of nanoseconds since the
    epoch, a field that is not known is left out, and the outcome of an
    execution that has not ended is ``running``.
    """
    if is_dataclass(value):
        told = {json_name(field.name): _field(value, field.name) for field in fields(value)}
        return {name: each for name, each in told.items() if each is not None}
    if isinstance(value, Enum):
        return plain(value)
    if isinstance(value, Mapping):
        return {printable(str(key)): as_json(each) for key, each in value.items()}
    if isinstance(value, (Sequence, AbstractSet)) and not isinstance(value, str):
        return [as_json(each) for each in value]
    return plain(value)


def _field(owner: object, name: str) -> Any:  # noqa: ANN401 - as above
    value = getattr(owner, name)
    if name == "outcome" and value is None:
        return _RUNNING
    return iso_time(value) if name.endswith(_TIME) else as_json(value)


def json_name(name: str) -> str:
    """What a field is called in JSON: ``started`` for ``started_unix_ns``.

    >>> [json_name(name) for name in ("started_unix_ns", "unix_ns", "name")]
    ['started', 'time', 'name']
    """
    return name.removesuffix(_TIME).removesuffix("_") or "time" if name.endswith(_TIME) else name


def iso_time(unix_ns: int | None) -> str | None:
    """An instant as ISO 8601 in UTC, to the microsecond; None for one that no calendar has.

    >>> iso_time(1_772_452_800_250_000_000)
    '2026-03-02T12:00:00.250000Z'
    """
    if unix_ns is None:
        return None
    seconds, rest = divmod(unix_ns, 10**9)
    try:
        instant = datetime.fromtimestamp(seconds, timezone.utc).replace(microsecond=rest // 1000)
    except (OverflowError, ValueError, OSError):
        return None
    return instant.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
