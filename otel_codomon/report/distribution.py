"""Many numbers as a few: percentiles, a comparison of two samples, a trend over time.

The statistics are those of the textbooks, chosen because they assume nothing
about the shape of the numbers: durations are never normal. They are short
enough to be here; the libraries that have them are a hundred times the size
of this package.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which *share* of *ordered* lies, interpolated between neighbours.

    Args:
        ordered: Numbers in ascending order, at least one.
        share: From 0 (the least) to 1 (the largest).
    """
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    part = position - below
    # Written so that equal neighbours give exactly themselves.
    return ordered[below] + (ordered[above] - ordered[below]) * part


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Many numbers as a few, all in the unit of the numbers.

    Attributes:
        count: How many there are.
        minimum: The least.
        p50: Median.
        p90: Nine in ten are at most this.
        p99: Ninety-nine in a hundred are at most this.
        maximum: The largest.
        total: Their sum.
    """

    count: int
    minimum: float
    p50: float
    p90: float
    p99: float
    maximum: float
    total: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Distribution | None:
        """Sum up *numbers*, in any order; None when there are none."""
        if not numbers:
            return None
        ordered = sorted(numbers)
        return cls(
            count=len(ordered),
            minimum=ordered[0],
            p50=percentile(ordered, 0.5),
            p90=percentile(ordered, 0.9),
            p99=percentile(ordered, 0.99),
            maximum=ordered[-1],
            total=math.fsum(ordered),
        )


# --- two samples ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Whether the numbers of one period tend to be larger than those of the one before.

    Attributes:
        probability: How likely a difference this large or larger is, upwards,
            if nothing had changed: the p-value, one-sided.
        superiority: Share of all pairs in which the later number is the
            larger one, ties counting half: 0.5 is no difference.
    """

    probability: float
    superiority: float


# Up to this many pairs the exact distribution is counted. Above it the normal
# one is closer than 0.002 to it; with ties, which take longer to count, it is
# near where a difference is said to be one, and coarse where most are the same.
_EXACT_PAIRS: Final = 400
_EXACT_TIED_PAIRS: Final = 100


def compare(before: Sequence[float], after: Sequence[float]) -> Comparison | None:
    """Mann-Whitney U test of *after* being larger than *before*.

    Mann and Whitney, "On a test of whether one of two random variables is
    stochastically larger than the other", 1947; with the correction for ties
    and for continuity.

    Returns:
        None when one of the two is empty.
    """
    if not before or not after:
        return None
    ordered = sorted(before)
    # U of `after` twice, so that half a pair is a whole number.
    twice_u = sum(bisect_left(ordered, x) + bisect_right(ordered, x) for x in after)
    pairs = len(before) * len(after)
    ties = _tie_sizes(sorted([*before, *after]))
    if max(ties) == 1 and pairs <= _EXACT_PAIRS:
        probability = _exact_probability(len(before), len(after), twice_u // 2)
    elif pairs <= _EXACT_TIED_PAIRS:
        probability = _exact_tied_probability(len(before), twice_u, ties)
    else:
        probability = _normal_probability(len(before), len(after), twice_u / 2, ties)
    return Comparison(probability=probability, superiority=twice_u / 2 / pairs)


def _tie_sizes(ordered: Sequence[float]) -> list[int]:
    sizes: list[int] = []
    last = math.nan  # equal to nothing
    for number in ordered:
        if number == last:
            sizes[-1] += 1
        else:
            sizes.append(1)
        last = number
    return sizes


def _exact_probability(n: int, m: int, u: int) -> float:
    """Share of the orders of n + m numbers in which U is at least *u*."""
    ways = _ways(n, m)
    return sum(ways[u:]) / sum(ways)


@lru_cache(maxsize=64)
def _ways(n: int, m: int) -> tuple[int, ...]:
    """In how many orders of n + m numbers U is 0, 1, ..., n * m.

    The coefficients of the Gaussian binomial: the product over i of
    (1 - q^(m+i)) / (1 - q^i), i from 1 to n, multiplied out in whole numbers.
    """
    coefficients = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for at in range(n * m, m + i - 1, -1):
            coefficients[at] -= coefficients[at - m - i]
        for at in range(i, n * m + 1):
            coefficients[at] += coefficients[at - i]
    return tuple(coefficients)


def _exact_tied_probability(n: int, twice_u: int, ties: Sequence[int]) -> float:
    """Share of the ways to deal numbers out in which U is at least half of *twice_u*.

    Args:
        n: Numbers that the earlier sample gets.
        twice_u: Twice the U that was seen.
        ties: How many numbers are the same, in ascending order of the numbers.
    """
    # Dealt out value by value: (what the earlier sample has got, twice U) -> ways.
    ways = Counter({(0, 0): 1})
    left = sum(ties)
    for size in ties:
        left -= size
        dealt: Counter[tuple[int, int]] = Counter()
        for (got, twice), count in ways.items():
            for more in range(max(0, n - got - left), min(size, n - got) + 1):
                after = twice + (size - more) * (2 * got + more)
                dealt[got + more, after] += count * math.comb(size, more)
        ways = dealt
    reached = sum(count for (_, twice), count in ways.items() if twice >= twice_u)
    return reached / sum(ways.values())


def _normal_probability(n: int, m: int, u: float, ties: Sequence[int]) -> float:
    total = n + m
    tied = sum(size**3 - size for size in ties) / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - tied)
    if variance <= 0:  # all numbers are the same
        return 1.0
    z = (u - n * m / 2 - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2)) / 2


def compare_rates(
    before_hits: int, before_total: int, after_hits: int, after_total: int
) -> float | None:
    """Fisher's exact test of a rate having risen: the p-value, one-sided.

    Args:
        before_hits: How often it happened in the earlier period.
        before_total: Out of how many.
        after_hits: How often in the later period.
        after_total: Out of how many.

    Returns:
        None when one of the totals is 0.
    """
    if not before_total or not after_total:
        return None
    hits, total = before_hits + after_hits, before_total + after_total
    logs = [
        _log_choose(after_total, k) + _log_choose(before_total, hits - k)
        for k in range(after_hits, min(hits, after_total) + 1)
        if hits - k <= before_total
    ]
    return min(1.0, math.fsum(math.exp(log - _log_choose(total, hits)) for log in logs))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


# --- one figure over time ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """Where a figure is going.

    Attributes:
        direction: ``rising``, ``falling`` or ``steady``: rising and falling
            only where chance alone would look like this once in twenty times.
        slope_per_second: Its change per second, in its own unit.
        seconds_until_limit: When it will reach the limit if it goes on like
            this; 0 where it has; None where it does not go there, there is no
            limit, or the points do not bear a forecast (see `find_trend`).
    """

    direction: str
    slope_per_second: float
    seconds_until_limit: float | None = None


# Pairs grow with the square: 60 points make 1,770, a millisecond.
_MAX_POINTS: Final = 60
_FEWEST_POINTS: Final = 5
_CHANCE: Final = 0.05
# A forecast needs enough time behind it, a line that explains most of what was seen,
# and reaches no further than ten times what was seen.
FORECAST_SECONDS: Final = 30.0
_FORECAST_FIT: Final = 0.8
_FORECAST_REACH: Final = 10.0


def find_trend(
    seconds: Sequence[float], numbers: Sequence[float], *, limit: float | None = None
) -> Trend | None:
    """The trend of *numbers* seen at *seconds*.

    The slope is that of Theil and Sen, the median of the slopes of all pairs,
    which a few outliers do not move; whether there is one at all is Kendall's
    test (Mann, 1945), both on at most 60 points spread evenly.

    A forecast is made only from 30 seconds or more, where the line explains at
    least four fifths of the variance, and for at most ten times that stretch.

    Args:
        seconds: Instants, ascending.
        numbers: The figure at each of them.
        limit: Where it may not go.

    Returns:
        None with fewer than five points, or no time between them.
    """
    step = max(1, math.ceil(len(numbers) / _MAX_POINTS))
    points = list(zip(seconds, numbers, strict=True))[::-1][::step][::-1]
    slopes = [
        (later - earlier) / (t - s)
        for index, (s, earlier) in enumerate(points)
        for t, later in points[index + 1 :]
        if t > s
    ]
    if len(points) < _FEWEST_POINTS or not slopes:
        return None
    slope = percentile(sorted(slopes), 0.5)
    if not _is_trend(slopes, [number for _, number in points]) or slope == 0:
        return Trend(direction="steady", slope_per_second=slope)
    return Trend(
        direction="rising" if slope > 0 else "falling",
        slope_per_second=slope,
        seconds_until_limit=None if limit is None else _until(points, slope, limit),
    )


def _is_trend(slopes: Sequence[float], numbers: Sequence[float]) -> bool:
    """Whether rises outnumber falls, or the other way round, beyond chance."""
    surplus = sum((slope > 0) - (slope < 0) for slope in slopes)
    n = len(numbers)
    tied = sum(t * (t - 1) * (2 * t + 5) for t in _tie_sizes(sorted(numbers)))
    variance = (n * (n - 1) * (2 * n + 5) - tied) / 18
    if variance <= 0:
        return False
    z = (abs(surplus) - 1) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2)) < _CHANCE


def _until(points: Sequence[tuple[float, float]], slope: float, limit: float) -> float | None:
    now = points[-1][1]
    if slope <= 0:
        return None
    if now >= limit:
        return 0.0
    observed_seconds = points[-1][0] - points[0][0]
    if observed_seconds < FORECAST_SECONDS or _fit(points, slope) < _FORECAST_FIT:
        return None
    left_seconds = (limit - now) / slope
    return left_seconds if left_seconds <= _FORECAST_REACH * observed_seconds else None


def _fit(points: Sequence[tuple[float, float]], slope: float) -> float:
    """Share of the variance of *points* that a line of this slope explains; 1 is all."""
    intercept = percentile(sorted(number - slope * at for at, number in points), 0.5)
    mean = math.fsum(number for _, number in points) / len(points)
    spread = math.fsum((number - mean) ** 2 for _, number in points)
    missed = math.fsum((number - intercept - slope * at) ** 2 for at, number in points)
    return 1 - missed / spread if spread else 0.0
