"""Executions that were written as values become OTLP requests: a span, and points of histograms.

The same facts always give the same bytes, so that a request that is sent again
is the same request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Exemplar,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags, Status

from otel_codomon import names
from otel_codomon._platform.cleaning import MAX_NAME, clean_text
from otel_codomon.journal.json_text import bounded_mapping, read_object
from otel_codomon.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_codomon.journal.span_data import SpanFacts

_INT64: Final = 2**63
_DELTA: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA

# What an execution's metrics carry: its labels and its outcome.
_LABELS: Final = (
    names.EXECUTION_NAME,
    names.EXECUTION_KIND,
    names.EXECUTION_LANGUAGE,
    names.SANDBOX_TYPE,
)
_ENDED: Final = (*_LABELS, names.EXECUTION_OUTCOME)
# Histograms that are fed from an attribute of the span.
_FROM_ATTRIBUTES: Final = (
    (names.EXECUTION_CPU_TIME, names.USAGE_CPU_TIME),
    (names.EXECUTION_MEMORY_PEAK, names.USAGE_MEMORY_PEAK),
)
_DISK_IO: Final = (("read", names.USAGE_DISK_READ), ("write", names.USAGE_DISK_WRITE))


def resource_attributes(payload: bytes | None) -> dict[str, Any]:
    """The attributes in a RESOURCE record; none where it is missing or strange."""
    try:
        return bounded_mapping(read_object(payload or b"{}"))
    except ValueError:
        return {}


def span_request(facts: SpanFacts, resource: Mapping[str, Any]) -> bytes:
    """One request with the span of an execution that has ended."""
    span = Span(
        trace_id=bytes.fromhex(facts.trace_id),
        span_id=bytes.fromhex(facts.span_id),
        parent_span_id=bytes.fromhex(facts.parent_span_id or ""),
        name=clean_text(facts.name, limit=MAX_NAME),
        kind=facts.kind,  # type: ignore[arg-type] # a number, as OTLP has it
        start_time_unix_nano=facts.started_unix_ns,
        end_time_unix_nano=facts.ended_unix_ns or facts.started_unix_ns,
        trace_state=facts.trace_state,
        flags=_flags(is_remote=facts.has_remote_parent),
        attributes=_pairs(facts.attributes),
        dropped_attributes_count=facts.dropped[0],
        dropped_events_count=facts.dropped[1],
        dropped_links_count=facts.dropped[2],
        status=Status(
            code=facts.status,  # type: ignore[arg-type] # as above
            message=clean_text(facts.message),
        ),
        events=[
            Span.Event(
                name=clean_text(event.get("name", ""), limit=MAX_NAME),
                time_unix_nano=int(event.get("unix_ns", 0)),
                attributes=_pairs(event.get("attributes", {})),
                dropped_attributes_count=event.get("dropped", 0),
            )
            for event in facts.events
        ],
        links=[
            Span.Link(
                trace_id=bytes.fromhex(link.trace_id),
                span_id=bytes.fromhex(link.span_id),
                attributes=_pairs(link.attributes),
                dropped_attributes_count=link.dropped,
                flags=_flags(is_remote=link.is_remote),
            )
            for link in facts.links
        ],
    )
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add(resource=Resource(attributes=_pairs(resource)))
    group.scope_spans.add(scope=_scope(), spans=[span], schema_url=names.SCHEMA_URL)
    return request.SerializeToString(deterministic=True)


def metrics_request(facts: SpanFacts, resource: Mapping[str, Any]) -> bytes:
    """One request with what the SDK would have recorded at the end of the execution.

    Delta temporality: a process that lives as long as one command has no totals.
    """
    metrics = [_duration(facts)]
    for row, key in _FROM_ATTRIBUTES:
        value = facts.attributes.get(key)
        if isinstance(value, (int, float)):
            metrics.append(_histogram(row, float(value), facts, _ENDED))
    metrics += [*_disk_io(facts), *_limits(facts)]
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add(resource=Resource(attributes=_pairs(resource)))
    group.scope_metrics.add(scope=_scope(), metrics=metrics, schema_url=names.SCHEMA_URL)
    return request.SerializeToString(deterministic=True)


def _flags(*, is_remote: bool) -> int:
    """That it is known whether a context is remote, and whether it is."""
    known = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
    return known | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK if is_remote else known


def _scope() -> InstrumentationScope:
    return InstrumentationScope(name=names.SCOPE, version=__version__)


def _duration(facts: SpanFacts) -> Metric:
    ended = facts.ended_unix_ns or facts.started_unix_ns
    seconds = max(0, ended - facts.started_unix_ns) / 1e9
    return _histogram(names.EXECUTION_DURATION, seconds, facts, (*_ENDED, names.ERROR_TYPE))


def _histogram(row: names.Metric, value: float, facts: SpanFacts, keys: Iterable[str]) -> Metric:
    counts = [0] * (len(row.boundaries) + 1)
    counts[bisect_left(row.boundaries, value)] = 1
    point = HistogramDataPoint(
        attributes=_chosen(facts.attributes, keys),
        start_time_unix_nano=facts.started_unix_ns,
        time_unix_nano=facts.ended_unix_ns or facts.started_unix_ns,
        count=1,
        sum=value,
        min=value,
        max=value,
        bucket_counts=counts,
        explicit_bounds=row.boundaries,
        exemplars=[
            Exemplar(
                as_double=value,
                time_unix_nano=facts.ended_unix_ns or facts.started_unix_ns,
                trace_id=bytes.fromhex(facts.trace_id),
                span_id=bytes.fromhex(facts.span_id),
            )
        ],
    )
    data = Histogram(data_points=[point], aggregation_temporality=_DELTA)
    return Metric(name=row.name, unit=row.unit, description=row.description, histogram=data)


def _disk_io(facts: SpanFacts) -> list[Metric]:
    grown = {
        way: value
        for way, key in _DISK_IO
        if isinstance(value := facts.attributes.get(key), int) and value >= 0
    }
    return _counter(names.EXECUTION_DISK_IO, names.DISK_IO_DIRECTION, grown, facts)


def _limits(facts: SpanFacts) -> list[Metric]:
    reached = Counter(
        clean_text(event.get("attributes", {}).get(names.LIMIT_TYPE, ""))
        for event in facts.events
        if event.get("name") == names.EVENT_LIMIT_REACHED
    )
    return _counter(names.EXECUTION_LIMIT_REACHED, names.LIMIT_TYPE, reached, facts)


def _counter(
    row: names.Metric, key: str, grown: Mapping[str, int], facts: SpanFacts
) -> list[Metric]:
    """The counter of *row* with a point for each value of the attribute *key*; none without."""
    points = [
        NumberDataPoint(
            attributes=_chosen({**facts.attributes, key: value}, (*_LABELS, key)),
            start_time_unix_nano=facts.started_unix_ns,
            time_unix_nano=facts.ended_unix_ns or facts.started_unix_ns,
            as_int=min(growth, _INT64 - 1),
        )
        for value, growth in grown.items()
    ]
    if not points:
        return []
    data = Sum(data_points=points, aggregation_temporality=_DELTA, is_monotonic=True)
    return [Metric(name=row.name, unit=row.unit, description=row.description, sum=data)]


def _chosen(attributes: Mapping[str, Any], keys: Iterable[str]) -> list[KeyValue]:
    return _pairs({key: attributes[key] for key in keys if key in attributes})


def _pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [
        KeyValue(key=clean_text(key, limit=MAX_NAME), value=_value(value))
        for key, value in attributes.items()
        if value is not None
    ]


def _value(value: Any) -> AnyValue:  # noqa: ANN401 - any value that JSON can carry
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, (list, tuple)):
        return AnyValue(array_value=ArrayValue(values=[_value(item) for item in value]))
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=_pairs(value)))
    return AnyValue(string_value=clean_text(value))
