"""Pools, task queues and clusters: every task's execution arrives once, with its outcome."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from support.cache_servers import redis_server
from support.frameworks import PATIENCE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from support.frameworks import Frameworks

pytestmark = pytest.mark.backends

EXPECTED = Counter({("grade", "success"): 6, ("grade", "error"): 2})

POOL = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from jobs import grade, setup

if __name__ == "__main__":
    method, kind, where = sys.argv[1:]
    if where == "before":
        setup()
    initializer = setup if where == "within" else None
    context = multiprocessing.get_context(method)
    if kind == "executor":
        with ProcessPoolExecutor(2, mp_context=context, initializer=initializer) as pool:
            list(pool.map(grade, range(8)))
    else:
        with context.Pool(2, initializer=initializer) as pool:
            pool.map(grade, range(8), chunksize=1)
            pool.close()
            pool.join()
"""
PROCESSES = """
import multiprocessing
from jobs import grade, setup

if __name__ == "__main__":
    setup()
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=grade, args=(n,)) for n in range(8)]
    [process.start() for process in started]
    [process.join() for process in started]
"""
ASK_CELERY = """
from tasks import task
[answer.get(timeout=250) for answer in [task.delay(n) for n in range(8)]]
"""
EVENTLET = """
import eventlet
eventlet.monkey_patch()
from jobs import grade, setup
setup()
list(eventlet.GreenPool().imap(grade, range(8)))
"""


@pytest.mark.parametrize("kind", ["executor", "pool"])
@pytest.mark.parametrize(
    ("method", "where"),
    [("fork", "before"), ("fork", "within"), ("spawn", "within"), ("forkserver", "within")],
)
def test_pools(frameworks: Frameworks, method: str, kind: str, where: str) -> None:
    program = frameworks.write("program.py", POOL)

    frameworks.run(str(program), method, kind, where)

    assert frameworks.outcomes() == EXPECTED


@pytest.mark.parametrize("name", ["pools.py", "loky_pool.py", "dask_cluster.py"])
def test_programs_of_the_page(frameworks: Frameworks, name: str) -> None:
    frameworks.run(name)

    assert frameworks.outcomes() == EXPECTED


def test_processes_that_are_forked_for_one_task_each(frameworks: Frameworks) -> None:
    program = frameworks.write("program.py", PROCESSES)

    frameworks.run(str(program))

    assert frameworks.outcomes() == EXPECTED


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("name", ["green.py", "eventlet_program.py"])
def test_programs_of_green_threads_send_themselves(
    frameworks: Frameworks, name: str, protocol: str
) -> None:
    frameworks.write("eventlet_program.py", EVENTLET)

    frameworks.run(name, **frameworks.collector.environment(protocol))

    assert frameworks.arrived() == EXPECTED


def test_ray(frameworks: Frameworks, tmp_path_factory: pytest.TempPathFactory) -> None:
    # Its sockets are in there: the path of one has 107 characters at most.
    temporary = tmp_path_factory.mktemp("r")

    frameworks.run(
        "ray_cluster.py", RAY_TEMPORARY=str(temporary), RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0"
    )

    assert frameworks.outcomes() == EXPECTED


def test_celery(frameworks: Frameworks, tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis_port:
        broker = {"BROKER": f"redis://127.0.0.1:{redis_port}/0", "C_FORCE_ROOT": "1"}
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "--app", "tasks", "worker"),
                *("--pool", "prefork", "--concurrency", "2", "--loglevel", "ERROR"),
            ],
            cwd=frameworks.directory,
            env=frameworks.environment(**broker),
        )
        with worker:
            try:
                frameworks.run("-c", ASK_CELERY, **broker)
                worker.send_signal(signal.SIGTERM)
                worker.wait(PATIENCE_SECONDS)
            finally:
                worker.kill()

    assert frameworks.outcomes() == EXPECTED
