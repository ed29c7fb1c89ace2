"""A program's worth of telemetry that has every metric of the table in it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from otel_codomon.names import ATTRIBUTES, METRICS, SCOPE, Instrument, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.metrics import CallbackOptions, Meter


def value_of(metric: Metric) -> int:
    """A value that tells the metrics apart: each has its own."""
    return 1 + list(METRICS).index(metric.name)


def attributes_of(metric: Metric) -> dict[str, str | int]:
    """One value for every attribute the table gives *metric*."""
    return {key: 1 if ATTRIBUTES[key].type == "int" else f"a-{key}" for key in metric.attributes}


def _record(meter: Meter, metric: Metric) -> None:
    told = {"unit": metric.unit, "description": metric.description}
    attributes, value = attributes_of(metric), value_of(metric)

    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, attributes)]

    record: dict[Instrument, Callable[[], object]] = {
        Instrument.COUNTER: lambda: meter.create_counter(metric.name, **told).add(
            value, attributes
        ),
        Instrument.HISTOGRAM: lambda: meter.create_histogram(
            metric.name, **told, explicit_bucket_boundaries_advisory=metric.boundaries
        ).record(value, attributes),
        Instrument.GAUGE: lambda: meter.create_gauge(metric.name, **told).set(value, attributes),
        Instrument.OBSERVABLE_COUNTER: lambda: meter.create_observable_counter(
            metric.name, [observe], **told
        ),
        Instrument.OBSERVABLE_GAUGE: lambda: meter.create_observable_gauge(
            metric.name, [observe], **told
        ),
        Instrument.OBSERVABLE_UP_DOWN_COUNTER: lambda: meter.create_observable_up_down_counter(
            metric.name, [observe], **told
        ),
    }
    record[metric.instrument]()


@contextmanager
def every_metric(grpc: str, *, service: str) -> Iterator[None]:
    """Send one point of every metric of the table to *grpc*, at least once."""
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=grpc, insecure=True), export_interval_millis=2_000
    )
    provider = MeterProvider(
        [reader], resource=Resource({"service.name": service}), shutdown_on_exit=False
    )
    for metric in METRICS.values():
        _record(provider.get_meter(SCOPE), metric)
    try:
        yield
    finally:
        provider.shutdown()
