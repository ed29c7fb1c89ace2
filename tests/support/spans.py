"""Spans of executions as a test wants them, sent by OTLP over HTTP."""

from __future__ import annotations

import time
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otel_codomon import names

if TYPE_CHECKING:
    from collections.abc import Iterable


def _new_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class SentSpan:
    """One span of an execution.

    Attributes:
        name: The execution's name.
        outcome: How it ended; None for a span that is no execution.
        seconds: How long it took.
        trace_id: Its trace, hexadecimal.
        execution_id: By which it is found again.
    """

    name: str = "job"
    outcome: str | None = "success"
    seconds: float = 0.05
    trace_id: str = field(default_factory=_new_id)
    execution_id: str = field(default_factory=_new_id)

    def write_to(self, span: Span) -> None:
        """Make *span* of it, ended now."""
        now = time.time_ns()
        span.name = self.name
        span.kind = Span.SPAN_KIND_INTERNAL
        span.trace_id = bytes.fromhex(self.trace_id)
        span.span_id = bytes.fromhex(self.execution_id[:16])
        span.start_time_unix_nano = now - int(self.seconds * 1e9)
        span.end_time_unix_nano = now
        if self.outcome is None:
            return
        told = {
            names.EXECUTION_ID: self.execution_id,
            names.EXECUTION_NAME: self.name,
            names.EXECUTION_KIND: "function",
            names.EXECUTION_OUTCOME: self.outcome,
        }
        for key, value in told.items():
            span.attributes.add(key=key).value.string_value = value
        if self.outcome != "success":
            span.status.code = Status.STATUS_CODE_ERROR


def send(spans: Iterable[SentSpan], *, http: str, service: str) -> None:
    """Send *spans* in one request; it is taken, or this raises."""
    request = ExportTraceServiceRequest()
    of_service = request.resource_spans.add()
    of_service.resource.attributes.add(key="service.name").value.string_value = service
    scope = of_service.scope_spans.add()
    for span in spans:
        span.write_to(scope.spans.add())
    post(f"{http}/v1/traces", request.SerializeToString())


def post(url: str, body: bytes) -> None:
    """Post an OTLP request; it is taken, or this raises."""
    asked = urllib.request.Request(  # noqa: S310 - loopback
        url, data=body, headers={"Content-Type": "application/x-protobuf"}
    )
    with urllib.request.urlopen(asked, timeout=120) as answer:  # noqa: S310 - loopback
        answer.read()
