"""Numbers with units, written for people. The unit is told by the end of the number's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BYTES: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_KIB: Final = 1024
_MANY: Final = 100  # from here on a fraction says nothing
_SHORT: Final = ((1e-3, 1e6, "µs"), (1, 1e3, "ms"), (60, 1, "s"))
# Of a longer time the two largest units: from how many seconds on, and what they have.
_LONG: Final = ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def in_bytes(value: float | None) -> str:
    """Bytes for people: ``1.5 MiB``, ``512 MiB``; ``-`` for what is not known."""
    if value is None:
        return "-"
    step = 0
    while abs(value) >= _KIB and step < len(_BYTES) - 1:
        value /= _KIB
        step += 1
    digits = 0 if step == 0 or abs(value) >= _MANY else 1
    return f"{value:.{digits}f}".removesuffix(".0") + f" {_BYTES[step]}"


def in_seconds(value: float | None) -> str:
    """A time for people: ``12 ms``, ``3.4 s``, ``2m 5s``, ``1h``; ``-`` for what is not known."""
    if value is None:
        return "-"
    if value == 0:
        return "0 s"
    for below, factor, unit in _SHORT:
        if value < below:
            number = value * factor
            return f"{number:.3g} {unit}" if number < _MANY else f"{number:.0f} {unit}"
    whole = round(value)
    size, unit, part, name = next(row for row in _LONG if whole >= row[0])
    rest = whole % size // part
    return f"{whole // size}{unit}" + (f" {rest}{name}" if rest else "")


def in_percent(share: float | None) -> str:
    """A share of 1 for people: ``42 %``; ``-`` for what is not known."""
    return "-" if share is None else f"{share * 100:.3g} %"


def in_number(value: float | None) -> str:
    """A number for people; ``-`` for what is not known. A count is written out in full."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def in_words(count: int, one: str, more: str) -> str:
    """How many there are of a thing: ``1 entry``, ``64 entries``."""
    return f"{in_number(count)} {one if count == 1 else more}"


# End of a name -> how its number is written; the rest are plain numbers.
_WRITERS: Final[tuple[tuple[str, Callable[[float | None], str]], ...]] = (
    ("_bytes_per_second", lambda value: f"{in_bytes(value)}/s"),
    ("_bytes", in_bytes),
    ("_seconds", in_seconds),
    ("_share", in_percent),
)


def write_quantity(name: str, value: object) -> str:
    """*value* for people, in the unit that *name* ends with; a text as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is not None and not isinstance(value, (int, float)):
        return str(value)
    writer = next((write for end, write in _WRITERS if name.endswith(end)), in_number)
    return writer(value)


def write_quantities(values: Mapping[str, object]) -> dict[str, str]:
    """Every value for people, by its name."""
    return {name: write_quantity(name, value) for name, value in values.items()}
