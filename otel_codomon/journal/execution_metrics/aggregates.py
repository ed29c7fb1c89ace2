"""What one series adds up: a counter, or a histogram with fixed or exponential buckets.

Pure: values in, values out, JSON both ways.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

MAX_SCALE: Final = 20
MAX_BUCKETS: Final = 160
"""As the SDK's exponential histograms begin: the specification's defaults."""
_MIN_SCALE: Final = -10
_INT64: Final = 2**63


class Exemplar(NamedTuple):
    """One measurement and the span it was made in.

    Attributes:
        value: In the unit of the metric.
        unix_ns: When, nanoseconds since the epoch.
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
    """

    value: float
    unix_ns: int
    trace_id: str
    span_id: str


@dataclass(slots=True)
class Total:
    """A counter."""

    value: int = 0

    def add(self, value: float) -> object:
        """Add one measurement; the bucket that an exemplar of it belongs to."""
        self.value = min(self.value + int(value), _INT64 - 1)
        return None

    def copy(self) -> Total:
        """The same, for later."""
        return replace(self)

    def to_json(self) -> object:
        """What `from_json` takes."""
        return self.value

    @staticmethod
    def from_json(told: Any) -> Total:  # noqa: ANN401 - JSON
        """What `to_json` gave.

        Raises:
            ValueError: It is something else.
        """
        return Total(_count(told))


@dataclass(slots=True)
class Histogram:
    """A histogram with fixed buckets.

    Attributes:
        boundaries: Upper ends of all buckets but the last.
        counts: Measurements by bucket.
        total: Their sum.
        smallest: The smallest; infinite without any.
        largest: The largest; infinite without any.
    """

    boundaries: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0
    smallest: float = math.inf
    largest: float = -math.inf

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.boundaries) + 1)

    @property
    def count(self) -> int:
        """How many measurements."""
        return sum(self.counts)

    def add(self, value: float) -> object:
        """Add one measurement; the bucket that an exemplar of it belongs to."""
        bucket = bisect_left(self.boundaries, value)
        self.counts[bucket] += 1
        self.total += value
        self.smallest, self.largest = min(self.smallest, value), max(self.largest, value)
        return bucket

    def copy(self) -> Histogram:
        """The same, for later."""
        return replace(self, counts=list(self.counts))

    def to_json(self) -> object:
        """What `from_json` takes."""
        return [self.counts, self.total, self.smallest, self.largest]

    @staticmethod
    def from_json(told: Any, boundaries: tuple[float, ...]) -> Histogram:  # noqa: ANN401 - JSON
        """What `to_json` gave.

        Raises:
            ValueError: It is something else, or has other buckets.
            TypeError: As above.
        """
        counts, total, smallest, largest = told
        if len(counts) != len(boundaries) + 1:
            raise ValueError("other buckets")
        counts = [_count(count) for count in counts]
        return Histogram(boundaries, counts, float(total), float(smallest), float(largest))


@dataclass(slots=True)
class ExponentialHistogram:
    """A histogram whose buckets grow by a factor of ``2 ** 2 ** -scale``.

    Attributes:
        scale: How fine the buckets are.
        zeros: Measurements that are 0.
        counts: Measurements by index of their bucket: above ``base ** index``, up to the next.
        total: The sum of all.
        smallest: The smallest; infinite without any.
        largest: The largest; infinite without any.
    """

    scale: int = MAX_SCALE
    zeros: int = 0
    counts: dict[int, int] = field(default_factory=dict)
    total: float = 0.0
    smallest: float = math.inf
    largest: float = -math.inf

    @property
    def count(self) -> int:
        """How many measurements."""
        return self.zeros + sum(self.counts.values())

    def add(self, value: float) -> object:
        """Add one measurement; the bucket that an exemplar of it belongs to."""
        self.total += value
        self.smallest, self.largest = min(self.smallest, value), max(self.largest, value)
        if value <= 0:
            self.zeros += 1
            return None
        index = bucket_index(value, self.scale)
        low = min(index, *self.counts) if self.counts else index
        high = max(index, *self.counts) if self.counts else index
        while high - low >= MAX_BUCKETS and self.scale > _MIN_SCALE:
            self._halve()
            low, high, index = low >> 1, high >> 1, index >> 1
        self.counts[index] = self.counts.get(index, 0) + 1
        return None

    def _halve(self) -> None:
        """Make one bucket of each two."""
        self.scale -= 1
        merged: dict[int, int] = {}
        for index, count in self.counts.items():
            merged[index >> 1] = merged.get(index >> 1, 0) + count
        self.counts = merged

    def copy(self) -> ExponentialHistogram:
        """The same, for later."""
        return replace(self, counts=dict(self.counts))

    def to_json(self) -> object:
        """What `from_json` takes."""
        counts = sorted(self.counts.items())
        return [self.scale, self.zeros, counts, self.total, self.smallest, self.largest]

    @staticmethod
    def from_json(told: Any) -> ExponentialHistogram:  # noqa: ANN401 - JSON
        """What `to_json` gave.

        Raises:
            ValueError: It is something else.
            TypeError: As above.
        """
        scale, zeros, pairs, total, smallest, largest = told
        if type(scale) is not int or not _MIN_SCALE <= scale <= MAX_SCALE:
            raise ValueError("no scale")
        counts = {int(index): _count(count) for index, count in pairs}
        if counts and max(counts) - min(counts) >= MAX_BUCKETS:
            raise ValueError("too many buckets")
        return ExponentialHistogram(
            scale, _count(zeros), counts, float(total), float(smallest), float(largest)
        )


Aggregate = Total | Histogram | ExponentialHistogram


def bucket_index(value: float, scale: int) -> int:
    """Index of the exponential bucket of *value*, which is greater than 0.

    Bucket ``i`` reaches from ``2 ** (i / 2 ** scale)``, exclusive, to its next, inclusive.
    """
    mantissa, exponent = math.frexp(value)  # value = mantissa * 2 ** exponent, 0.5 <= mantissa < 1
    if mantissa == 0.5:  # noqa: PLR2004 - a power of two, exactly, which ends its bucket
        return ((exponent - 1) << scale) - 1 if scale >= 0 else (exponent - 2) >> -scale
    if scale <= 0:
        return (exponent - 1) >> -scale
    return ((exponent - 1) << scale) + math.ceil(math.log2(2 * mantissa) * (1 << scale)) - 1


def aggregate_for(boundaries: tuple[float, ...], *, is_exponential: bool) -> Aggregate:
    """What a metric with these *boundaries* adds up; a counter has none."""
    if not boundaries:
        return Total()
    return ExponentialHistogram() if is_exponential else Histogram(boundaries)


def aggregate_of(told: object, boundaries: tuple[float, ...], *, is_exponential: bool) -> Aggregate:
    """What `to_json` of such an aggregate gave.

    Raises:
        ValueError: It is something else.
        TypeError: As above.
    """
    if not boundaries:
        return Total.from_json(told)
    if is_exponential:
        return ExponentialHistogram.from_json(told)
    return Histogram.from_json(told, boundaries)


def _count(told: object) -> int:
    if type(told) is not int or not 0 <= told < _INT64:
        raise ValueError("not a count")
    return told


Exemplars = dict[object, Exemplar]
"""The latest exemplar of each bucket."""
