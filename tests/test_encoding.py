from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, Status, StatusCode

from otel_codomon.journal import encoding
from otel_codomon.journal.encoding import SpanEncoder, encode_metrics_data, split_request

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, Tracer


class Memory:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(
            resource=Resource({"service.name": "s"}, "http://resource"), shutdown_on_exit=False
        )
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def tracer(self, name: str = "scope") -> Tracer:
        return self.provider.get_tracer(name, "1", "http://scope")  # type: ignore[return-value] # the SDK's

    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()


@pytest.fixture
def memory() -> Memory:
    return Memory()


def rich_span(memory: Memory) -> ReadableSpan:
    tracer = memory.tracer()
    with tracer.start_as_current_span("parent") as parent:
        link = Link(parent.get_span_context(), {"why": "test"})
        with tracer.start_as_current_span("child", links=[link], attributes={"a": [1, 2]}) as span:
            span.add_event("event", {"b": 1.5})
            span.set_status(Status(StatusCode.ERROR, "bad"))
    return memory.spans()[0]


def test_a_span_is_encoded_as_the_stock_encoder_does(memory: Memory) -> None:
    span = rich_span(memory)
    encoder = SpanEncoder()

    encoded = [encoder.encode(span), encoder.encode(span)]

    assert encoded == [encode_spans([span]).SerializeToString()] * 2


def test_it_is_encoded_the_same_where_the_fast_way_is_missing(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    span = rich_span(memory)
    monkeypatch.setattr(encoding, "_encode_span", None)

    assert SpanEncoder().encode(span) == encode_spans([span]).SerializeToString()


def test_more_scopes_than_are_kept_do_no_harm(memory: Memory) -> None:
    for index in range(600):
        memory.tracer(f"scope {index}").start_span(f"{index}").end()
    encoder = SpanEncoder()

    for span in memory.spans():
        assert encoder.encode(span) == encode_spans([span]).SerializeToString()


def test_a_span_that_the_encoder_refuses_is_sent_with_placeholders(memory: Memory) -> None:
    tracer = memory.tracer()
    with tracer.start_as_current_span("bad \ud800 name") as span:
        span.set_attribute("text \udfff", "\ud800")
        span.set_attribute("number", 2**70)
        span.add_event("bad \ud800 event", {"a": "\ud800"})
        span.set_status(Status(StatusCode.ERROR, "bad \ud800 words"))

    encoded = SpanEncoder().encode(memory.spans()[0])

    assert encoded is not None
    (group,) = ExportTraceServiceRequest.FromString(encoded).resource_spans
    (found,) = group.scope_spans[0].spans
    assert found.name == "bad ? name"
    assert found.status.message == "bad ? words"
    assert {pair.key: pair.value.string_value for pair in found.attributes} == {
        "text ?": "?",
        "number": "<int of 71 bits>",
    }


def test_spans_concatenate_and_split_again(memory: Memory) -> None:
    rich_span(memory)
    encoder = SpanEncoder()
    encoded = [encoder.encode(span) or b"" for span in memory.spans()]

    parts = split_request("traces", b"".join(encoded))

    assert [ExportTraceServiceRequest.FromString(part) for part in parts] == [
        ExportTraceServiceRequest.FromString(one) for one in encoded
    ]
    assert split_request("traces", b"\xff\xff") == [b"\xff\xff"]
    assert split_request("traces", b"") == [b""]


def collected(unit: int) -> MetricsData:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("scope")
    meter.create_counter("good").add(1)
    meter.create_counter("large").add(unit)
    meter.create_histogram("other").record(1.5)
    data = reader.get_metrics_data()
    assert data is not None
    return data


def test_one_bad_metric_does_not_cost_another() -> None:
    requests, refused = encode_metrics_data(collected(2**70))

    assert refused == 1
    merged = ExportMetricsServiceRequest.FromString(b"".join(requests))
    found = [m.name for r in merged.resource_metrics for s in r.scope_metrics for m in s.metrics]
    assert [name for name in found if not name.startswith("otel.")] == ["good", "other"]


def test_metrics_split_into_one_request_each() -> None:
    (request,), refused = encode_metrics_data(collected(1))

    parts = split_request("metrics", request)

    assert refused == 0
    whole = ExportMetricsServiceRequest.FromString(request)
    names = [m.name for r in whole.resource_metrics for s in r.scope_metrics for m in s.metrics]
    assert len(parts) == len(names) > 2
