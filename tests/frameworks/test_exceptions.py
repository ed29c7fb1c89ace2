"""The exceptions of real frameworks: each says how an execution ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.frameworks import Frameworks

pytestmark = pytest.mark.backends

OUTCOMES = {
    "celery.exceptions.SoftTimeLimitExceeded": "timeout",
    "celery.exceptions.TimeLimitExceeded": "timeout",
    "celery.exceptions.TimeoutError": "timeout",
    "celery.exceptions.TaskRevokedError": "cancelled",
    "celery.exceptions.WorkerLostError": "killed",
    "celery.exceptions.Retry": "success",
    "celery.exceptions.Ignore": "success",
    "celery.exceptions.Reject": "success",
    "distributed.TimeoutError": "timeout",
    "distributed.client.FutureCancelledError": "cancelled",
    "distributed.scheduler.KilledWorker": "killed",
    "loky.process_executor.TerminatedWorkerError": "killed",
    "nbclient.exceptions.CellExecutionError": "error",
    "nbclient.exceptions.CellTimeoutError": "timeout",
    "nbclient.exceptions.DeadKernelError": "killed",
    "ray.exceptions.ActorDiedError": "killed",
    "ray.exceptions.GetTimeoutError": "timeout",
    "ray.exceptions.NodeDiedError": "killed",
    "ray.exceptions.OutOfMemoryError": "oom_killed",
    "ray.exceptions.TaskCancelledError": "cancelled",
    "ray.exceptions.WorkerCrashedError": "killed",
    "redis.exceptions.TimeoutError": "timeout",
}
PROGRAM = """
import importlib, json, sys
from otel_codomon import execution
from otel_codomon.testing import Recorder

@execution
def fail(error):
    raise error

found = {}
for name in sys.argv[1:]:
    module, _, kind = name.rpartition(".")
    error = getattr(importlib.import_module(module), kind)
    with Recorder() as recorder:
        try:
            fail(error.__new__(error))  # whatever it takes to make one
        except error:
            found[name] = recorder.executions()[0].outcome.value
print(json.dumps(found))
"""


def test_exceptions_of_frameworks_say_how_it_ended(frameworks: Frameworks) -> None:
    program = frameworks.write("program.py", PROGRAM)

    assert json.loads(frameworks.run(str(program), *OUTCOMES)) == OUTCOMES
