"""The end of an execution, written as JSON, arrives as the span that the SDK's encoder makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from otel_codomon import names
from otel_codomon.journal import records, segments
from otel_codomon.journal.own_attributes import OwnEvent, OwnFacts
from otel_codomon.journal.segments import Record
from otel_codomon.journal.span_data import read_span_data
from otel_codomon.journal.span_json import ended_payload
from otel_codomon.journal.span_otlp import resource_attributes, span_request
from otel_codomon.version import __version__

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

RESOURCE = Resource({"service.name": "a service", "host.cpu.cache.l2.size": 4096})
SCOPE = InstrumentationScope(names.SCOPE, __version__, names.SCHEMA_URL)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keys = texts.filter(lambda key: key and not key.startswith("codomon."))
numbers = st.integers(-(2**63), 2**63 - 1)
scalars = st.booleans() | numbers | st.floats(allow_nan=False, allow_infinity=False) | texts
lists = st.lists(texts, max_size=3).map(tuple) | st.lists(numbers, max_size=3).map(tuple)
attributes = st.dictionaries(keys, scalars | lists, max_size=5)
moments = st.integers(1, 2**62)
states = st.sampled_from([TraceState(), TraceState([("vendor", "of,a=kind")]), None])


@st.composite
def contexts(draw: st.DrawFn) -> SpanContext:
    return SpanContext(
        draw(st.integers(1, 2**128 - 1)),
        draw(st.integers(1, 2**64 - 1)),
        is_remote=draw(st.booleans()),
        trace_flags=TraceFlags(draw(st.integers(0, 1))),
        trace_state=draw(states),
    )


spans = st.builds(
    ReadableSpan,
    name=texts,
    context=contexts(),
    parent=st.none() | contexts(),
    resource=st.just(RESOURCE),
    attributes=attributes,
    events=st.lists(st.builds(Event, texts, attributes, moments), max_size=3),
    links=st.lists(st.builds(Link, contexts(), attributes), max_size=3),
    kind=st.sampled_from(SpanKind),
    status=st.sampled_from(
        [Status(), Status(StatusCode.OK), Status(StatusCode.ERROR, "why, in a few words")]
    ),
    start_time=moments,
    end_time=moments,
    instrumentation_scope=st.just(SCOPE),
)


def arrived(span: ReadableSpan, own: OwnFacts | None = None) -> bytes:
    """The request that *span* becomes by way of the journal."""
    context = span.get_span_context()
    assert context is not None
    payload = records.to_json(ended_payload(span, own, resource="00"))
    key = context.span_id.to_bytes(8, "big")
    encoded = segments.encode(segments.ENDED, payload, key=key, flags=0, time_unix_ns=1)
    record = next(iter(segments.decode(encoded)))
    assert isinstance(record, Record)
    facts = read_span_data(record)
    assert facts is not None
    declared = records.to_json(dict(span.resource.attributes))
    return span_request(facts, resource_attributes(declared))


@given(span=spans)
def test_nothing_is_lost_on_the_way(span: ReadableSpan) -> None:
    expected = encode_spans([span])

    found = expected.FromString(arrived(span))

    assert found == expected


def test_what_limits_dropped_is_counted_and_what_is_ours_is_there() -> None:
    context = SpanContext(1, 2, is_remote=False)
    event = OwnEvent("codomon.limit.reached", {"codomon.limit.type": "memory"}, 7)
    own = OwnFacts({names.EXECUTION_ID: "ab", names.EXECUTION_OUTCOME: "success"})
    own.events.append(event)
    span = ReadableSpan(
        "name",
        context,
        resource=RESOURCE,
        attributes={"codomon.execution.imitated": 1, names.EXECUTION_ID: "cut"},
        events=[Event("kept", {}, 5)],
        start_time=1,
        end_time=9,
        instrumentation_scope=SCOPE,
    )

    found = encode_spans([span]).FromString(arrived(span, own))

    one: OtlpSpan = found.resource_spans[0].scope_spans[0].spans[0]
    values = {pair.key: pair.value.string_value for pair in one.attributes}
    assert values == {names.EXECUTION_ID: "ab", names.EXECUTION_OUTCOME: "success"}
    assert [(event.name, event.time_unix_nano) for event in one.events] == [
        ("kept", 5),
        ("codomon.limit.reached", 7),
    ]


@pytest.mark.parametrize("value", [2**64, b"bytes", float("inf"), "\ud800", object(), {1: 2}])
def test_a_value_that_no_encoder_takes_costs_nothing_but_itself(value: object) -> None:
    span = ReadableSpan(
        "name",
        SpanContext(1, 2, is_remote=False),
        resource=RESOURCE,
        attributes={"strange": value, "plain": "kept"},  # type: ignore[dict-item] # that is the test
        start_time=1,
        end_time=9,
        instrumentation_scope=SCOPE,
    )

    found = encode_spans([]).FromString(arrived(span))

    one = found.resource_spans[0].scope_spans[0].spans[0]
    assert {pair.key: pair.value.string_value for pair in one.attributes}["plain"] == "kept"
