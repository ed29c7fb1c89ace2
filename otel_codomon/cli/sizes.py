"""Numbers from the command line: each converter is one kind of number, and says what it takes."""

from __future__ import annotations

from otel_codomon._platform.bounds import (
    LARGEST,
    LEAST_MEMORY_BYTES,
    LONGEST_SECONDS,
    MOST_PROCESSES,
)

_MAX_DIGITS = 20
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def positive_number(text: str, /) -> float:
    """A number above zero that can be waited for.

    Raises:
        ValueError: It is none; its text says what would be one.
    """
    value = _number(text)
    if not 0 < value <= LONGEST_SECONDS:
        raise ValueError(
            f"invalid number of seconds {text!r:.40}: must be more than 0 and at most "
            f"{LONGEST_SECONDS:.0f}, such as 2 or 0.5"
        )
    return value


def positive_whole(text: str, /) -> int:
    """A whole number above zero that the kernel can hold.

    Raises:
        ValueError: It is none; its text says what would be one.
    """
    is_whole = text.isascii() and text.isdecimal() and len(text) < _MAX_DIGITS
    if not (is_whole and 0 < int(text) <= MOST_PROCESSES):
        raise ValueError(
            f"invalid count {text!r:.40}: must be a whole number from 1 to {MOST_PROCESSES}, "
            "such as 16"
        )
    return int(text)


def limit_bytes(text: str, /) -> int:
    """A size, as `size_bytes`, of 1 MiB or more: less was most likely meant with a unit.

    Raises:
        ValueError: It is none; its text says what would be one.
    """
    size = size_bytes(text)
    if size < LEAST_MEMORY_BYTES:
        number = text.strip().rstrip("KkMmIiBb")
        meant = number + ("M" if float(number) >= 1 else "G")
        raise ValueError(
            f"invalid limit {text!r:.40}: must be 1M or more (did you mean {meant:.40}?)"
        )
    return size


def size_bytes(text: str, /) -> int:
    """A number of bytes, such as ``512M``, ``1.5GiB`` or ``4096``: units are powers of 1024.

    Raises:
        ValueError: It is none, less than a byte, or more than the kernel can
            hold; its text says what would be one.
    """
    written = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = written[-1:] if written[-1:].isalpha() else ""
    size = _number(written.removesuffix(unit)) * _UNITS.get(unit, 0)
    if not 1 <= size < LARGEST:
        raise ValueError(
            f"invalid size {text!r:.40}: use bytes or a unit, such as 4096, 512M or 1.5G"
        )
    return int(size)


def _number(text: str) -> float:
    """The number that *text* is; one that no range holds where it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
