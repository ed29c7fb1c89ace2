"""Clients of container engines, whose figures are not those of the work."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from otel_codomon import execution
from otel_codomon.resources.engine_clients import client_in

if TYPE_CHECKING:
    from pathlib import Path

    from otel_codomon.testing import Recorder


@pytest.mark.parametrize(
    ("line", "client"),
    [
        ("docker run --rm image true", "docker run"),
        ("/usr/local/bin/docker --host tcp://there exec box true", "docker exec"),
        ("docker compose -f one.yaml up", "docker compose up"),
        ("docker container start box", "docker container start"),
        ("podman start box", "podman start"),
        ("nerdctl run image", "nerdctl run"),
        ("kubectl exec pod -- true", "kubectl exec"),
        ("ctr tasks start box", "ctr tasks start"),
        ("docker-compose up", "docker-compose up"),
        ("/bin/sh /usr/bin/docker run image", "docker run"),
        ("docker ps", None),
        ("docker images ls", None),
        ("kubectl get pods", None),
        ("podmanager run", None),
        ("", None),
    ],
)
def test_only_clients_that_run_work_are_clients(line: str, client: str | None) -> None:
    assert client_in(line.split()) == client


@pytest.fixture
def docker(tmp_path: Path) -> str:
    """A program that is called docker, and works until its input ends."""
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\nread line\ni=0; while [ $i -lt 100000 ]; do i=$((i+1)); done\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("command", "is_work"), [("run", False), ("exec", False), ("ps", True), ("build", True)]
)
def test_what_a_client_uses_stands_in_for_no_work(
    recorder: Recorder, docker: str, command: str, *, is_work: bool
) -> None:
    with (
        execution("client", kind="command") as current,
        subprocess.Popen([docker, command, "image"], stdin=subprocess.PIPE) as child,
    ):
        current.attach(child)
        child.communicate(b"go\n")
        current.record(exit_code=child.returncode)

    [seen] = recorder.executions()

    assert (seen.usage.cpu_seconds is not None) == is_work
    assert (seen.usage.peak_memory_bytes is not None) == is_work
    assert (seen.usage.absent_reason is None) == is_work
    assert is_work or f"docker {command}" in (seen.usage.absent_reason or "")
