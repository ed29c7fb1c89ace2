"""A service in a real container: what is delivered before the container's disk is gone."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from support.docker import Engine, engine, needs_docker
from support.oracle import counted_executions
from support.programs import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.collector import Collector

pytestmark = [pytest.mark.backends, needs_docker]

SERVICE = """
import signal, sys, time
from otel_codomon import configure, execution
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
configure(service_name="contained")
number = 0
while True:
    with execution("job", attributes={"number": str(number)}): pass
    print(number, flush=True)
    number += 1
    time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    with engine() as running:
        yield running


class Contained:
    """A service in a container, and what it says that it has done.

    Attributes:
        name: Name of the container.
        acknowledged: Executions whose call has returned.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.acknowledged: set[str] = set()
        self._process = process
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.acknowledged.add(line.decode().strip())

    def wait(self) -> int:
        """Wait until the container is gone; how the service ended."""
        code = self._process.wait()
        self._reader.join()
        return code


@contextmanager
def contained(
    docker: Engine, name: str, collector: Collector, *options: str
) -> Iterator[Contained]:
    environ = {
        **collector.environment(),
        "OTEL_PYTHON_CODOMON_JOURNAL": "/state/journal",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = docker.python(name, SERVICE, environ=environ, options=options)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        service = Contained(name, process)
        try:
            wait_for(lambda: len(service.acknowledged) >= 100 or None, what="the service to work")
            yield service
        finally:
            subprocess.run(docker.command("kill", name), capture_output=True, check=False)
            service.wait()


def arrived(collector: Collector) -> set[str]:
    """The executions whose span is there."""
    return {span.attributes["number"] for span in collector.spans()}


def wait_until_delivered(service: Contained, collector: Collector) -> float:
    """Wait until what is acknowledged now has arrived and is counted; how long it took, seconds."""
    before, begin = set(service.acknowledged), time.monotonic()
    wait_for(
        lambda: (
            (before <= arrived(collector) and counted_executions(collector).total() >= len(before))
            or None
        ),
        what="spans and counts to arrive while the service works",
    )
    return time.monotonic() - begin


def test_a_service_that_ends_by_sigterm_delivers_everything(
    docker: Engine, collector: Collector
) -> None:
    with contained(docker, "ending", collector) as service:
        docker.do("stop", "--time", "100", service.name)
        code = service.wait()

    assert code == 0
    assert arrived(collector) >= service.acknowledged
    assert counted_executions(collector).total() == len(arrived(collector))


def test_of_one_that_is_killed_only_the_last_moments_are_lost(
    docker: Engine, collector: Collector
) -> None:
    with contained(docker, "killed", collector) as service:
        took = [wait_until_delivered(service, collector) for _ in range(5)]
        known = set(service.acknowledged) & arrived(collector)
        docker.do("kill", service.name)
        service.wait()

    print(f"delivered and counted after {min(took):.2f} to {max(took):.2f} s")
    assert arrived(collector) >= known
    assert counted_executions(collector).total() <= len(service.acknowledged) + 1


def test_a_volume_keeps_everything_for_the_next_container(
    docker: Engine, collector: Collector, tmp_path: Path
) -> None:
    volume = ("-v", f"{tmp_path}:/state")
    acknowledged = 0
    for life in range(3):
        with contained(docker, f"life-{life}", collector, *volume) as service:
            docker.do("kill", service.name)
            service.wait()
        acknowledged += len(service.acknowledged)
    with contained(docker, "last", collector, *volume) as service:
        docker.do("stop", "--time", "100", service.name)
        service.wait()
    acknowledged += len(service.acknowledged)

    spans = {span.span_id: span for span in collector.spans()}
    outcomes = [span.attributes["codomon.execution.outcome"] for span in spans.values()]
    assert outcomes.count("success") >= acknowledged
    counted = counted_executions(collector)
    assert counted == {name: outcomes.count(name) for name in set(outcomes)}
    instances = {
        point.resource["service.instance.id"]
        for point in collector.points("codomon.execution.duration")
    }
    assert len(instances) == 1
