"""Spans and metrics of the SDK as OTLP export requests: bytes that can be concatenated.

The stock encoder does the encoding. What is around it: the envelope of a
request, resource and scope, is made once and put around each span by hand,
since the stock encoder hashes the resource anew for each span; and a span that
it refuses is cleaned and tried again, alone.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status

from otel_codomon._platform.cleaning import MAX_NAME, clean_attribute, clean_text
from otel_codomon._platform.never_raises import never_raises

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.util.types import AttributeValue

    from otel_codomon.journal.own_attributes import OwnFacts

    _Envelope = tuple[Resource, InstrumentationScope | None, bytes, bytes, bytes, bytes]

_encode_span: Callable[[ReadableSpan], Any] | None
try:  # private, and worth it: 27 µs a span instead of 53 (benchmarks/bench_journal.py)
    from opentelemetry.exporter.otlp.proto.common._internal.trace_encoder import (
        _encode_span as _stock_encode_span,
    )

    _encode_span = _stock_encode_span
except ImportError:  # another release has it elsewhere: the slow way is as right
    _encode_span = None

# Fields of ExportTraceServiceRequest, ResourceSpans and ScopeSpans, all of wire
# type 2 (a length, then bytes). From opentelemetry-proto, which is stable.
_RESOURCE_SPANS: Final = b"\x0a"  # field 1
_SCOPE_SPANS: Final = b"\x12"  # field 2
_SPAN: Final = b"\x12"  # field 2

_MAX_ENVELOPES: Final = 256


def _varint(value: int) -> bytes:
    """*value* as protobuf writes a length."""
    out = bytearray()
    while value >= 1 << 7:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class SpanEncoder:
    """Encodes spans one at a time, as complete requests.

    Keeps the envelopes of the resources and scopes it has seen. They are told
    apart by identity: to compare resources costs more than to encode a span.
    """

    def __init__(self) -> None:
        self._envelopes: dict[tuple[int, int, int], _Envelope] = {}

    @never_raises("encoding a span", default=None)
    def encode(self, span: ReadableSpan) -> bytes | None:
        """*span* as one request; None where it cannot be encoded even when cleaned."""
        try:
            return self._encode(span)
        except Exception:  # noqa: BLE001 - lone surrogates, numbers too large, values of strangers
            return self._encode(cleaned(span))

    def _encode(self, span: ReadableSpan) -> bytes:
        if _encode_span is None:
            return encode_spans([span]).SerializeToString()
        _, _, resource, resource_end, scope, scope_end = self._envelope(span)
        encoded = _encode_span(span).SerializeToString()
        inner = b"".join((scope, _SPAN, _varint(len(encoded)), encoded, scope_end))
        outer = b"".join((resource, _SCOPE_SPANS, _varint(len(inner)), inner, resource_end))
        return b"".join((_RESOURCE_SPANS, _varint(len(outer)), outer))

    def _envelope(self, span: ReadableSpan) -> _Envelope:
        scope = span.instrumentation_scope
        key = (id(span.resource), id(scope), os.getpid())  # a resource may tell the process
        found = self._envelopes.get(key)
        if found is None:
            if len(self._envelopes) >= _MAX_ENVELOPES:
                self._envelopes.clear()
            found = self._envelopes[key] = (span.resource, scope, *_envelope_parts(span))
        return found


def _envelope_parts(span: ReadableSpan) -> tuple[bytes, bytes, bytes, bytes]:
    """What stands before and after the scope in ResourceSpans, and the span in ScopeSpans."""
    bare = ReadableSpan(
        name="",
        context=span.get_span_context(),
        resource=span.resource,
        instrumentation_scope=span.instrumentation_scope,
    )
    (resource_spans,) = encode_spans([bare]).resource_spans
    (scope_spans,) = resource_spans.scope_spans
    resource_url, scope_url = resource_spans.schema_url, scope_spans.schema_url
    resource_spans.ClearField("scope_spans")
    resource_spans.ClearField("schema_url")
    scope_spans.ClearField("spans")
    scope_spans.ClearField("schema_url")
    scope_bytes = scope_spans.SerializeToString()
    resource_bytes = resource_spans.SerializeToString()
    return resource_bytes, _url_field(resource_url), scope_bytes, _url_field(scope_url)


def _url_field(url: str) -> bytes:
    """Field 3 of both messages."""
    encoded = url.encode()
    return b"\x1a" + _varint(len(encoded)) + encoded if encoded else b""


def restored(span: ReadableSpan, own: OwnFacts) -> ReadableSpan:
    """*span* with everything that is ours, whatever limits and processors left of it."""
    attributes, kept = (
        span.attributes or {},
        {(event.name, event.timestamp) for event in span.events},
    )
    lost = [event for event in own.events if (event.name, event.unix_ns) not in kept]
    if not lost and not own.differs(attributes):
        return span
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=own.restored(attributes),
        events=[*span.events, *(Event(e.name, e.attributes, e.unix_ns) for e in lost)],
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def cleaned(span: ReadableSpan) -> ReadableSpan:
    """A copy of *span* that any encoder takes, with placeholders for what none would."""
    return ReadableSpan(
        name=clean_text(span.name, limit=MAX_NAME),
        context=span.get_span_context(),
        parent=span.parent,
        resource=Resource(_clean(span.resource.attributes), clean_text(span.resource.schema_url)),
        attributes=_clean(span.attributes),
        events=[
            Event(clean_text(event.name, limit=MAX_NAME), _clean(event.attributes), event.timestamp)
            for event in span.events
        ],
        links=[Link(_bare_context(link.context), _clean(link.attributes)) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code, _clean_description(span.status.description)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=_clean_scope(span.instrumentation_scope),
    )


def _clean(attributes: Mapping[str, Any] | None) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    for key, value in (attributes or {}).items():
        found[clean_text(key, limit=MAX_NAME)] = clean_attribute(value)
    return found


def _clean_description(description: str | None) -> str | None:
    return None if description is None else clean_text(description)


def _clean_scope(scope: InstrumentationScope | None) -> InstrumentationScope | None:
    if scope is None:
        return None
    return InstrumentationScope(
        clean_text(scope.name), clean_text(scope.version or ""), clean_text(scope.schema_url or "")
    )


def _bare_context(context: SpanContext) -> SpanContext:
    """*context* without its trace state, which may hold anything."""
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)


def encode_metrics_data(data: MetricsData) -> tuple[list[bytes], int]:
    """*data* as one request; if that fails as one for each metric that can be encoded.

    Returns:
        The requests, and how many metrics are in none of them.
    """
    try:
        return [encode_metrics(data).SerializeToString()], 0
    except Exception:  # noqa: BLE001 - one metric that cannot be encoded, somewhere
        return _encode_each(data)


def _encode_each(data: MetricsData) -> tuple[list[bytes], int]:
    encoded = [_encode_alone(part) for part in _split(data)]
    whole = [request for request in encoded if request is not None]
    return whole, len(encoded) - len(whole)


@never_raises("encoding a metric", default=None)
def _encode_alone(data: MetricsData) -> bytes | None:
    return encode_metrics(data).SerializeToString()


def _split(data: MetricsData) -> list[MetricsData]:
    """One for each metric of *data*."""
    return [
        MetricsData(
            [
                ResourceMetrics(
                    resource.resource,
                    [ScopeMetrics(scope.scope, [metric], scope.schema_url)],
                    resource.schema_url,
                )
            ]
        )
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]


def split_request(signal: str, request: bytes) -> list[bytes]:
    """One request for each span, metric or log record of *request*, in its order.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        request: An export request.

    Returns:
        *request* alone where it is no such thing.
    """
    try:
        parts = _SPLITTERS[signal](request)
    except Exception:  # noqa: BLE001 - whatever protobuf raises: these bytes are no request
        return [request]
    return parts or [request]


def _split_traces(request: bytes) -> list[bytes]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - rare
        ExportTraceServiceRequest,
    )

    return _split_message(ExportTraceServiceRequest, request, "spans")


def _split_metrics(request: bytes) -> list[bytes]:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (  # noqa: PLC0415 - rare
        ExportMetricsServiceRequest,
    )

    return _split_message(ExportMetricsServiceRequest, request, "metrics")


def _split_logs(request: bytes) -> list[bytes]:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (  # noqa: PLC0415 - rare
        ExportLogsServiceRequest,
    )

    return _split_message(ExportLogsServiceRequest, request, "logs", items="log_records")


def _split_message(
    message: Any,  # noqa: ANN401 - protobuf
    request: bytes,
    signal: str,
    *,
    items: str | None = None,
) -> list[bytes]:
    """One request for each of *items*: the messages of all signals are built alike."""
    resources, scopes, items = f"resource_{signal}", f"scope_{signal}", items or signal
    parts = []
    for resource in getattr(message.FromString(request), resources):
        for scope in getattr(resource, scopes):
            for item in getattr(scope, items):
                part = message()
                group = getattr(part, resources).add(
                    resource=resource.resource, schema_url=resource.schema_url
                )
                getattr(group, scopes).add(
                    scope=scope.scope, schema_url=scope.schema_url, **{items: [item]}
                )
                parts.append(part.SerializeToString(deterministic=True))
    return parts


_SPLITTERS: Final[dict[str, Callable[[bytes], list[bytes]]]] = {
    "traces": _split_traces,
    "metrics": _split_metrics,
    "logs": _split_logs,
}
