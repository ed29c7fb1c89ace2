"""What is documented is emitted, and what is emitted is documented: by a real program."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from support.collector import Collector
from support.needs import HAS_CGROUPS
from support.sending import sending

from otel_codomon import names
from otel_codomon.journal import segments
from otel_codomon.journal.segments import Record, decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE_SECONDS = 300  # only a hang takes so long

_PROGRAM = """
import os, subprocess, sys, threading
from cachetools import TTLCache
from otel_codomon import (
    Limits, Thresholds, ToolCall, configure, count_lookups, execution, observe_cache, run,
)

# An endpoint that refuses: what waits is reported too.
made = configure(
    capture=["arguments", "code", "exception", "output", "output:logs"],
    execution_logs=True, host_metrics=True, slots=True,
    sample_interval=0.05, endpoint="http://127.0.0.1:9", exit_timeout=0,
)

@execution(language="python", session_id="session", timeout=5)
def raises(code):
    raise ValueError("boom")

try:
    raises("x = 1")
except ValueError:
    pass

@execution(tool=ToolCall("calculator", call_id="call-1", type="function"), session_id="session")
def adds(one, two):
    return one + two

adds(1, two=2)

now = 0.0
cache = observe_cache(count_lookups(TTLCache(2, ttl=1, timer=lambda: now)), name="cache", size=True)
for key in range(3):
    cache[key] = key
2 in cache, 9 in cache
now = 5.0
cache.expire()
cache.clear()

def python(code, **options):
    return run([sys.executable, "-c", code], **options)

every = Limits(
    memory_bytes=2**31, cpu_seconds=1, processes=100, file_size_bytes=2**30, open_files=100,
    output_bytes=100, disk_bytes=2**30,
)
python("while True: pass", limits=every)
python("import os; print('o' * 5000, flush=True); os.kill(os.getpid(), 9)", limits=every)
run("print(1)", language="python")
python("for i in range(3000): print(i)")

# The client of an engine: what it uses is not what its container uses.
client = os.path.join(sys.argv[1], "docker")
os.symlink("/bin/sh", client)
open(os.path.join(sys.argv[1], "run"), "w").write("sleep 0.5")
with execution("client") as current:
    child = subprocess.Popen([client, "run"], cwd=sys.argv[1])
    current.attach(child)
    child.wait()

writes = "import time\\nwhile True:\\n open(%r, 'wb').write(bytes(10**6)); time.sleep(0.01)"
with execution("writes", thresholds=Thresholds(memory_bytes=1)) as current:
    child = subprocess.Popen([sys.executable, "-c", writes % os.path.join(sys.argv[1], "file")])
    current.attach(child)
    while current.tracker.latest is None or not current.tracker.latest.disk_write_bytes_per_second:
        pass
    made.meter_provider.force_flush()
    child.kill()
    child.wait()
made.meter_provider.force_flush()
"""

# Emitted where there is no such thing here, or by executions of other tests.
_ELSEWHERE = {
    names.CONTAINER_ID,  # in a container
    names.CLEANUP_LEFT,  # where a directory cannot be removed: test_removal
    names.USAGE_FINAL,  # where the last totals cannot be read: test_heartbeats
    "process.windows.handle.count",  # on Windows
}
_WITH_SWAP = {"system.paging.usage", "system.paging.utilization", "system.paging.state"}
_WITH_CGROUPS = {names.USAGE_CPU_THROTTLED_TIME, names.USAGE_MEMORY_CACHE}
_EVENTS = {
    names.EVENT_EXCEPTION,
    names.EVENT_EXECUTION_ENDED,
    names.EVENT_EXECUTION_STARTED,
    names.EVENT_LIMIT_REACHED,
    names.EVENT_THRESHOLD_CROSSED,
}


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all attributes, events and metrics that the program emits."""
    folder = tmp_path_factory.mktemp("emitted")
    journal = folder / "journal"
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environment = {**clean, "OTEL_PYTHON_CODOMON_JOURNAL": str(journal)}
    for command in (
        [sys.executable, "-c", _PROGRAM, str(folder)],
        [sys.executable, "-m", "otel_codomon", "run", "-q", "--", "true"],
    ):
        subprocess.run(
            command, env=environment, check=True, capture_output=True, timeout=_PATIENCE_SECONDS
        )
    with Collector() as collector:
        with sending(str(journal), collector.environment()) as sender:
            assert sender.flush(_PATIENCE_SECONDS)
        return {
            *_names_in(journal),
            *_names_of_spans(collector),
            *_names_of_sums(collector),
            *_names_of_logs(collector),
        }


def _names_in(journal: Path) -> Iterator[str]:
    """Names of the metrics that the journal holds."""
    for path in journal.glob("*.seg"):
        for record in decode(path.read_bytes()):
            if isinstance(record, Record) and record.signal == segments.METRICS:
                yield from _names_of_metrics(record.payload)


def _names_of_spans(collector: Collector) -> Iterator[str]:
    for span in collector.spans():
        yield from span.attributes
        for event in span.events:
            yield event.name
            yield from event.attributes


@pytest.fixture(scope="module")
def resource_keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """What a real program says of itself: on spans, and on gauges."""
    journal = tmp_path_factory.mktemp("resource") / "journal"
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    program = "from otel_codomon import configure, execution; configure(); execution('x')(id)(1)"
    with Collector() as collector:
        environment = {"OTEL_PYTHON_CODOMON_JOURNAL": str(journal), **collector.environment()}
        subprocess.run([sys.executable, "-c", program], env={**clean, **environment}, check=True)
        spans, points = collector.wait_for_spans(1), collector.wait_for_points(1)
    return {
        "spans": {key for span in spans for key in span.resource},
        "metrics": {key for point in points for key in point.resource},
    }


def test_the_resource_is_as_it_is_documented(resource_keys: dict[str, set[str]]) -> None:
    rows = names.RESOURCE_ATTRIBUTES
    of_metrics = {key for key, row in rows.items() if row.on_metrics}
    # In a container there is neither: test_provider_resources has them.
    elsewhere = {names.HOST_NAME, names.HOST_ID}
    described = ("host.", "os.", "process.")

    assert set(rows) - resource_keys["spans"] <= elsewhere
    assert {key for key in resource_keys["spans"] if key.startswith(described)} <= set(rows)
    assert {key for key in resource_keys["metrics"] if key.startswith(described)} <= of_metrics
    assert of_metrics - resource_keys["metrics"] <= elsewhere


def _names_of_logs(collector: Collector) -> Iterator[str]:
    for log in collector.logs():
        yield from log.attributes
        if log.event:
            yield log.event


def _names_of_sums(collector: Collector) -> Iterator[str]:
    for point in collector.points():
        yield point.metric
        yield from point.attributes


def _names_of_metrics(payload: bytes) -> Iterator[str]:
    for resource in ExportMetricsServiceRequest.FromString(payload).resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield metric.name
                data: Any = getattr(metric, metric.WhichOneof("data") or "gauge")
                for point in data.data_points:
                    yield from (pair.key for pair in point.attributes)


def test_every_name_is_emitted(emitted: set[str]) -> None:
    elsewhere = set(_ELSEWHERE)
    if not psutil.swap_memory().total:
        elsewhere |= _WITH_SWAP
    if not HAS_CGROUPS:
        elsewhere |= _WITH_CGROUPS

    assert {*names.ATTRIBUTES, *names.METRICS, *_EVENTS} - emitted <= elsewhere


def test_every_name_that_is_emitted_is_documented(emitted: set[str]) -> None:
    assert emitted <= {*names.ATTRIBUTES, *names.METRICS, *_EVENTS}


def test_what_run_captures_is_what_was_asked_for(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text("print('source')")
    option = "--password=hunter2hunter2"
    for folder, captured in (("plain", ""), ("asked", "arguments,code")):
        environment = {
            **os.environ,
            "OTEL_PYTHON_CODOMON_JOURNAL": str(tmp_path / folder),
            "OTEL_PYTHON_CODOMON_CAPTURE": captured,
        }
        for command in (["--", "echo", "one", option], ["--language", "python", str(source)]):
            subprocess.run(
                [sys.executable, "-m", "otel_codomon", "run", "-q", *command],
                env=environment,
                check=True,
                capture_output=True,
            )

    plain, asked = (
        b"".join(path.read_bytes() for path in (tmp_path / folder).glob("*.seg"))
        for folder in ("plain", "asked")
    )
    assert names.CODE_SIZE.encode() in plain
    assert names.CODE_SHA256.encode() in plain
    for key in (names.PROCESS_COMMAND_ARGS, names.CODE_TEXT):
        assert key.encode() not in plain
        assert key.encode() in asked
    assert b"hunter2" not in plain + asked
