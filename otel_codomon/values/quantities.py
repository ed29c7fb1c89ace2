"""Numbers with units, written for people. The unit is told by the end of the number's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BYTES: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_KIB: Final = 1024
_SECONDS: Final = ((1e-3, 1e6, "us"), (1, 1e3, "ms"), (120, 1, "s"), (7200, 1 / 60, "min"))


def in_bytes(value: float | None) -> str:
    """Bytes for people: ``1.5 MiB``; ``-`` for what is not known."""
    if value is None:
        return "-"
    step = 0
    while abs(value) >= _KIB and step < len(_BYTES) - 1:
        value /= _KIB
        step += 1
    return f"{value:.0f} {_BYTES[step]}" if step == 0 else f"{value:.1f} {_BYTES[step]}"


def in_seconds(value: float | None) -> str:
    """A time for people: ``12 ms``, ``3.4 s``, ``2.0 h``; ``-`` for what is not known."""
    if value is None:
        return "-"
    for below, factor, unit in _SECONDS:
        if value < below:
            return f"{value * factor:.3g} {unit}"
    return f"{value / 3600:.1f} h"


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
