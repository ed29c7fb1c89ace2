"""Sums as OTLP export requests."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Exemplar as OtlpExemplar,
    ExponentialHistogram as OtlpExponentialHistogram,
    ExponentialHistogramDataPoint,
    Histogram as OtlpHistogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from otel_codomon import names
from otel_codomon.journal.execution_metrics.aggregates import (
    ExponentialHistogram,
    Histogram,
    Total,
    aggregate_for,
)
from otel_codomon.journal.execution_metrics.sums import METRICS
from otel_codomon.journal.span_otlp import pairs, scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otel_codomon.journal.execution_metrics.aggregates import Aggregate, Exemplar
    from otel_codomon.journal.execution_metrics.sums import SeriesKey, Service, ServiceKey, Sums

_CUMULATIVE: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
_DELTA: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
_MAX_POINTS: Final = 2000
"""Of one request: some 400 KiB."""


class Moment(NamedTuple):
    """When sums are exported, and how.

    Attributes:
        unix_ns: The time of the points, nanoseconds since the epoch.
        earlier_unix_ns: Times before it at which they would have been exported as they
            were at the last export, had a sender been there: a store sees a series
            rise only where it has a point before.
        new_unix_ns: When a series that is new was nothing, at the latest.
        is_delta: Whether they are what was added since the last export.
        instance: What tells the journals of a host apart.
    """

    unix_ns: int
    earlier_unix_ns: Sequence[int]
    new_unix_ns: int
    is_delta: bool
    instance: str


class Export(NamedTuple):
    """One request of an export.

    Attributes:
        request: It, as bytes.
        service: Whose sums it holds.
        series: Which of them.
    """

    request: bytes
    service: ServiceKey
    series: Sequence[SeriesKey]


def exports_of(sums: Sums, moment: Moment) -> list[Export]:
    """*sums* as export requests, each of a moderate size."""
    return [
        Export(_request(service, chunk, moment).SerializeToString(deterministic=True), key, chunk)
        for key, service in sums.services.items()
        for chunk in _chunks(service)
    ]


def _chunks(service: Service) -> Iterator[list[SeriesKey]]:
    keys = sorted(service.series)
    for at in range(0, len(keys), _MAX_POINTS):
        yield keys[at : at + _MAX_POINTS]


def _request(
    service: Service, keys: Iterable[SeriesKey], moment: Moment
) -> ExportMetricsServiceRequest:
    metrics: dict[str, Metric] = {}
    for key in keys:
        metric = metrics.get(key[0])
        if metric is None:
            row = METRICS[key[0]]
            metric = metrics[key[0]] = Metric(
                name=row.name, unit=row.unit, description=row.description
            )
        temporality = _DELTA if moment.is_delta else _CUMULATIVE
        for aggregate, unix_ns, exemplars in _values(service, key, moment):
            common = {
                "attributes": pairs(dict(key[1])),
                "start_time_unix_nano": min(service.started_unix_ns, unix_ns),
                "time_unix_nano": unix_ns,
                "exemplars": [_exemplar(exemplar) for exemplar in exemplars],
            }
            _add_point(metric, aggregate, common, temporality)
    request = ExportMetricsServiceRequest()
    resource = {**service.resource, "service.instance.id": moment.instance}
    group = request.resource_metrics.add(resource=Resource(attributes=pairs(resource)))
    group.scope_metrics.add(scope=scope(), metrics=metrics.values(), schema_url=names.SCHEMA_URL)
    return request


def _values(
    service: Service, key: SeriesKey, moment: Moment
) -> Iterator[tuple[Aggregate, int, Iterable[Exemplar]]]:
    """The values of a series to export, each with its time: as it was before, and as it is."""
    now = service.series[key]
    if key in service.before and not moment.is_delta:
        before, times = service.before[key], moment.earlier_unix_ns
        if before is None:
            is_exponential = isinstance(now, ExponentialHistogram)
            before = aggregate_for(METRICS[key[0]].boundaries, is_exponential=is_exponential)
            times = (*times, moment.new_unix_ns)
        start = min(service.started_unix_ns, moment.unix_ns - 1)
        for unix_ns in sorted({max(start, unix_ns) for unix_ns in times}):
            yield before, unix_ns, ()
    yield now, moment.unix_ns, service.exemplars.get(key, {}).values()


def _add_point(
    metric: Metric,
    aggregate: Aggregate,
    common: dict[str, object],
    temporality: AggregationTemporality.ValueType,
) -> None:
    if isinstance(aggregate, Total):
        point = NumberDataPoint(as_int=aggregate.value, **common)  # type: ignore[arg-type] # as it takes them
        data = Sum(data_points=[point], aggregation_temporality=temporality, is_monotonic=True)
        metric.sum.MergeFrom(data)
    elif isinstance(aggregate, Histogram):
        metric.histogram.MergeFrom(
            OtlpHistogram(
                data_points=[_histogram_point(aggregate, common)],
                aggregation_temporality=temporality,
            )
        )
    else:
        metric.exponential_histogram.MergeFrom(
            OtlpExponentialHistogram(
                data_points=[_exponential_point(aggregate, common)],
                aggregation_temporality=temporality,
            )
        )


def _histogram_point(aggregate: Histogram, common: dict[str, object]) -> HistogramDataPoint:
    point = HistogramDataPoint(
        count=aggregate.count,
        sum=aggregate.total,
        bucket_counts=aggregate.counts,
        explicit_bounds=aggregate.boundaries,
        **common,  # type: ignore[arg-type] # as it takes them
    )
    if math.isfinite(aggregate.smallest):
        point.min, point.max = aggregate.smallest, aggregate.largest
    return point


def _exponential_point(
    aggregate: ExponentialHistogram, common: dict[str, object]
) -> ExponentialHistogramDataPoint:
    point = ExponentialHistogramDataPoint(
        count=aggregate.count,
        sum=aggregate.total,
        scale=aggregate.scale,
        zero_count=aggregate.zeros,
        **common,  # type: ignore[arg-type] # as it takes them
    )
    if aggregate.counts:
        first, last = min(aggregate.counts), max(aggregate.counts)
        point.positive.offset = first
        point.positive.bucket_counts.extend(
            aggregate.counts.get(index, 0) for index in range(first, last + 1)
        )
    if math.isfinite(aggregate.smallest):
        point.min, point.max = aggregate.smallest, aggregate.largest
    return point


def _exemplar(exemplar: Exemplar) -> OtlpExemplar:
    return OtlpExemplar(
        as_double=exemplar.value,
        time_unix_nano=exemplar.unix_ns,
        trace_id=bytes.fromhex(exemplar.trace_id),
        span_id=bytes.fromhex(exemplar.span_id),
    )
