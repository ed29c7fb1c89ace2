"""The last minute of a figure of one execution: a curve, and where it is going. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from otel_codomon.report.distribution import FORECAST_SECONDS, Trend, find_trend

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MINUTE_SECONDS: Final = 60.0
LONGEST_FORECAST_SECONDS: Final = 3600.0
_MAX_POINTS: Final = 600  # ten samples a second
# For a trend: pairs grow with the square, and fifty executions have one a second.
_TREND_POINTS: Final = 20


class Recent:
    """What was seen of one figure within the last minute.

    >>> recent = Recent()
    >>> for second in range(40):
    ...     recent.add(float(second), 100.0 + second)
    >>> recent.curve(4, until=39.0)
    [None, 109.0, 124.0, 139.0]
    >>> round(recent.trend(limit=200.0).slope_per_second, 3)
    1.0
    """

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=_MAX_POINTS)

    def add(self, seconds: float, value: float) -> None:
        """Note *value* at an instant, not before the one before."""
        self._points.append((seconds, value))
        while self._points[0][0] < seconds - MINUTE_SECONDS:
            self._points.popleft()

    def extend(self, points: Iterable[tuple[float, float]]) -> None:
        """Note several, in their order."""
        for seconds, value in points:
            self.add(seconds, value)

    def curve(self, columns: int, *, until: float) -> list[float | None]:
        """The last value of each of *columns* equal parts of the minute that ends at *until*.

        None for a part in which, and before which, nothing was seen.
        """
        return list(self._columns(columns, until - MINUTE_SECONDS))

    def _columns(self, columns: int, start: float) -> Iterator[float | None]:
        points, at = tuple(self._points), 0
        last: float | None = None
        for column in range(columns):
            end = start + (column + 1) / columns * MINUTE_SECONDS
            while at < len(points) and points[at][0] <= end:
                last = points[at][1]
                at += 1
            yield last

    def trend(self, *, limit: float | None = None) -> Trend | None:
        """Where the figure is going; None before there are thirty seconds of it.

        Args:
            limit: Where it may not go. When it gets there is said where that is
                less than an hour away and the points bear a forecast.
        """
        points = tuple(self._points)
        if not points or points[-1][0] - points[0][0] < FORECAST_SECONDS:
            return None
        step = max(1, len(points) // _TREND_POINTS)
        shown = points[::-1][::step][::-1]
        found = find_trend([at for at, _ in shown], [value for _, value in shown], limit=limit)
        if found is None or (found.seconds_until_limit or 0.0) < LONGEST_FORECAST_SECONDS:
            return found
        return Trend(direction=found.direction, slope_per_second=found.slope_per_second)
