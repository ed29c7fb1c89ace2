from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from support.backends import Collector, Jaeger, Prometheus, attributes
from support.programs import wait_for
from support.spans import SentSpan, send
from support.tls import Authority

from otel_codomon import names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.backends

SERVICE = "fleet"
TOKEN = {"CODOMON_GATEWAY_TOKEN": "of-this-test"}
# 0.5 s is the least that a sampler's tick of a second can tell apart.
DECISION_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Fleet:
    """One agent, two gateways and the backends behind them."""

    agent: Collector
    gateways: tuple[Collector, ...]
    jaeger: Jaeger
    prometheus: Prometheus
    authority: Authority

    def send(self, *spans: SentSpan) -> None:
        """Send *spans* to the agent in one request."""
        send(spans, http=self.agent.http, service=SERVICE)

    def seen(self) -> list[str]:
        """Execution ids in Jaeger, each as often as it is there."""
        spans = self.jaeger.spans(SERVICE)
        return sorted(str(attributes(span)[names.EXECUTION_ID]) for span in spans)

    def decided(self) -> float:
        """Traces on which the samplers have decided."""
        name = "otelcol_processor_tail_sampling_global_count_traces_sampled"
        return sum(gateway.own_metric(name) for gateway in self.gateways)


def agent_settings(fleet_of: tuple[Collector, ...], authority: Authority) -> Mapping[str, str]:
    ports = [gateway.grpc.rsplit(":", 1)[1] for gateway in fleet_of]
    return {
        "CODOMON_GATEWAYS": f"[{', '.join(f'localhost:{port}' for port in ports)}]",
        "CODOMON_CA_FILE": authority.ca_file,
        **TOKEN,
    }


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    authority = Authority(tmp_path)
    files = authority.server("localhost")
    prometheus = Prometheus(folder=tmp_path / "prometheus")
    jaeger = Jaeger(folder=tmp_path / "jaeger")
    gateways = tuple(
        Collector(
            "gateway.yaml",
            folder=tmp_path / f"gateway-{number}",
            environment={
                "CODOMON_TLS_CERT": files.certificate,
                "CODOMON_TLS_KEY": files.key,
                "CODOMON_TRACES_ENDPOINT": jaeger.otlp,
                "CODOMON_TRACES_INSECURE": "true",
                "CODOMON_METRICS_ENDPOINT": prometheus.otlp,
                "CODOMON_DECISION_WAIT": f"{DECISION_SECONDS}s",
                "CODOMON_SHARE_PERCENT": "0",
                "CODOMON_SPAN_METRICS_INTERVAL": "1s",
                **TOKEN,
            },
        )
        for number in (1, 2)
    )
    agent = Collector(
        "agent.yaml",
        folder=tmp_path / "agent",
        environment=agent_settings(gateways, authority),
        # Whose answer is late is sent a copy: here only faults are to make copies.
        settings=["exporters::load_balancing/traces::protocol::otlp::timeout: 300s"],
    )
    with ExitStack() as running:
        for program in (prometheus, jaeger, *gateways, agent):
            running.enter_context(program)
        yield Fleet(agent, gateways, jaeger, prometheus, authority)


def test_every_failed_execution_is_kept_once_and_counted_before_sampling(fleet: Fleet) -> None:
    fine = [SentSpan() for _ in range(200)]
    failed = [SentSpan(outcome=outcome) for outcome in ("error", "timeout", "oom_killed") * 20]
    slow = [SentSpan(seconds=31)]

    fleet.send(*fine, *failed, *slow)

    kept = sorted(span.execution_id for span in (*failed, *slow))
    wait_for(lambda: fleet.seen() == kept, what="what is to be kept")
    wait_for(lambda: fleet.decided() == 261, what="the samplers to decide on every trace")
    assert fleet.seen() == kept
    calls = f'traces_span_metrics_calls_total{{job="{SERVICE}"}}'
    wait_for(
        lambda: fleet.prometheus.value(f"sum({calls})") == 261, what="span metrics of every span"
    )
    by_outcome = {
        one["metric"]["codomon_execution_outcome"]: float(one["value"][1])
        for one in fleet.prometheus.query(f"sum by (codomon_execution_outcome) ({calls})")
    }
    assert by_outcome == {"success": 201, "error": 20, "timeout": 20, "oom_killed": 20}
    # Both gateways had their share: the traces are spread over them.
    assert len(fleet.prometheus.query(f"count by (collector_instance_id) ({calls})")) == 2


def test_a_failure_after_its_siblings_were_sampled_away_is_kept(fleet: Fleet) -> None:
    sibling = SentSpan()
    fleet.send(sibling)
    wait_for(lambda: fleet.decided() == 1, what="the sampler to drop the trace")
    late = SentSpan(outcome="error", trace_id=sibling.trace_id)

    fleet.send(late)

    wait_for(lambda: fleet.seen() == [late.execution_id], what="the late failure")


def test_what_belongs_to_a_failure_is_kept_with_it(fleet: Fleet) -> None:
    failed = SentSpan(outcome="error")
    sibling = SentSpan(trace_id=failed.trace_id)

    fleet.send(sibling, failed)

    both = sorted([failed.execution_id, sibling.execution_id])
    wait_for(lambda: fleet.seen() == both, what="the whole trace")


def test_what_gateways_do_not_take_waits_with_the_agent_and_outlives_it(fleet: Fleet) -> None:
    failed = [SentSpan(outcome="error") for _ in range(50)]
    for gateway in fleet.gateways:
        gateway.kill()
    fleet.send(*failed[:25])
    fleet.agent.kill()
    fleet.agent.start()
    fleet.send(*failed[25:])

    for gateway in fleet.gateways:
        gateway.start()

    expected = {span.execution_id for span in failed}
    wait_for(lambda: set(fleet.seen()) == expected, what="what waited")


def test_a_gateway_takes_nothing_without_its_token(fleet: Fleet, tmp_path: Path) -> None:
    settings = agent_settings(fleet.gateways, fleet.authority)
    stranger = Collector(
        "agent.yaml",
        folder=tmp_path / "stranger",
        environment={**settings, "CODOMON_GATEWAY_TOKEN": "of-somebody-else"},
    )

    with stranger:
        send([SentSpan(outcome="error")], http=stranger.http, service=SERVICE)
        refused = "otelcol_exporter_send_failed_spans"
        wait_for(lambda: stranger.own_metric(refused) >= 1, what="the gateway to refuse")

    assert fleet.seen() == []


def test_no_component_warns_of_an_old_name(fleet: Fleet) -> None:
    logs = [program.log() for program in (fleet.agent, *fleet.gateways)]

    assert [log for log in logs if "deprecated" in log.lower()] == []
