"""`configure` and the instrumentor, in programs of their own, against a real OTLP peer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.collector import PATIENCE_SECONDS, PATIENT, Collector

from otel_codomon import names

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = """
from otel_codomon import configure, execution
{before}
@execution(language="python")
def job(code):
    return {{"status": "success"}}

job("1 + 1")
{after}
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def run_program(
    tmp_path: Path,
    env: dict[str, str] | None = None,
    *,
    before: str = "",
    after: str = "",
    command: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    """Run the program above in an environment without a trace of the caller's telemetry."""
    script = tmp_path / "app.py"
    script.write_text(PROGRAM.format(before=before, after=after))
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    clean |= {"XDG_STATE_HOME": str(tmp_path), "OTEL_SERVICE_NAME": "app", **PATIENT, **(env or {})}
    return subprocess.run(
        [*command, sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        env=clean,
        timeout=PATIENCE_SECONDS,
    )


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("journal", ["on", "off"])
def test_configured_executions_reach_a_collector_as_spans_and_metrics(
    collector: Collector, protocol: str, journal: str, tmp_path: Path
) -> None:
    env = collector.environment(protocol)
    if journal == "off":
        env["OTEL_PYTHON_CODOMON_JOURNAL"] = "off"

    done = run_program(tmp_path, env, before="configure()")

    assert (done.returncode, done.stderr) == (0, "")
    [span] = collector.wait_for_spans(1)
    points = collector.wait_for_points(1)
    assert span.name == "job"
    assert span.resource["service.name"] == "app"
    assert span.attributes[names.EXECUTION_LANGUAGE] == "python"
    assert span.attributes[names.CODE_SIZE] == 5
    assert names.EXECUTION_DURATION.name in {point.metric for point in points}


def test_arguments_say_where_to_and_as_whom(collector: Collector, tmp_path: Path) -> None:
    arguments = (
        f"service_name='named', endpoint={collector.http_endpoint!r}, "
        "headers={'x-team': 'core'}, resource_attributes={'zone': 'a'}"
    )

    done = run_program(tmp_path, before=f"configure({arguments})")

    assert (done.returncode, done.stderr) == (0, "")
    [span] = collector.wait_for_spans(1)
    assert span.resource["service.name"] == "named"
    assert span.resource["zone"] == "a"
    assert collector.requests()[0].headers["x-team"] == "core"


@pytest.mark.parametrize("journal", ["on", "off"])
def test_with_no_endpoint_nothing_is_sent_and_nothing_said(tmp_path: Path, journal: str) -> None:
    env = {"OTEL_PYTHON_CODOMON_JOURNAL": "off"} if journal == "off" else {}

    done = run_program(tmp_path, env, before="configure()")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_disabled_sdk_stays_disabled(collector: Collector, tmp_path: Path) -> None:
    done = run_program(
        tmp_path, {"OTEL_SDK_DISABLED": "true", **collector.environment()}, before="configure()"
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert collector.requests() == []


def test_providers_that_are_there_are_used_and_not_replaced(tmp_path: Path) -> None:
    before = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
theirs, kept = TracerProvider(), InMemorySpanExporter()
theirs.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(theirs)
made = configure(endpoint="http://127.0.0.1:9", exit_timeout=0).made
"""
    after = """
assert trace.get_tracer_provider() is theirs
assert made == {"metrics"}, made
print([span.name for span in kept.get_finished_spans()])
metrics.get_meter_provider().shutdown(1)
"""

    done = run_program(tmp_path, {"OTEL_PYTHON_CODOMON_JOURNAL": "off"}, before=before, after=after)

    assert (done.returncode, done.stdout) == (0, "['job']\n"), done.stderr


def test_a_second_call_changes_nothing_and_says_so(tmp_path: Path) -> None:
    before = """
first = configure(service_name="app", capture=["code"])
assert configure() is first
assert configure(service_name="app", capture=["code"]) is first
assert configure(slots=True, service_name="other", headers={"a": "secret"}) is first
"""

    done = run_program(tmp_path, before=before)

    assert done.returncode == 0
    assert done.stderr.startswith("configure() ignores service_name, headers, slots: the first")


def test_a_call_beside_providers_says_what_it_ignores(tmp_path: Path) -> None:
    before = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
metrics.set_meter_provider(MeterProvider())
configure(service_name="other", endpoint="http://127.0.0.1:9", sample_interval=1, journal=False)
"""

    done = run_program(tmp_path, before=before)

    assert done.returncode == 0
    assert done.stderr.startswith("configure() ignores service_name, endpoint: providers exist")


_CONFIG_FILE = """
file_format: "1.0-rc.1"
resource: {attributes: [{name: service.name, value: described}]}
propagator: {composite: [{tracecontext: {}}]}
tracer_provider:
  sampler: {%s: {}}
  processors: [{simple: {exporter: {console: {}}}}]
"""


@pytest.mark.parametrize(
    ("sampler", "count"), [("always_on", 1), ("always_off", 0)], ids=["sampled", "unsampled"]
)
def test_a_configuration_file_alone_says_what_there_is(
    sampler: str, count: int, tmp_path: Path, collector: Collector
) -> None:
    path = tmp_path / "otel.yaml"
    path.write_text(_CONFIG_FILE % sampler)
    environment = {**collector.environment(), "OTEL_CONFIG_FILE": str(path)}

    done = run_program(tmp_path, environment, before="print(sorted(configure().made))")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("[]\n")
    assert done.stdout.count('"name": "job"') == count
    assert done.stdout.count('"service.name": "described"') == count
    assert collector.requests() == []


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ("", "cannot use OTEL_CONFIG_FILE='/no/such/file'"),
        (
            "import sys; sys.modules['opentelemetry.configuration'] = None\n",
            "opentelemetry-configuration is not installed",
        ),
    ],
)
def test_a_configuration_file_that_cannot_be_read_is_an_error_at_start(
    before: str, says: str, tmp_path: Path
) -> None:
    done = run_program(
        tmp_path, {"OTEL_CONFIG_FILE": "/no/such/file"}, before=f"{before}configure()"
    )

    assert done.returncode == 1
    assert says in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("endpoint='localhost:4318'", "cannot send to 'localhost:4318'"),
        ("endpoint=4318", "cannot send to 4318"),
        ("headers='a=b'", "invalid headers 'a=b'"),
        ("resource_attributes={'a': 1}", "invalid resource_attributes {'a': 1}"),
        ("service_name=3", "invalid service_name 3"),
        ("protocol='http/json'", "invalid protocol 'http/json'"),
        ("durability='forever'", "invalid durability 'forever'"),
    ],
)
def test_wrong_arguments_are_an_error_at_start(arguments: str, said: str, tmp_path: Path) -> None:
    done = run_program(tmp_path, before=f"configure({arguments})")

    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_PYTHON_CODOMON_DELIVER", "maybe"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "no-such-exporter"),
    ],
)
def test_wrong_variables_are_an_error_at_start(variable: str, value: str, tmp_path: Path) -> None:
    env = {"OTEL_PYTHON_CODOMON_JOURNAL": "off", variable: value}

    done = run_program(tmp_path, env, before="configure()")

    assert done.returncode == 1
    assert "InvalidArgumentError: " in done.stderr
    assert variable in done.stderr


def zero_code() -> tuple[str, ...]:
    """What a program is started by that nobody changes: it needs somebody's providers."""
    pytest.importorskip("opentelemetry.distro", reason="pip install opentelemetry-distro")
    return (str(Path(sys.executable).with_name("opentelemetry-instrument")),)


def test_a_program_nobody_changed_is_observed_by_opentelemetry_instrument(
    collector: Collector, tmp_path: Path
) -> None:
    command = zero_code()
    exporters = {
        "OTEL_TRACES_EXPORTER": "otlp_proto_http",
        "OTEL_METRICS_EXPORTER": "otlp_proto_http",
        "OTEL_LOGS_EXPORTER": "none",
    }

    done = run_program(tmp_path, {**exporters, **collector.environment()}, command=command)

    assert done.returncode == 0, done.stderr
    [span] = collector.wait_for_spans(1)
    assert span.name == "job"
    collector.wait_for_points(1)


@pytest.mark.parametrize("way", ["argument", "variable", "zero-code"])
def test_metrics_of_the_host_are_sent_when_asked_for(
    way: str, collector: Collector, tmp_path: Path
) -> None:
    env = collector.environment()
    if way != "argument":
        env["OTEL_PYTHON_CODOMON_HOST_METRICS"] = "true"
    if way == "zero-code":
        env |= {"OTEL_METRICS_EXPORTER": "otlp_proto_http", "OTEL_LOGS_EXPORTER": "none"}

    done = run_program(
        tmp_path,
        env,
        before={"argument": "configure(host_metrics=True)", "variable": "configure()"}.get(way, ""),
        command=zero_code() if way == "zero-code" else (),
    )

    assert done.returncode == 0, done.stderr
    told = {point.metric for point in collector.wait_for_points(1)}
    assert {names.SYSTEM_MEMORY_USAGE.name, names.PROCESS_MEMORY_USAGE.name} <= told
