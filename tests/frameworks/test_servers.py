"""Web servers: every request's execution arrives once, with its outcome."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import psutil
import pytest
from support.frameworks import ask

if TYPE_CHECKING:
    from support.frameworks import Frameworks

pytestmark = pytest.mark.backends

REQUESTS = 12
EXPECTED = Counter({("grade", "success"): 9, ("grade", "error"): 3})


def test_uvicorn(frameworks: Frameworks, port: int) -> None:
    command = (sys.executable, "-m", "uvicorn", "asgi:app", "--port", str(port))

    with frameworks.serving(*command, port=port):
        ask(port, REQUESTS)

    assert frameworks.outcomes() == EXPECTED


@pytest.mark.parametrize("is_preloaded", [False, True])
def test_gunicorn_with_two_workers(
    frameworks: Frameworks, port: int, *, is_preloaded: bool
) -> None:
    command = [
        *(sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", f"127.0.0.1:{port}"),
        *(["--preload"] if is_preloaded else []),
        "wsgi:application",
    ]

    with frameworks.serving(*command, port=port):
        ask(port, REQUESTS)

    assert frameworks.outcomes() == EXPECTED


def test_gunicorn_whose_worker_is_killed(frameworks: Frameworks, port: int) -> None:
    command = (sys.executable, "-m", "gunicorn", "--workers", "1", "--bind", f"127.0.0.1:{port}")

    with frameworks.serving(*command, "wsgi:application", port=port) as server:
        ask(port, REQUESTS)
        [worker] = psutil.Process(server.pid).children()
        worker.kill()
        psutil.wait_procs([worker])
        ask(port, REQUESTS)

    assert frameworks.outcomes() == EXPECTED + EXPECTED


def test_uwsgi(frameworks: Frameworks, port: int) -> None:
    command = (
        str(frameworks.packages / "bin" / "uwsgi"),
        *("--http-socket", f"127.0.0.1:{port}", "--module", "wsgi", "--master", "--processes", "2"),
        *("--virtualenv", sys.prefix),
        *("--enable-threads", "--py-call-osafterfork", "--die-on-term", "--need-app"),
    )

    with frameworks.serving(*command, port=port):
        ask(port, REQUESTS)

    assert frameworks.outcomes() == EXPECTED
