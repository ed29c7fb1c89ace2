"""Kinds of workers of gunicorn: n executions give n spans, each with its outcome."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from support.ports import free_ports
from support.programs import get, wait_for
from support.user_program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from support.collector import Collector

_REQUESTS = 20
_PATIENCE_SECONDS = 120

_APPLICATION = """
from otel_codomon import configure, execution
configure()

@execution
def job(number):
    if number % 5 == 4:
        raise ValueError(number)
    return {"exit_code": 3 if number % 5 == 3 else 0}

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    number = environ["QUERY_STRING"].partition("=")[2]
    if number:
        try:
            job(int(number))
        except ValueError:
            pass
    return [b"done"]
"""

_WORKERS = {
    "threads": ("-w", "2", "-k", "gthread"),
    "gevent": ("-w", "1", "-k", "gevent"),
    "another user": ("-w", "2", "--preload", "--user", "65534", "--group", "65534"),
}
_NEEDS_ROOT = frozenset({"another user"})


@contextmanager
def serving(command: Sequence[str], program: Program, *, folder: Path) -> Iterator[None]:
    """Run a server until the end of the block, and end it as a supervisor does."""
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=folder, env=program.environment(), stdout=log, stderr=log
        ) as server,
    ):
        try:
            yield
            server.send_signal(signal.SIGTERM)
            server.wait(_PATIENCE_SECONDS)
        finally:
            server.kill()


@pytest.mark.parametrize("workers", _WORKERS)
def test_each_request_has_its_span(workers: str, tmp_path: Path, collector: Collector) -> None:
    for needed in {"gunicorn", workers} & {"gunicorn", "gevent"}:
        if find_spec(needed) is None:  # gevent and eventlet are not for this process
            pytest.skip(f"needs {needed}")
    if workers in _NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    (tmp_path / "app.py").write_text(_APPLICATION)
    program = Program(tmp_path, {**collector.environment(), "PYTHONWARNINGS": "ignore"})
    [port] = free_ports(1)

    bind = ("-b", f"127.0.0.1:{port}", *_WORKERS[workers], "app:application")
    command = (sys.executable, "-m", "gunicorn", *bind)

    with serving(command, program, folder=tmp_path):
        wait_for(lambda: get(f"http://127.0.0.1:{port}/"), what="gunicorn to serve")
        for number in range(_REQUESTS):
            assert get(f"http://127.0.0.1:{port}/", number=str(number)) == "done"
        collector.wait_for(spans=_REQUESTS)

    outcomes = Counter(span.attributes["codomon.execution.outcome"] for span in collector.spans())
    assert outcomes == {"success": 12, "error": 8}, (tmp_path / "log").read_text()
