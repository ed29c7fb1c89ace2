"""Numbers from the command line: each converter is one kind of number, and says what it takes."""

from __future__ import annotations

from otel_codomon.values.bounds import (
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
            f"cannot use {text!r:.40}: it is no number above 0, and up to {LONGEST_SECONDS:.0f}; "
            "give one, as 2 or 0.5"
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
            f"cannot use {text!r:.40}: it is no whole number above 0, and up to {MOST_PROCESSES}; "
            "give one, as 16"
        )
    return int(text)


def memory_bytes(text: str, /) -> int:
    """A size, as `size_bytes`, in which a program can start.

    Raises:
        ValueError: It is none; its text says what would be one.
    """
    size = size_bytes(text)
    if size < LEAST_MEMORY_BYTES:
        raise ValueError(
            f"cannot use {text!r:.40}: no program starts in less than 1M; write one as 512M or 1.5G"
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
        raise ValueError(f"cannot use {text!r:.40}: it is no size; write one as 4096, 512M or 1.5G")
    return int(size)


def _number(text: str) -> float:
    """The number that *text* is; one that no range holds where it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
