"""What must be the same in every setting that users have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.settings import RunSetting

_EVERY_SHAPE = """
import asyncio
from otel_codomon import execution

@execution
def function(): return {"exit_code": 0}

@execution
def failing(): raise ValueError("mine")

@execution
async def coroutine(): await asyncio.sleep(0)

@execution
def generator(): yield 1

@execution
async def async_generator(): yield 1

async def in_loop():
    await coroutine()
    async with execution("async block"): pass
    async for _ in async_generator(): pass

def behave():
    function()
    try: failing()
    except ValueError as error: caught = str(error)
    with execution("block", kind="command") as current: current.record(exit_code=3)
    list(generator())
    asyncio.run(in_loop())
    return caught
"""


def test_every_shape_of_execution_has_its_span_and_its_outcome(setting: RunSetting) -> None:
    seen = setting(_EVERY_SHAPE)

    assert seen.value == "mine"
    assert [(e.name, e.outcome) for e in seen.executions] == [
        ("function", "success"),
        ("failing", "error"),
        ("block", "error"),
        ("generator", "success"),
        ("coroutine", "success"),
        ("async block", "success"),
        ("async_generator", "success"),
    ]
    assert all(e.attributes.get("codomon.execution.id") for e in seen.executions)
    assert "Traceback" not in seen.errors


_FORK_INSIDE = """
import os
from otel_codomon import execution

def behave():
    with execution("forks", kind="command") as current:
        pid = os.fork()
        if not pid:
            del current
            os._exit(0)
        os.waitpid(pid, 0)
"""


def test_an_execution_that_forks_ends_once_and_in_its_own_process(setting: RunSetting) -> None:
    seen = setting(_FORK_INSIDE)

    assert [(e.name, e.outcome) for e in seen.executions] == [("forks", "success")]
    assert seen.executions[0].attributes["codomon.execution.outcome"] == "success"
