"""What a collector makes of the bytes it is sent: plain values that JSON can carry."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
RESPONSES: dict[str, Any] = {
    "traces": ExportTraceServiceResponse,
    "metrics": ExportMetricsServiceResponse,
    "logs": ExportLogsServiceResponse,
}
# Name of the field of partial_success that counts what was refused.
REJECTED = {
    "traces": "rejected_spans",
    "metrics": "rejected_data_points",
    "logs": "rejected_log_records",
}
_POINTS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


def items(signal: str, body: bytes) -> list[dict[str, Any]]:
    """Decode *body*, one request of *signal*, into its spans or points.

    Raises:
        google.protobuf.message.DecodeError: It is no such request.
    """
    request = REQUESTS[signal].FromString(body)
    return list(_DECODERS[signal](request))


def count(signal: str, body: bytes) -> int:
    """How many spans or points are in *body*, without making values of them."""
    request = REQUESTS[signal].FromString(body)
    if signal == "traces":
        return sum(len(s.spans) for r in request.resource_spans for s in r.scope_spans)
    if signal == "metrics":
        return sum(
            len(getattr(m, m.WhichOneof("data")).data_points)
            for r in request.resource_metrics
            for s in r.scope_metrics
            for m in s.metrics
            if m.WhichOneof("data")
        )
    return sum(len(s.log_records) for r in request.resource_logs for s in r.scope_logs)


def response(signal: str, *, rejected: int = 0, message: str = "") -> bytes:
    """The answer that says yes, or yes to all but *rejected*."""
    answer = RESPONSES[signal]()
    if rejected or message:
        setattr(answer.partial_success, REJECTED[signal], rejected)
        answer.partial_success.error_message = message
    encoded: bytes = answer.SerializeToString()
    return encoded


def _spans(request: ExportTraceServiceRequest) -> Iterator[dict[str, Any]]:
    for group in request.resource_spans:
        resource = _mapping(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield {
                    "name": span.name,
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_span_id": span.parent_span_id.hex() or None,
                    "kind": int(span.kind),
                    "started_unix_ns": span.start_time_unix_nano,
                    "ended_unix_ns": span.end_time_unix_nano,
                    "attributes": _mapping(span.attributes),
                    "status_code": int(span.status.code),
                    "status_message": span.status.message,
                    "events": [
                        {
                            "name": event.name,
                            "unix_ns": event.time_unix_nano,
                            "attributes": _mapping(event.attributes),
                        }
                        for event in span.events
                    ],
                    "links": [link.trace_id.hex() for link in span.links],
                    "resource": resource,
                    "scope": scope.scope.name,
                }


def _points(request: ExportMetricsServiceRequest) -> Iterator[dict[str, Any]]:
    for group in request.resource_metrics:
        resource = _mapping(group.resource.attributes)
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                if kind is None:
                    continue
                data = getattr(metric, kind)
                for point in data.data_points:
                    yield {
                        "metric": metric.name,
                        "unit": metric.unit,
                        "kind": kind,
                        "temporality": int(getattr(data, "aggregation_temporality", 0)),
                        "monotonic": bool(getattr(data, "is_monotonic", False)),
                        "attributes": _mapping(point.attributes),
                        "started_unix_ns": point.start_time_unix_nano,
                        "unix_ns": point.time_unix_nano,
                        "value": _number(point),
                        "count": int(getattr(point, "count", 0)),
                        "bucket_counts": list(getattr(point, "bucket_counts", ())),
                        "boundaries": list(getattr(point, "explicit_bounds", ())),
                        "exemplars": [e.trace_id.hex() for e in getattr(point, "exemplars", ())],
                        "resource": resource,
                        "scope": scope.scope.name,
                    }


def _logs(request: ExportLogsServiceRequest) -> Iterator[dict[str, Any]]:
    for group in request.resource_logs:
        for scope in group.scope_logs:
            for record in scope.log_records:
                yield {
                    "trace_id": record.trace_id.hex(),
                    "span_id": record.span_id.hex(),
                    "event": record.event_name,
                    "severity": record.severity_number,
                    "unix_ns": record.time_unix_nano,
                    "observed_unix_ns": record.observed_time_unix_nano,
                    "body": _value(record.body),
                    "attributes": _mapping(record.attributes),
                    "resource": _mapping(group.resource.attributes),
                    "scope": scope.scope.name,
                }


_DECODERS: dict[str, Any] = {"traces": _spans, "metrics": _points, "logs": _logs}


def _number(point: Any) -> float:  # noqa: ANN401 - one of five messages of protobuf
    """Value of a number point, sum of the others."""
    which = point.WhichOneof("value") if "value" in point.DESCRIPTOR.oneofs_by_name else "sum"
    return float(getattr(point, which)) if which != "as_int" else int(point.as_int)


def _mapping(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:  # noqa: ANN401 - an AnyValue is any value
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        return [_value(item) for item in value.array_value.values]
    if which == "kvlist_value":
        return _mapping(value.kvlist_value.values)
    if which == "bytes_value":
        return "base64:" + base64.b64encode(value.bytes_value).decode()
    return getattr(value, which)
