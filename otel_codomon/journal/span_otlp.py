"""Executions that were written as values become OTLP requests: one span each.

The same data always gives the same bytes, so that a request that is sent again
is the same request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags, Status

from otel_codomon import names
from otel_codomon._platform.cleaning import MAX_NAME, clean_text
from otel_codomon.journal.json_text import bounded_mapping, read_object
from otel_codomon.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_codomon.journal.span_data import SpanData

_INT64: Final = 2**63


def resource_attributes(payload: bytes | None) -> dict[str, Any]:
    """The attributes in a RESOURCE record; none where it is missing or strange."""
    try:
        return bounded_mapping(read_object(payload or b"{}"))
    except ValueError:
        return {}


def span_request(data: SpanData, resource: Mapping[str, Any]) -> bytes:
    """One request with the span of an execution that has ended."""
    span = Span(
        trace_id=bytes.fromhex(data.trace_id),
        span_id=bytes.fromhex(data.span_id),
        parent_span_id=bytes.fromhex(data.parent_span_id or ""),
        name=clean_text(data.name, limit=MAX_NAME),
        kind=data.kind,  # type: ignore[arg-type] # a number, as OTLP has it
        start_time_unix_nano=data.started_unix_ns,
        end_time_unix_nano=data.ended_unix_ns or data.started_unix_ns,
        trace_state=data.trace_state,
        flags=_flags(is_remote=data.has_remote_parent),
        attributes=pairs(data.attributes),
        dropped_attributes_count=data.dropped[0],
        dropped_events_count=data.dropped[1],
        dropped_links_count=data.dropped[2],
        status=Status(
            code=data.status,  # type: ignore[arg-type] # as above
            message=clean_text(data.message),
        ),
        events=[
            Span.Event(
                name=clean_text(event.get("name", ""), limit=MAX_NAME),
                time_unix_nano=int(event.get("unix_ns", 0)),
                attributes=pairs(event.get("attributes", {})),
                dropped_attributes_count=event.get("dropped", 0),
            )
            for event in data.events
        ],
        links=[
            Span.Link(
                trace_id=bytes.fromhex(link.trace_id),
                span_id=bytes.fromhex(link.span_id),
                attributes=pairs(link.attributes),
                dropped_attributes_count=link.dropped,
                flags=_flags(is_remote=link.is_remote),
            )
            for link in data.links
        ],
    )
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add(resource=Resource(attributes=pairs(resource)))
    group.scope_spans.add(scope=scope(), spans=[span], schema_url=names.SCHEMA_URL)
    return request.SerializeToString(deterministic=True)


def _flags(*, is_remote: bool) -> int:
    """That it is known whether a context is remote, and whether it is."""
    known = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
    return known | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK if is_remote else known


def scope() -> InstrumentationScope:
    """The scope of everything that executions become."""
    return InstrumentationScope(name=names.SCOPE, version=__version__)


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """*attributes* as OTLP has them; those without a value are left out."""
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
        return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
    return AnyValue(string_value=clean_text(value))
