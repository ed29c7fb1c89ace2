"""Readings of caches become observable counters and gauges."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry import metrics
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.metrics import CallbackOptions, Observation

from otel_codomon import names
from otel_codomon._platform.never_raises import never_raises
from otel_codomon.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry.metrics import Meter, MeterProvider

    from otel_codomon.caches.statistics import NamedReading


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: a metric and where in a reading its value is.

    Attributes:
        metric: The metric.
        field: The field of a `CacheReading` that holds its value.
        result: How lookups ended, for the metric that is told apart by it.
    """

    metric: names.Metric
    field: str
    result: str | None = None


ROWS: Final = (
    Row(names.CACHE_REQUESTS, "hits", "hit"),
    Row(names.CACHE_REQUESTS, "misses", "miss"),
    Row(names.CACHE_EVICTIONS, "evictions"),
    Row(names.CACHE_EXPIRATIONS, "expirations"),
    Row(names.CACHE_CLEARS, "clears"),
    Row(names.CACHE_ENTRIES, "entries"),
    Row(names.CACHE_CAPACITY, "capacity"),
    Row(names.CACHE_SIZE, "size_bytes"),
)
# The SDK stops exporting for good at an integer that does not fit.
_MOST: Final = 2**63 - 1


class CacheMetrics:
    """The instruments of one meter provider, fed by one look at the caches a collection.

    Args:
        readings: Looks at every cache.
        meter_provider: Where the measurements go; None for the global one.

    Attributes:
        is_on: Whether anything is reported. An instrument cannot be taken
            away again, only fall silent.
    """

    def __init__(
        self,
        readings: Callable[[], tuple[NamedReading, ...]],
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self.is_on = True
        self._look = _Look(readings)
        meter = metrics.get_meter(names.SCOPE, __version__, meter_provider, names.SCHEMA_URL)
        by_metric: dict[str, list[Row]] = defaultdict(list)
        for row in ROWS:
            by_metric[row.metric.name].append(row)
        for rows in by_metric.values():
            self._observe(meter, rows)

    def after_fork(self) -> None:
        """Go on in a child process: the look so far was the parent's."""
        self._look.forget()

    def _observe(self, meter: Meter, rows: list[Row]) -> None:
        metric = rows[0].metric
        create = {
            names.Instrument.OBSERVABLE_COUNTER: meter.create_observable_counter,
            names.Instrument.OBSERVABLE_GAUGE: meter.create_observable_gauge,
        }[metric.instrument]

        @never_raises(f"observing {metric.name}", default=())
        def callback(_options: CallbackOptions) -> Iterable[Observation]:
            if not self.is_on:
                return ()
            return list(_observations(self._look.for_metric(metric.name), rows))

        create(metric.name, [callback], unit=metric.unit, description=metric.description)


class _Look:
    """One look for all the instruments of a collection.

    The SDK does not say when a collection begins. An instrument that asks a
    second time has begun the next one.
    """

    def __init__(self, readings: Callable[[], tuple[NamedReading, ...]]) -> None:
        self._readings = readings
        self.forget()

    def forget(self) -> None:
        """Begin with nothing looked at, and nobody looking."""
        self._lock = threading.Lock()
        self._served: frozenset[str] | None = None
        self._latest: tuple[NamedReading, ...] = ()

    def for_metric(self, metric: str) -> tuple[NamedReading, ...]:
        """The look of this collection, taken by whichever instrument comes first."""
        with self._lock:
            if self._served is None or metric in self._served:
                self._served = frozenset()
                with suppress_instrumentation():  # asking redis is no request of the program's
                    self._latest = self._readings()
            self._served |= {metric}
            return self._latest


def _observations(readings: tuple[NamedReading, ...], rows: list[Row]) -> Iterable[Observation]:
    for name, kind, reading in readings:
        for row in rows:
            value = getattr(reading, row.field)
            if value is not None:
                yield Observation(
                    min(int(value), _MOST),
                    _attributes(name, kind, row, estimated=row.field in reading.estimated),
                )


def _attributes(name: str, kind: str, row: Row, *, estimated: bool) -> Mapping[str, str | bool]:
    attributes: dict[str, str | bool] = {names.CACHE_NAME: name, names.CACHE_KIND: kind}
    if row.result is not None:
        attributes[names.CACHE_RESULT] = row.result
    if estimated:
        attributes[names.CACHE_ESTIMATED] = True
    return attributes
