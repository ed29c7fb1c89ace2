"""A curve that never has more than so many points, however long the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from otel_codomon.resources.usage import Curve

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_POINTS: Final = 60


class Point(NamedTuple):
    """What was used in one stretch of time.

    Attributes:
        seconds: Its end, seconds since the start of the execution.
        lasted_seconds: Its length.
        cores: Cores in use, on average over the stretch.
        memory_bytes: Most memory seen in it: a spike outlives every thinning.
    """

    seconds: float
    lasted_seconds: float
    cores: float
    memory_bytes: int


def merge(earlier: Point, later: Point) -> Point:
    """One point for two that follow each other: the area and the spike are kept."""
    lasted = earlier.lasted_seconds + later.lasted_seconds
    area = earlier.cores * earlier.lasted_seconds + later.cores * later.lasted_seconds
    return Point(
        later.seconds,
        lasted,
        area / lasted if lasted > 0 else max(earlier.cores, later.cores),
        max(earlier.memory_bytes, later.memory_bytes),
    )


class CurveBuilder:
    """Takes points as they come and keeps at most `MAX_POINTS`, thinned evenly.

    When there is no more room neighbours are merged in pairs, and from then on
    as many points make one as the older ones stand for.
    """

    __slots__ = ("_in_last", "_per_point", "_points")

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._per_point = 1
        self._in_last = 0

    def add(self, point: Point) -> None:
        """Add what was used since the point before."""
        if self._points and self._in_last < self._per_point:
            self._points[-1] = merge(self._points[-1], point)
            self._in_last += 1
            return
        if len(self._points) == MAX_POINTS:
            self._points = halve(self._points)
            self._per_point *= 2
        self._points.append(point)
        self._in_last = 1

    def raise_last(self, memory_bytes: int) -> None:
        """Count *memory_bytes* to the last point: seen too soon after it for one of its own."""
        if self._points and memory_bytes > self._points[-1].memory_bytes:
            self._points[-1] = self._points[-1]._replace(memory_bytes=memory_bytes)

    def curve(self) -> Curve | None:
        """The curve so far; None without a point."""
        if not self._points:
            return None
        return Curve(
            seconds=tuple(round(point.seconds, 6) for point in self._points),
            cores=tuple(round(point.cores, 4) for point in self._points),
            memory_bytes=tuple(point.memory_bytes for point in self._points),
        )


def halve(points: Sequence[Point]) -> list[Point]:
    """Merge neighbours in pairs; of an odd number the last stays alone."""
    pairs = zip(points[::2], points[1::2], strict=False)
    alone = points[len(points) // 2 * 2 :]
    return [*(merge(earlier, later) for earlier, later in pairs), *alone]
