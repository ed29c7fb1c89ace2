"""Numbers from the command line: each converter is one kind of number."""

from __future__ import annotations

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def positive_number(text: str, /) -> float:
    """A finite number above zero.

    Raises:
        ValueError: It is none; argparse then says so.
    """
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(f"cannot use {text}: it is not a positive number; give one")
    return number


def positive_whole(text: str, /) -> int:
    """A whole number above zero; raises `ValueError` as `positive_number`."""
    number = int(text)
    if number <= 0:
        raise ValueError(f"cannot use {text}: it is not above zero; give a larger one")
    return number


def size_bytes(text: str, /) -> int:
    """A number of bytes, such as ``512M``, ``1.5GiB`` or ``4096``: units are powers of 1024.

    Raises:
        ValueError: As `positive_number`.
    """
    number = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = number[-1:] if number[-1:].isalpha() else ""
    if unit not in _UNITS:
        raise ValueError(f"cannot use {text}: no unit is called {unit}; use K, M, G or T")
    size = int(positive_number(number.removesuffix(unit)) * _UNITS[unit])
    return positive_whole(str(size))


for _converter, _name in (
    (positive_number, "number above zero"),
    (positive_whole, "whole number above zero"),
    (size_bytes, "size"),
):
    _converter.__name__ = _name  # what argparse calls it: "invalid size value: '5X'"
