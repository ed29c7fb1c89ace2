"""What heartbeats cost beyond sampling: 50 executions, one record a second."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack

from benchmarks.measure import Row, print_table
from otel_codomon import execution
from otel_codomon.executions.heartbeats import OLD_ENOUGH_SECONDS, heartbeats
from otel_codomon.journal.heartbeats import HeartbeatWriter
from otel_codomon.resources.sampler import sampler
from otel_codomon.testing import Recorder

EXECUTIONS = 50
BEATS = 300
BAR_SECONDS = 0.001  # 0.1 % of a core, at one record a second


class Unhurried(HeartbeatWriter):
    """A writer for which a second passes at each call."""

    def beat(self) -> None:
        """Write a record."""
        self._last = float("-inf")
        super().beat()


def cpu_of_a_beat() -> float:
    """CPU time of one record of all executions, those with curves included, seconds."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stack.enter_context(Recorder())
        for _ in range(EXECUTIONS):
            child = stack.enter_context(
                subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
            )
            stack.callback(child.kill)
            stack.enter_context(execution("sleeper", kind="command")).attach(child)
        time.sleep(OLD_ENOUGH_SECONDS + 1)
        sampler.stop()  # only the heartbeats are measured; its last samples stay
        writer = Unhurried(folder, heartbeats)
        writer.beat()
        before = time.thread_time()
        for _ in range(BEATS):
            writer.beat()
        spent = time.thread_time() - before
        writer.end()
    return spent / BEATS


def main() -> None:
    """Print the table."""
    what = f"a record of {EXECUTIONS} executions, once a second"
    row = Row(what, cpu_of_a_beat() * 1e3, BAR_SECONDS * 1e3, "ms", 1.0, "0.1 % of a core")
    print_table("heartbeats", [row])


if __name__ == "__main__":
    main()
