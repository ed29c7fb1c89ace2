from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.backends import CONFIGURATIONS, collector_command

if TYPE_CHECKING:
    from pathlib import Path

# What an operator sets; everything else has a default.
SETTINGS = {
    "CODOMON_GATEWAYS": "[gateway-1:4317, gateway-2:4317]",
    "CODOMON_GATEWAY_TOKEN": "of-this-test",
    "CODOMON_CA_FILE": "ca.pem",
    "CODOMON_TLS_CERT": "gateway.pem",
    "CODOMON_TLS_KEY": "gateway.key",
    "CODOMON_KAFKA_BROKERS": "[kafka-1:9092, kafka-2:9092]",
}
COMBINATIONS = [
    ("local.yaml",),
    ("agent.yaml",),
    ("gateway.yaml",),
    ("kafka-producer.yaml",),
    ("kafka-consumer.yaml",),
]
FILES = sorted({name for names in COMBINATIONS for name in names})

each_file = pytest.mark.parametrize("name", FILES)


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CONFIGURATIONS / name).read_text())
    return loaded


def validate(*names: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the collector's own ``validate`` over files of the repository."""
    return subprocess.run(
        collector_command(*names, verb="validate"),
        env={
            "PATH": os.environ["PATH"],
            "CODOMON_QUEUE_FOLDER": str(folder / "queue"),
            **SETTINGS,
            **settings,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.backends
@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_the_collector_accepts_its_configuration(names: tuple[str, ...], tmp_path: Path) -> None:
    done = validate(*names, folder=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.backends
@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("agent.yaml", "CODOMON_GATEWAYS"),
        ("agent.yaml", "CODOMON_GATEWAY_TOKEN"),
        ("gateway.yaml", "CODOMON_GATEWAY_TOKEN"),
        ("gateway.yaml", "CODOMON_TLS_CERT"),
    ],
)
def test_what_must_be_set_has_no_default(name: str, setting: str, tmp_path: Path) -> None:
    done = validate(name, folder=tmp_path, **{setting: ""})

    assert done.returncode != 0


def test_every_configuration_of_the_folder_is_tried() -> None:
    assert sorted(path.name for path in CONFIGURATIONS.glob("*.yaml")) == FILES


@each_file
def test_the_memory_limiter_comes_first(name: str) -> None:
    pipelines = load(name)["service"]["pipelines"]

    entries = [
        pipeline["processors"]
        for pipeline in pipelines.values()
        if any(from_outside(receiver) for receiver in pipeline.get("receivers", []))
    ]
    assert all(processors[0] == "memory_limiter" for processors in entries)


def from_outside(receiver: str) -> bool:
    return receiver.split("/", maxsplit=1)[0] in {"otlp", "kafka"}


@each_file
def test_what_leaves_waits_on_disk_and_never_gives_up(name: str) -> None:
    exporters = {
        key: exporter
        for key, exporter in load(name).get("exporters", {}).items()
        # A page that is read, and the collector's own output: they send nothing.
        if not key.startswith(("prometheus/", "debug/"))
    }

    assert {key: exporter["sending_queue"]["storage"] for key, exporter in exporters.items()} == (
        dict.fromkeys(exporters, "file_storage")
    )
    assert all(one["retry_on_failure"]["max_elapsed_time"] == 0 for one in exporters.values())


@each_file
def test_no_component_goes_by_an_old_name(name: str) -> None:
    old = {"otlp", "otlphttp", "spanmetrics", "resourcedetection", "deltatocumulative"}
    old |= {"loadbalancing", "tailsampling", "memorylimiter", "filestorage", "healthcheck", "batch"}
    sections = ("processors", "exporters", "connectors", "extensions")

    used = {key.split("/")[0] for section in sections for key in load(name).get(section, {})}

    assert used & old == set()


def test_the_hop_between_agent_and_gateway_is_encrypted_and_asks_for_a_token() -> None:
    agent, gateway = load("agent.yaml"), load("gateway.yaml")

    sent = [exporter["protocol"]["otlp"] for exporter in agent["exporters"].values()]
    assert all(one["auth"] == {"authenticator": "bearertokenauth"} for one in sent)
    assert all(list(one["tls"]) == ["ca_file"] for one in sent)
    taken = gateway["receivers"]["otlp"]["protocols"]
    assert list(taken) == ["grpc"]
    assert taken["grpc"]["auth"] == {"authenticator": "bearertokenauth"}
    assert set(taken["grpc"]["tls"]) == {"cert_file", "key_file"}


def test_a_kafka_message_stays_below_what_the_broker_takes() -> None:
    kafka = load("kafka-producer.yaml")["exporters"]["kafka"]

    batch, producer = kafka["sending_queue"]["batch"], kafka["producer"]
    assert (batch["sizer"], producer["required_acks"]) == ("bytes", -1)
    assert batch["max_size"] < producer["max_message_bytes"]


@pytest.mark.parametrize("name", ["local.yaml", "agent.yaml", "gateway.yaml"])
def test_logs_are_taken_by_whatever_programs_send_to(name: str) -> None:
    logs = load(name)["service"]["pipelines"]["logs"]

    assert logs["receivers"] == ["otlp"]
    assert logs["exporters"]


def test_span_metrics_are_taken_before_sampling() -> None:
    pipelines = load("gateway.yaml")["service"]["pipelines"]

    assert "forward/span_metrics" in pipelines["traces"]["exporters"]
    assert "tail_sampling" not in pipelines["traces"]["processors"]
    assert pipelines["traces/span_metrics"]["processors"] == ["transform/stable_resource"]
