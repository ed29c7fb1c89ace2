from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from support.escapees import NamedPipe, is_alive, stubborn_telling
from support.programs import wait_for

from otel_codomon import Outcome, arun, execution

if TYPE_CHECKING:
    from pathlib import Path

    from otel_codomon.testing import Recorder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor is Linux's")


def test_commands_run_at_the_same_time(tmp_path: Path) -> None:
    # Each waits for the other to open the same pipe: in turn they would hang.
    meeting = tmp_path / "meeting"
    os.mkfifo(meeting)

    async def both() -> list[str]:
        reading = arun(["cat", meeting], timeout=300)
        writing = arun(["sh", "-c", f"echo met > {meeting}"], timeout=300)
        results = await asyncio.gather(reading, writing)
        return [result.stdout for result in results]

    assert asyncio.run(both()) == ["met\n", ""]


def test_it_is_a_child_of_the_execution_around_it(recorder: Recorder) -> None:
    async def main() -> None:
        async with execution("outer"):
            await arun(["true"])

    asyncio.run(main())

    inner, outer = recorder.executions()
    assert (inner.labels.name, inner.parent_span_id) == ("true", outer.span_id)


def test_cancellation_ends_the_whole_tree(recorder: Recorder, tmp_path: Path) -> None:
    told = tmp_path / "told"

    async def main(reader: NamedPipe) -> list[int]:
        task = asyncio.create_task(arun([sys.executable, "-c", stubborn_telling(told)]))
        pids = [await asyncio.to_thread(reader.number) for _ in range(2)]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pids

    with NamedPipe(told) as reader:
        pids = asyncio.run(main(reader))

    assert [is_alive(pid) for pid in pids] == [False, False]
    [recorded] = recorder.executions()
    assert recorded.outcome is Outcome.CANCELLED
    assert not [t for t in threading.enumerate() if t.name == "otel-codomon-run"]


def test_waiting_with_a_timeout_of_asyncio_ends_the_command() -> None:
    async def main() -> None:
        await asyncio.wait_for(arun(["sleep", "1000"]), timeout=0.2)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(main())


_INTERRUPTED_CELL = """
import asyncio, os, signal, sys
from otel_codomon import arun

async def cell():
    # The kernel of a notebook cancels the cell's task in its signal handler, and wakes nobody.
    task = asyncio.current_task()
    signal.signal(signal.SIGINT, lambda *_: task.cancel())
    await arun(["sh", "-c", "echo > \\"$0\\"; exec sleep 600", sys.argv[1]])

try:
    asyncio.new_event_loop().run_until_complete(cell())
except asyncio.CancelledError:
    print("cancelled")
"""


def test_a_cell_that_awaits_arun_ends_when_it_is_interrupted(tmp_path: Path) -> None:
    started = tmp_path / "started"
    with subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED_CELL, str(started)], stdout=subprocess.PIPE, text=True
    ) as kernel:
        wait_for(started.exists, what="the command to run")
        kernel.send_signal(signal.SIGINT)
        said, _ = kernel.communicate(timeout=120)

    assert said == "cancelled\n"
