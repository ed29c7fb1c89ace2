"""What `top` costs beside 50 running commands, and whether its figures are the kernel's.

Each command runs by `otel-codomon run` in a cgroup of its own and holds memory,
each another amount. `top` runs in a terminal, once for a short and once for a
longer time: the difference is what looking costs. Its memory figures are held
against the files of the cgroups, which are found by the ids in their names, at
once and when each command has had a heartbeat.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Row, print_table
from otel_codomon._platform.cgroup_folders import own_bases
from otel_codomon.journal.running_executions import RunningExecutions
from otel_codomon.live.operation import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

RUNNING = 50
SHORT_SECONDS = 3
LONG_SECONDS = 23
READY_SECONDS = 300  # a busy machine needs its time to start them
SETTLED_SECONDS = 4  # a second old is a heartbeat, and a sample of what sleeps up to two
MIB = 1024 * 1024
HOLD = """
import sys
held = bytearray(b"x") * (int(sys.argv[1]) << 20)
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def running(journal: str) -> Iterator[None]:
    """Have the commands run, each with all that it holds from now on, until the block ends."""
    env = {**os.environ, "OTEL_PYTHON_CODOMON_JOURNAL": journal}
    run = [sys.executable, "-m", "otel_codomon", "run", "--quiet", "--name", "hold", "--"]
    waiting, ending = os.pipe()
    ready, telling = os.pipe()
    with ExitStack() as stack:
        for number in range(RUNNING):
            command = [*run, sys.executable, "-c", HOLD, str(8 + number)]
            stack.enter_context(subprocess.Popen(command, env=env, stdin=waiting, stdout=telling))
        os.close(waiting)
        os.close(telling)
        with os.fdopen(ready) as lines:
            for _ in range(RUNNING):
                lines.readline()
            try:
                yield
            finally:
                os.close(ending)  # none of them has it


def wait_for_figures(journal: str) -> None:
    """Until the figures of each are in the journal, and none is older than what it holds.

    Raises:
        TimeoutError: They are not after minutes.
    """
    living = RunningExecutions(journal)
    wait(lambda: len(living.read()) == RUNNING and len(living.heartbeats) == RUNNING)
    time.sleep(SETTLED_SECONDS)


def wait(is_so: Callable[[], bool]) -> None:
    """Until *is_so*.

    Raises:
        TimeoutError: It is not after minutes.
    """
    until = time.monotonic() + READY_SECONDS
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.1)


def cpu_of_top(journal: str, seconds: float) -> float:
    """CPU time of ``top`` in a terminal for *seconds*, start and end included."""
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 120, 0, 0))
    command = [sys.executable, "-m", "otel_codomon", "top", "--journal", journal]
    env = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=env, start_new_session=True
    ) as child:
        os.close(terminal)
        drain = threading.Thread(target=_drain, args=(main,))
        drain.start()
        time.sleep(seconds)
        os.write(main, b"q")
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        drain.join()
    os.close(main)
    if child.returncode != 0:
        raise subprocess.CalledProcessError(child.returncode, command)
    return usage.ru_utime + usage.ru_stime


def _drain(terminal: int) -> None:
    with contextlib.suppress(OSError):  # the other side is closed
        while os.read(terminal, 1 << 16):
            pass


def in_cgroups() -> Mapping[str, int]:
    """Execution id -> memory without page cache, bytes, as the files of its cgroup have it."""
    bases = own_bases()
    is_v1 = "memory" in bases
    base = Path(bases["memory" if is_v1 else "unified"])
    found = {}
    for folder in base.glob("codomon-*-*-*-*-*"):
        with contextlib.suppress(OSError):  # it has ended
            usage = (folder / ("memory.usage_in_bytes" if is_v1 else "memory.current")).read_text()
            lines = (folder / "memory.stat").read_text().splitlines()
            stat = {key: int(value) for key, value in map(str.split, lines)}
            cache = stat["cache" if is_v1 else "file"] - stat["shmem"]
            found[folder.name.rpartition("-")[2]] = int(usage) - cache
    return found


def deviations(monitor: Monitor) -> dict[str, float]:
    """By how much of the kernel's figure each of ours is off, by the span's id."""
    kernel = in_cgroups()
    found = [one for one in monitor.look().executions if one.execution_id in kernel]
    if len(found) < RUNNING:
        raise RuntimeError(f"only {len(found)} of {RUNNING} executions are in cgroups of their own")
    return {
        one.span_id: abs((one.memory_bytes or 0) - its) / its
        for one in found
        for its in (kernel[one.execution_id],)
    }


def young_deviations(journal: str, monitor: Monitor) -> list[float]:
    """The same of those that have had no heartbeat."""
    off = deviations(monitor)
    living = RunningExecutions(journal)
    living.read()
    return [each for span_id, each in off.items() if span_id not in living.heartbeats]


def rows() -> Iterator[Row]:
    """Start them, and look."""
    with tempfile.TemporaryDirectory() as journal, running(journal):
        monitor, living = Monitor(journal=journal), RunningExecutions(journal)
        wait(lambda: len(living.read()) == RUNNING)
        young = young_deviations(journal, monitor)
        what = f"memory of {len(young)} without heartbeat: largest deviation"
        yield Row(what, max(young, default=0) * 100, 5, "%", 1, "the bar")
        wait_for_figures(journal)
        off = tuple(deviations(monitor).values())
        yield Row("memory of each: largest deviation", max(off) * 100, 5, "%", 1, "the bar")
        median = statistics.median(off) * 100
        yield Row("memory of each: median deviation", median, 5, "%", 1, "the bar")
        monitor.close()
        short, long = (cpu_of_top(journal, seconds) for seconds in (SHORT_SECONDS, LONG_SECONDS))
        share = (long - short) / (LONG_SECONDS - SHORT_SECONDS)
        yield Row("top, refreshed every second: share of a core", share * 100, 2, "%", 1, "the bar")
        yield Row("top for 3 s, its start included: CPU time", short, SHORT_SECONDS, "s", None, "")


def main() -> None:
    """Print the table."""
    print_table(f"top beside {RUNNING} commands", rows())


if __name__ == "__main__":
    main()
