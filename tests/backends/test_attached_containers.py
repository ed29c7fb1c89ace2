"""Real containers whose cgroup is attached: what they used outlives the cgroup."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.docker import Engine, engine, needs_docker

from otel_codomon import Outcome, execution
from otel_codomon._platform import cgroups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.journal.execution_record import ExecutionRecord
    from otel_codomon.testing import Recorder

pytestmark = [pytest.mark.backends, needs_docker]

MIB = 1024 * 1024

# It prints that it has begun, waits for a line, works, and prints what it has used.
WORK = """
import sys, time
sys.stdout.write("begun\\n"); sys.stdout.flush()
sys.stdin.readline()
held = b"x" * (100 << 20)
while time.process_time() < 0.7: pass
print(time.process_time(), flush=True)
"""
GREEDY = """
import sys
sys.stdout.write("begun\\n"); sys.stdout.flush()
sys.stdin.readline()
held = b"x" * (200 << 20)
"""


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    with engine() as running:
        yield running


def cgroup_path(docker: Engine, name: str) -> str:
    """Where the kernel accounts the container: as a user finds it."""
    pid = docker.do("inspect", "--format", "{{.State.Pid}}", name).strip()
    rows = [row.split(":", 2) for row in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    folders = {"memory": "/sys/fs/cgroup/memory", "": "/sys/fs/cgroup"}  # of version 1, or 2
    found = {
        name: folders[name] + path
        for _, controllers, path in rows
        for name in controllers.split(",")
        if name in folders
    }
    return found.get("memory") or found[""]


def start(docker: Engine, name: str, source: str, *options: str) -> subprocess.Popen[bytes]:
    """Start a container, and have its first process wait."""
    command = docker.python(name, source, environ={}, options=("-i", *options))
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"begun\n"
    return child


def the_end(recorder: Recorder) -> ExecutionRecord:
    (ended,) = recorder.executions()
    return ended


def test_a_container_that_ends_within_the_block_has_its_totals(
    recorder: Recorder, docker: Engine
) -> None:
    child = start(docker, "worker", WORK)
    path = cgroup_path(docker, "worker")
    with execution("worker", sandbox_type="container") as current:
        current.attach(path)
        output, _ = child.communicate(b"\n")  # --rm: the cgroup is gone when this returns
        current.record(exit_code=child.returncode)

    used = float(output)
    ended = the_end(recorder)
    assert cgroups.find(path) is None
    assert ended.outcome is Outcome.SUCCESS
    assert ended.usage.source == "cgroup"
    assert ended.usage.cpu_seconds is not None
    assert ended.usage.peak_memory_bytes is not None
    if ended.usage.is_final is None:  # less by what it used before it was attached
        assert used - 0.3 < ended.usage.cpu_seconds < used + 0.1
    assert ended.usage.cpu_seconds > 0.1
    assert ended.usage.peak_memory_bytes > 90 * MIB


def test_a_container_that_has_no_memory_left_is_oom_killed(
    recorder: Recorder, docker: Engine
) -> None:
    child = start(docker, "greedy", GREEDY, "--memory", "64m", "--memory-swap", "64m")
    with execution("greedy", sandbox_type="container") as current:
        current.attach(cgroup_path(docker, "greedy"))
        child.communicate(b"\n")
        current.record(exit_code=child.returncode)

    ended = the_end(recorder)
    assert child.returncode == 137
    assert ended.outcome is Outcome.OOM_KILLED
    assert ended.attributes["process.exit.code"] == 137


def test_two_containers_add_up(recorder: Recorder, docker: Engine) -> None:
    children = {name: start(docker, name, WORK) for name in ("one", "two")}
    with execution("both", sandbox_type="container") as current:
        for name in children:
            current.attach(cgroup_path(docker, name))
        used = [float(child.communicate(b"\n")[0]) for child in children.values()]

    usage = the_end(recorder).usage
    assert usage.cpu_seconds is not None
    if usage.is_final is None:
        assert sum(used) - 0.6 < usage.cpu_seconds < sum(used) + 0.2
    assert usage.peak_memory_upper_bytes is not None
    assert usage.peak_memory_upper_bytes > 180 * MIB
