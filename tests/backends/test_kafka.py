from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from support.backends import Collector, Jaeger, Prometheus, attributes
from support.every_name import every_metric
from support.kafka import Kafka
from support.programs import wait_for
from support.spans import SentSpan, send

from otel_codomon import names

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.backends

SERVICE = "through-kafka"


@dataclass(frozen=True, slots=True)
class Buffered:
    """Agent, Kafka, consumer and the backends behind it."""

    producer: Collector
    kafka: Kafka
    consumer: Collector
    jaeger: Jaeger
    prometheus: Prometheus

    def send(self, *spans: SentSpan) -> None:
        send(spans, http=self.producer.http, service=SERVICE)

    def seen(self) -> set[str]:
        """Execution ids in Jaeger."""
        spans = self.jaeger.spans(SERVICE)
        return {str(attributes(span)[names.EXECUTION_ID]) for span in spans}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buffered]:
    folder = tmp_path_factory.mktemp("kafka")
    kafka = Kafka(folder=folder / "kafka")
    jaeger = Jaeger(folder=folder / "jaeger")
    prometheus = Prometheus(folder=folder / "prometheus")
    brokers = {"CODOMON_KAFKA_BROKERS": f"[{kafka.broker}]", "CODOMON_KAFKA_INSECURE": "true"}
    producer = Collector("kafka-producer.yaml", folder=folder / "producer", environment=brokers)
    consumer = Collector(
        "kafka-consumer.yaml",
        folder=folder / "consumer",
        environment={
            "CODOMON_TRACES_ENDPOINT": jaeger.otlp,
            "CODOMON_TRACES_INSECURE": "true",
            "CODOMON_METRICS_ENDPOINT": prometheus.otlp,
            **brokers,
        },
    )
    with ExitStack() as running:
        running.enter_context(kafka)
        kafka.create_topics(["otlp_spans", "otlp_metrics"], partitions=3)
        for program in (jaeger, prometheus, consumer, producer):
            running.enter_context(program)
        yield Buffered(producer, kafka, consumer, jaeger, prometheus)


def test_nothing_is_missing_after_kafka_was_away(path: Buffered) -> None:
    before, during, after = ([SentSpan() for _ in range(100)] for _ in range(3))
    path.send(*before)
    path.kafka.stop()
    path.send(*during)
    path.kafka.start()
    path.send(*after)

    sent = {span.execution_id for span in (*before, *during, *after)}
    wait_for(lambda: sent <= path.seen(), what="every span of before, during and after")


def test_nothing_is_missing_after_the_consumer_was_killed(path: Buffered) -> None:
    sent = [SentSpan() for _ in range(100)]
    path.send(*sent[:50])
    path.consumer.kill()
    path.send(*sent[50:])
    path.consumer.start()

    wait_for(lambda: {span.execution_id for span in sent} <= path.seen(), what="every span")


def test_metrics_go_the_same_way(path: Buffered) -> None:
    with every_metric(path.producer.grpc, service=SERVICE):
        wait_for(
            lambda: path.prometheus.query(f'codomon_execution_active{{job="{SERVICE}"}}'),
            what="metrics through Kafka",
        )


def test_no_component_warns_of_an_old_name(path: Buffered) -> None:
    logs = [program.log() for program in (path.producer, path.consumer)]

    assert [log for log in logs if "deprecated" in log.lower()] == []
