"""A curve, drawn with characters: pure, values in and lines out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# A cell of the picture, filled from below by eighths; in ASCII by halves.
_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_HALVES: Final = "    .::::"
# A limit more times higher than the largest value would leave no room for the curve.
_NEAR: Final = 4


def draw_curve(
    seconds: Sequence[float],
    values: Sequence[float],
    *,
    write: Callable[[float], str],
    end_seconds: float | None = None,
    width: int = 60,
    height: int = 6,
    is_unicode: bool = True,
    limit: float | None = None,
) -> list[str]:
    """Draw *values* over *seconds* from 0 to the largest, as lines from top to bottom.

    Args:
        seconds: Instants, ascending.
        values: What was seen at each; of equal length.
        write: Writes a value for the scale at the left.
        end_seconds: Where the picture ends at the right; None for the last instant.
        width: Columns of the picture.
        height: Lines of the picture; one with the times comes below.
        is_unicode: Whether blocks can be drawn.
        limit: What the values may not pass: a line across, where they came near enough for it
            to be drawn to scale; None for no limit.

    Returns:
        Nothing where there is nothing to draw.
    """
    if not values:
        return []
    largest = max(*values, 0.0) if len(values) > 1 else max(values[0], 0.0)
    is_near = limit is not None and 0 < limit <= largest * _NEAR
    top = max(largest, limit) if is_near and limit is not None else largest
    end = max(seconds[-1], end_seconds or 0.0) or 1.0
    columns = _columns(seconds, values, end, width)
    labels = [write(top), *([""] * (height - 2)), "0"][:height]
    cells, rule = (_EIGHTHS, "┄") if is_unicode else (_HALVES, "-")
    limit_row = None
    if is_near and limit is not None:
        limit_row = min(height - 1, height - math.ceil(limit / top * height))
        labels[limit_row] = f"limit {write(limit)}"
    margin = max(map(len, labels)) + 1
    lines = []
    for row, label in enumerate(labels):
        level = height - 1 - row
        drawn = "".join(_cell(value / (top or 1.0) * height - level, cells) for value in columns)
        if row == limit_row:
            drawn = drawn.replace(" ", rule)
        lines.append(f"{label.rjust(margin)} {'│' if is_unicode else '|'}{drawn.rstrip()}")
    times = "0 s".ljust(width - len(_time(end))) + _time(end)
    lines.append(f"{'':{margin}} {'└' if is_unicode else '+'}{times}")
    return lines


def _columns(
    seconds: Sequence[float], values: Sequence[float], end: float, width: int
) -> list[float]:
    """The value of each column: the last one seen by then, the first before that."""
    found = []
    at = 0
    for column in range(width):
        until = (column + 1) / width * end
        while at + 1 < len(seconds) and seconds[at + 1] <= until:
            at += 1
        found.append(max(0.0, values[at]))
    return found


def _cell(filled: float, cells: str) -> str:
    return cells[max(0, min(8, round(filled * 8)))]


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s"
