"""The looks at one execution, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_codomon.resources.curve import CurveBuilder, Point
from otel_codomon.resources.sample import Reading, Sample, StorageRate, sample_between

if TYPE_CHECKING:
    from otel_codomon.resources.usage import Curve

STEP_NS: Final = 10_000_000
"""Least time that a rate is counted over, nanoseconds: one tick of the kernel's CPU clock."""


class Series:
    """Makes a sample of each reading, and keeps what the totals need of them.

    Args:
        started_ns: Start of the execution, monotonic clock, nanoseconds.
        cores: Cores of the machine; no rate is larger.

    Attributes:
        latest: The latest sample; None before the first.
        samples: How many there were.
    """

    __slots__ = (
        "_base",
        "_cores",
        "_curve",
        "_has_seen_processes",
        "_spike",
        "_started_ns",
        "_storage",
        "latest",
        "samples",
    )

    def __init__(self, *, started_ns: int, cores: int) -> None:
        self.latest: Sample | None = None
        self.samples = 0
        self._started_ns = started_ns
        self._cores = cores
        self._curve = CurveBuilder()
        self._base: Reading | None = None
        self._spike = 0
        self._has_seen_processes = False
        self._storage: StorageRate | None = None

    def add(self, reading: Reading) -> Sample:
        """The sample that *reading* makes; it is later than those before."""
        storage = self._storage
        self._storage = StorageRate(reading) if storage is None else storage.after(reading)
        base = self._base
        is_close = base is not None and reading.taken_ns - base.taken_ns < STEP_NS
        sample = sample_between(
            None if is_close else base, reading, cores=self._cores, storage=self._storage
        )
        if is_close:
            self._spike = max(self._spike, reading.memory_bytes or 0)
            sample = sample._replace(cores=None if self.latest is None else self.latest.cores)
        else:
            self._base = reading
            if base is not None:
                self._note_point(sample, lasted_ns=reading.taken_ns - base.taken_ns)
        self.latest = sample
        self.samples += 1
        return sample

    def _note_point(self, sample: Sample, *, lasted_ns: int) -> None:
        is_dead = not sample.processes and self._has_seen_processes
        self._has_seen_processes = self._has_seen_processes or bool(sample.processes)
        if sample.cores is None or sample.memory_bytes is None or is_dead:
            return  # an unknown is no zero, and of the dead there is nothing to draw
        since_start = (sample.taken_ns - self._started_ns) / 1e9
        memory_bytes = max(sample.memory_bytes, self._spike)
        self._spike = 0
        self._curve.add(Point(since_start, lasted_ns / 1e9, sample.cores, memory_bytes))

    def curve(self) -> Curve | None:
        """The curve so far; None without a point."""
        self._curve.raise_last(self._spike)
        return self._curve.curve()
