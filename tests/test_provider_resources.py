"""What the providers of `configure()` say of host and process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from support.collector import Collector

from otel_codomon import names
from otel_codomon.configuration.resources import ProcessResource
from otel_codomon.journal.host_resource import host_attributes

_ID = "0123456789abcdef" * 2
_SECRET = "--password=hunter2hunter2"  # noqa: S105 - what must not be told
_PROGRAM = """
import ctypes, os, sys
from otel_codomon import configure, execution

configure(service_name="svc")

@execution("job")
def job(pid):
    return pid

def ends():
    print(os.getpid(), flush=True)
    job(os.getpid())

ends()
for fork in (os.fork, ctypes.PyDLL(None).fork)[: int(sys.argv[1])]:
    pid = fork()
    if pid == 0:
        ends()
        if os.fork() == 0:
            ends()
            os._exit(0)
        os.wait()
        os._exit(0)
    os.waitpid(pid, 0)
"""


def _environment(**more: str) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    return {**clean, **more}


def _run(program: str, *arguments: str, **environment: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=_environment(**environment),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [int(word) for word in done.stdout.split()]


# --- the host -------------------------------------------------------------------


def _system(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return f"{root}/"


def test_a_host_has_its_name_its_id_and_its_processor(tmp_path: Path) -> None:
    root = _system(tmp_path, {"etc/machine-id": f"{_ID}\n"})

    found = host_attributes(environ={}, root=root)

    assert found.pop(names.HOST_ARCH) not in {"", "x86_64", "aarch64"}
    assert found == {names.HOST_NAME: platform.node(), names.HOST_ID: _ID}


@pytest.mark.parametrize("text", ["", "uninitialized\n", "x" * 32, _ID * 2, "\xff" * 32])
def test_what_is_no_machine_id_is_absent(tmp_path: Path, text: str) -> None:
    root = _system(tmp_path, {"etc/machine-id": text})

    assert names.HOST_ID not in host_attributes(environ={}, root=root)


@pytest.mark.parametrize(
    ("sign", "environ"),
    [
        (".dockerenv", {}),
        ("run/.containerenv", {}),
        ("run/systemd/container", {}),
        ("etc/other", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}),
        ("etc/other", {"container": "lxc"}),
    ],
)
def test_in_a_container_nobody_knows_the_host(
    tmp_path: Path, sign: str, environ: dict[str, str]
) -> None:
    root = _system(tmp_path, {"etc/machine-id": _ID, sign: ""})

    assert host_attributes(environ=environ, root=root).keys() == {names.HOST_ARCH}


# --- the process ----------------------------------------------------------------


@pytest.mark.parametrize("journal", ["on", "off"])
def test_each_process_says_its_own_id_also_after_a_fork(journal: str, tmp_path: Path) -> None:
    folder = "off" if journal == "off" else str(tmp_path / "journal")
    # Without a journal the SDK's own thread exports, and is not in a child without hooks.
    forks = "1" if journal == "off" else "2"
    with Collector() as collector:
        environment = {"OTEL_PYTHON_CODOMON_JOURNAL": folder, **collector.environment()}
        if journal == "off":
            program = _PROGRAM.replace(
                "    job(os.getpid())", "    job(os.getpid())\n    made.force_flush()"
            ).replace("configure(service", "made = configure(service")
        else:
            program = _PROGRAM
        pids = _run(program, forks, _SECRET, **environment)
        spans = collector.wait_for_spans(len(pids))

    assert len(set(pids)) == (3 if journal == "off" else 5)
    told = sorted(span.resource[names.PROCESS_PID] for span in spans)
    assert told == sorted(pids)
    for span in spans:
        assert span.resource[names.PROCESS_EXECUTABLE_NAME] == Path("/proc/self/exe").resolve().name
        assert span.resource[names.PROCESS_RUNTIME_VERSION] == platform.python_version()
        assert "hunter2" not in repr(span.resource)
        assert not {k for k in span.resource if k.startswith("process.command")}


def test_a_resource_of_a_process_stays_one_however_it_is_merged() -> None:
    merged = ProcessResource({"a": "1"}).merge(Resource({"b": "2"}))

    assert dict(merged.attributes) == {"a": "1", "b": "2", names.PROCESS_PID: os.getpid()}
    assert isinstance(merged, ProcessResource)


def test_metrics_of_many_processes_are_one_series_and_not_one_for_each(tmp_path: Path) -> None:
    folder = str(tmp_path / "journal")
    job = "from otel_codomon import configure, execution; configure(); execution('job')(id)(1)"
    with Collector() as collector:
        environment = {
            "OTEL_PYTHON_CODOMON_JOURNAL": folder,
            "OTEL_SERVICE_NAME": "svc",
            **collector.environment(),
        }
        for _ in range(2):
            _run(job, **environment)
        command = [sys.executable, "-m", "otel_codomon", "run", "-q", "--name", "job", "--", "true"]
        subprocess.run(command, env=_environment(**environment), check=True)
        send = [sys.executable, "-m", "otel_codomon", "journal", "send"]
        subprocess.run(send, env=_environment(**environment), check=True, capture_output=True)
        points = collector.points(names.EXECUTION_DURATION.name)
        gauges = collector.points(names.EXECUTION_ACTIVE.name) + collector.points(
            names.JOURNAL_RECORDS.name
        )

    resources = {tuple(sorted(point.resource.items())) for point in points}
    assert len(resources) == 1
    assert max(sum(p.count for p in points if p.unix_ns == at.unix_ns) for at in points) == 3
    assert gauges
    for point in [*points, *gauges]:
        assert not {key for key in point.resource if key.startswith("process.")}


_OTHERS = """
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

provider = TracerProvider(resource=Resource({"service.name": "theirs"}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
from otel_codomon import configure, execution
configure()
execution("job")(id)(1)
"""


def test_providers_of_others_keep_their_resource(tmp_path: Path) -> None:
    with Collector() as collector:
        journal = str(tmp_path / "journal")
        _run(_OTHERS, OTEL_PYTHON_CODOMON_JOURNAL=journal, **collector.environment())
        [span] = collector.wait_for_spans(1)

    assert span.resource == {"service.name": "theirs"}


@pytest.mark.parametrize(
    ("variables", "arguments", "expected"),
    [
        ({"OTEL_RESOURCE_ATTRIBUTES": "host.name=edge,process.pid=7"}, "", ("edge", "7")),
        ({"OTEL_RESOURCE_ATTRIBUTES": "host.name=edge"}, "{'host.name': 'said'}", ("said", None)),
        ({"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "host"}, "", (platform.node(), None)),
        ({"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "process"}, "{'host.name': 'x'}", ("x", None)),
    ],
)
def test_what_the_user_says_goes_first(
    variables: dict[str, str], arguments: str, expected: tuple[str, str | None], tmp_path: Path
) -> None:
    program = (
        "import os; from otel_codomon import configure, execution\n"
        f"configure(resource_attributes={arguments or None})\n"
        "execution('job')(id)(1); print(os.getpid())"
    )
    with Collector() as collector:
        journal = str(tmp_path / "journal")
        environment: dict[str, Any] = {**variables, **collector.environment()}
        [pid] = _run(program, OTEL_PYTHON_CODOMON_JOURNAL=journal, **environment)
        [span] = collector.wait_for_spans(1)

    name, pid_said = expected
    assert span.resource[names.HOST_NAME] == name
    assert span.resource[names.PROCESS_PID] == (pid_said or pid)
