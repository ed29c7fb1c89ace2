"""The peer that other tests trust: seen through the stock exporters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from support.collector import PATIENCE_SECONDS as PATIENCE, Collector, Fault
from support.tls import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


def send_span(exporter: SpanExporter, name: str = "one") -> None:
    provider = TracerProvider(resource=Resource({"service.name": "test"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("scope").start_as_current_span(name, attributes={"n": [1, 2]}) as span:
        span.add_event("seen", {"deep": True})
    provider.shutdown()


def http_exporter(collector: Collector) -> OTLPSpanExporter:
    return OTLPSpanExporter(endpoint=f"{collector.http_endpoint}/v1/traces", timeout=PATIENCE)


def test_a_span_over_http_is_seen_whole(collector: Collector) -> None:
    send_span(http_exporter(collector))

    (span,) = collector.wait_for_spans(1)

    assert (span.name, span.scope, span.resource["service.name"]) == ("one", "scope", "test")
    assert span.attributes == {"n": [1, 2]}
    assert [(e.name, e.attributes) for e in span.events] == [("seen", {"deep": True})]


def test_a_span_over_grpc_is_seen_whole(collector: Collector) -> None:
    send_span(GrpcExporter(endpoint=collector.grpc_endpoint, insecure=True, timeout=PATIENCE))

    (span,) = collector.wait_for_spans(1)

    assert (span.name, span.attributes) == ("one", {"n": [1, 2]})
    assert [request.protocol for request in collector.requests()] == ["grpc"]


def test_compressed_metrics_are_seen(collector: Collector) -> None:
    exporter = OTLPMetricExporter(
        endpoint=f"{collector.http_endpoint}/v1/metrics", compression=Compression.Gzip
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("scope").create_histogram("took", unit="s").record(1.5, {"a": "b"})
    provider.shutdown()

    (point,) = [p for p in collector.wait_for_points(1) if p.metric == "took"]

    assert (point.unit, point.kind, point.value, point.count) == ("s", "histogram", 1.5, 1)
    assert point.attributes == {"a": "b"}


def test_planned_answers_are_given_in_order(collector: Collector) -> None:
    collector.answer(
        Fault(status=503, retry_after="7"), Fault(status=302, headers={"Location": "/x"})
    )

    answers = [
        requests.post(
            f"{collector.http_endpoint}/v1/traces", allow_redirects=False, timeout=PATIENCE
        )
        for _ in range(3)
    ]

    assert [a.status_code for a in answers] == [503, 302, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert collector.counts()["attempts"] == 3


@pytest.mark.parametrize(("reset", "kept"), [("before", 0), ("in", 1), ("after", 1)])
def test_a_reset_is_a_broken_connection(collector: Collector, reset: str, kept: int) -> None:
    collector.answer(Fault(reset=reset))

    with pytest.raises(requests.exceptions.RequestException):
        requests.post(f"{collector.http_endpoint}/v1/traces", data=b"x" * 9, timeout=PATIENCE)

    assert collector.counts()["attempts"] == kept


def test_what_is_no_request_is_counted_as_corrupt(collector: Collector) -> None:
    answer = requests.post(
        f"{collector.http_endpoint}/v1/traces", data=b"\xff\xff", timeout=PATIENCE
    )

    assert answer.status_code == 400
    assert collector.counts()["corrupt"] == 1


def test_a_poisoned_request_is_refused(collector: Collector) -> None:
    collector.refuse(poison="bad span")

    send_span(http_exporter(collector), "bad span")
    send_span(http_exporter(collector), "good span")

    assert [span.name for span in collector.wait_for_spans(1)] == ["good span"]


def test_it_goes_down_and_comes_back_on_the_same_port(collector: Collector) -> None:
    url = f"{collector.http_endpoint}/v1/traces"
    collector.down()
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.post(url, timeout=PATIENCE)

    collector.up()

    assert requests.post(url, timeout=PATIENCE).status_code == 200


def test_tls_asks_for_the_certificate_of_the_client(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with Collector(tls=authority.server(ask_clients=True)) as collector:
        url = f"{collector.http_endpoint}/v1/traces"
        with pytest.raises(requests.exceptions.RequestException):
            requests.post(url, verify=authority.ca_file, timeout=PATIENCE)

        answer = requests.post(
            url, verify=authority.ca_file, cert=authority.client_files(), timeout=PATIENCE
        )

    assert answer.status_code == 200
