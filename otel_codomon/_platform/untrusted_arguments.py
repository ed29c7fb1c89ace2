"""Read arguments of any class at all as what they stand for, without trusting their methods."""

from __future__ import annotations


def plain_number(value: object, *, is_whole: bool = False) -> float | None:
    """Return *value* as an int, or as a float unless it has to be whole; None where it is neither.

    Infinity and NaN are numbers here: no range holds them.
    """
    kind = type(value)  # `isinstance` would ask the value
    if kind is bool:
        return None
    if issubclass(kind, int):
        return int.__pos__(value)  # type: ignore[arg-type] # an int, by its class
    if issubclass(kind, float) and not is_whole:
        return float.__pos__(value)  # type: ignore[arg-type] # a float, by its class
    return None


def plain_text(value: object) -> str | None:
    """Return *value* as a plain text; None where it is none."""
    return str.__str__(value) if issubclass(type(value), str) else None
