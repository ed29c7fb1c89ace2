"""A service in a real container: what is delivered before the container's disk is gone."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from support.docker import Engine, engine, needs_docker
from support.oracle import counted_executions
from support.programs import wait_for

from otel_codomon import names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.collector import Collector

pytestmark = [pytest.mark.backends, needs_docker]

# It says which executions are acknowledged: those whose call has returned.
SERVICE = """
import os, time
from otel_codomon import configure, execution
configure(service_name="contained")
life, number = os.environ["LIFE"], 0
with execution("whole life"):
    while True:
        with execution("job", attributes={"number": f"{life}/{number}"}): pass
        print(f"{life}/{number}", flush=True)
        number += 1
        time.sleep(0.02)
"""
HANDLING = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"

# In jobs and not by the clock: a machine that is slow makes fewer of them, too.
IN_TWO_SECONDS = 100
A_LITTLE_LONGER = 110

# Which a busy machine may cost that holds up the receiver and nothing else.
LIVES = 5


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    with engine() as running:
        yield running


class Contained:
    """A service in a container, and what it says that it has done.

    Attributes:
        name: Name of the container.
        acknowledged: Jobs whose call has returned.
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

    def wait_until_acknowledged(self, count: int) -> None:
        """Wait until so many jobs are."""

        def is_there() -> bool:
            assert self._process.poll() is None, "the service has ended"
            return len(self.acknowledged) >= count

        wait_for(is_there, what=f"{count} jobs")

    def wait(self) -> int:
        """Wait until the container is gone; how the service ended."""
        code = self._process.wait()
        self._reader.join()
        return code


@contextmanager
def contained(
    docker: Engine, name: str, collector: Collector, *options: str, source: str = SERVICE
) -> Iterator[Contained]:
    """Have the service run in a container until the block ends."""
    environ = {
        **collector.environment(),
        "OTEL_PYTHON_CODOMON_JOURNAL": "/state/journal",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LIFE": name,
    }
    command = docker.python(name, source, environ=environ, options=options)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        service = Contained(name, process)
        try:
            service.wait_until_acknowledged(50)
            yield service
        finally:
            subprocess.run(docker.command("kill", name), capture_output=True, check=False)
            service.wait()


def arrived(collector: Collector) -> Counter[str]:
    """How many spans of each job are there."""
    return Counter(
        span.attributes["number"] for span in collector.spans() if "number" in span.attributes
    )


def died(collector: Collector) -> Counter[str]:
    """How many executions of each name arrived as ``host_died``, copies left out."""
    found = {
        span.span_id: span.name
        for span in collector.spans()
        if span.attributes[names.EXECUTION_OUTCOME] == "host_died"
    }
    return Counter(found.values())


def counted_jobs(collector: Collector) -> int:
    """How many jobs the metrics count."""
    return counted_executions(collector, name="job").total()


def wait_for_export(collector: Collector) -> None:
    """Wait until the metrics count more jobs than now."""
    before = counted_jobs(collector)
    wait_for(lambda: counted_jobs(collector) > before, what="an export")


@pytest.mark.parametrize("options", [(), ("--init",)], ids=["as process 1", "below an init"])
def test_a_service_that_handles_sigterm_delivers_everything(
    docker: Engine, collector: Collector, options: tuple[str, ...]
) -> None:
    source = HANDLING + SERVICE
    with contained(docker, "ending", collector, *options, source=source) as service:
        docker.do("stop", "--time", "100", service.name)
        code = service.wait()

    spans = arrived(collector)
    assert code == 0
    assert spans.keys() >= service.acknowledged
    assert len(spans) <= len(service.acknowledged) + 1  # the one that the signal met
    assert set(spans.values()) == {1}
    assert counted_jobs(collector) == len(spans)
    assert counted_executions(collector).total() == len(spans) + 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Nothing handles SIGTERM: it ends the service at once, and no atexit runs.
        (("--init",), 128 + 15),
        # The kernel keeps such a signal from process 1: SIGKILL follows after a second.
        ((), 128 + 9),
    ],
    ids=["sigterm", "sigkill"],
)
def test_of_one_that_dies_the_last_two_seconds_are_lost_at_most(
    docker: Engine, collector: Collector, options: tuple[str, ...], expected: int
) -> None:
    for life in range(LIVES):
        collector.reset()
        with contained(docker, f"dying-{life}", collector, *options) as service:
            # The longest wait for the next export begins now.
            wait_for_export(collector)
            service.wait_until_acknowledged(counted_jobs(collector) + A_LITTLE_LONGER)
            docker.do("stop", "--time", "1", service.name)
            code = service.wait()

        spans, counted = arrived(collector), counted_jobs(collector)
        assert code == expected
        assert set(spans.values()) == {1}
        assert len(spans) <= len(service.acknowledged) + 1
        assert counted <= len(service.acknowledged) + 1
        lost = len(service.acknowledged - spans.keys()), len(service.acknowledged) - counted
        print(f"lost of {len(service.acknowledged)} jobs: {lost[0]} spans, {lost[1]} counts")
        if max(lost) <= IN_TWO_SECONDS:
            return
    pytest.fail(f"more was lost than two seconds bring: {lost}")


def test_a_volume_keeps_everything_for_the_next_container(
    docker: Engine, collector: Collector, tmp_path: Path
) -> None:
    volume = ("-v", f"{tmp_path}:/state")
    acknowledged: set[str] = set()
    for life in range(3):
        with contained(docker, f"life-{life}", collector, *volume) as service:
            docker.do("kill", service.name)
            code = service.wait()
        assert code == 128 + 9
        acknowledged |= service.acknowledged
    with contained(docker, "last", collector, *volume, source=HANDLING + SERVICE) as service:
        wait_for(lambda: died(collector)["whole life"] >= 3, what="those that were killed")
        docker.do("stop", "--time", "100", service.name)
        service.wait()
    acknowledged |= service.acknowledged

    # Whoever is killed while it awaits an answer may leave a copy: the ids are the same.
    spans = {(span.trace_id, span.span_id): span for span in collector.spans()}.values()
    jobs = Counter(
        span.attributes["number"]
        for span in spans
        if span.attributes.get(names.EXECUTION_OUTCOME) == "success"
    )
    assert jobs.keys() >= acknowledged
    assert set(jobs.values()) == {1}
    assert died(collector)["whole life"] == 3
    outcomes = Counter(span.attributes[names.EXECUTION_OUTCOME] for span in spans)
    assert counted_executions(collector) == outcomes
    instances = {
        point.resource["service.instance.id"]
        for point in collector.points(names.EXECUTION_DURATION.name)
    }
    assert len(instances) == 1
