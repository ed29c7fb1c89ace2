"""A table that fits: as many columns as there is room for, one line for each row. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP: Final = 2
_ELLIPSIS: Final = "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        title: Its heading.
        is_number: Whether it is aligned at the right.
        least: Columns of the screen that it may be cut down to; None where it is
            whole or not there.
        is_kept: Whether it stays however narrow the screen is.
    """

    title: str
    is_number: bool = False
    least: int | None = None
    is_kept: bool = False


def fit_widths(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, width: int | None
) -> list[int]:
    """The width of each column on a screen; 0 for one that has no place on it.

    Columns are dropped from the right. What can be cut is cut before the last
    column to stay is dropped.

    Args:
        columns: The columns.
        rows: Their cells.
        width: Of the screen; None for one without an end.
    """
    wanted = [
        max([len(column.title), *(len(row[at]) for row in rows)])
        for at, column in enumerate(columns)
    ]
    if width is None:
        return wanted
    shown = list(wanted)
    for at in reversed(range(len(columns))):
        if _total(_cut(columns, shown, width)) <= width:
            break
        if not columns[at].is_kept:
            shown[at] = 0
    return _cut(columns, shown, width)


def _total(widths: Sequence[int]) -> int:
    there = [width for width in widths if width]
    return sum(there) + GAP * (len(there) - 1)


def _cut(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """*widths* with the columns that may be cut as narrow as is needed, from the right."""
    found = list(widths)
    for at in reversed(range(len(columns))):
        least, over = columns[at].least, _total(found) - width
        if over > 0 and least is not None and found[at]:
            found[at] = max(min(least, found[at]), found[at] - over)
    return found


def fit_row(
    columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int], *, ellipsis: str
) -> list[str]:
    """The cells that are shown, each of its column's width."""
    return [
        _aligned(cut_text(cell, width, ellipsis=ellipsis), width, is_number=column.is_number)
        for column, cell, width in zip(columns, cells, widths, strict=True)
        if width
    ]


def cut_text(text: str, width: int, *, ellipsis: str = _ELLIPSIS) -> str:
    """*text*, or its beginning and an ellipsis, in *width* characters."""
    if len(text) <= width:
        return text
    return (text[: max(0, width - len(ellipsis))] + ellipsis)[:width]


def _aligned(text: str, width: int, *, is_number: bool) -> str:
    return text.rjust(width) if is_number else text.ljust(width)
