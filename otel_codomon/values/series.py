"""The looks at one execution, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_codomon.values.curve import CurveBuilder, Point
from otel_codomon.values.sample import Reading, Sample, StorageRate, sample_between

if TYPE_CHECKING:
    from otel_codomon.values.usage import Curve


class Series:
    """Makes a sample of each reading, and keeps what the totals need of them.

    Args:
        started_ns: Start of the execution, monotonic clock, nanoseconds.
        cores: Cores of the machine; no rate is larger.

    Attributes:
        latest: The latest sample; None before the first.
        samples: How many there were.
    """

    __slots__ = ("_cores", "_curve", "_last", "_started_ns", "_storage", "latest", "samples")

    def __init__(self, *, started_ns: int, cores: int) -> None:
        self.latest: Sample | None = None
        self.samples = 0
        self._started_ns = started_ns
        self._cores = cores
        self._curve = CurveBuilder()
        self._last: Reading | None = None
        self._storage: StorageRate | None = None

    def add(self, reading: Reading) -> Sample:
        """The sample that *reading* makes; it is later than those before."""
        before, self._last = self._last, reading
        storage = self._storage
        self._storage = StorageRate(reading) if storage is None else storage.after(reading)
        sample = sample_between(before, reading, cores=self._cores, storage=self._storage)
        if before is not None:
            self._note_point(sample, lasted_ns=reading.taken_ns - before.taken_ns)
        self.latest = sample
        self.samples += 1
        return sample

    def _note_point(self, sample: Sample, *, lasted_ns: int) -> None:
        if sample.cores is None or sample.memory_bytes is None:
            return  # an unknown is no zero, and the columns are of equal length
        since_start = (sample.taken_ns - self._started_ns) / 1e9
        self._curve.add(Point(since_start, lasted_ns / 1e9, sample.cores, sample.memory_bytes))

    def curve(self) -> Curve | None:
        """The curve so far; None without a point."""
        return self._curve.curve()
