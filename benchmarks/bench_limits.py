"""How far a command gets beyond each of its limits before it is ended.

Run it as root and as an ordinary user: limits are held by other means. Each row
is a program that goes past its limit as fast as it can, five times.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_codomon import Limits, run
from otel_codomon._platform import cgroups

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon import ExecutionResult

MIB = 1024 * 1024
ROUNDS = 5

BUSY = """
for _ in range({processes} - 1):
    if os.fork() == 0: break
while True: pass
"""
# Tells how many children of 30 ms there were.
UNSEEN = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if os.fork() == 0:
        while time.process_time() < 0.03: pass
        os.write(1, b".")
        os._exit(0)
    try: os.wait()
    except ChildProcessError: pass
"""
# The rest tell a byte for each MiB, process or file.
MAPPED = """
import mmap
held = mmap.mmap(-1, 4 * 1024 * {MIB})
for at in range(0, len(held), 4096):
    held[at] = 1
    if at % {MIB} == 0: os.write(1, b".")
"""
MEMFD = """
hidden = os.memfd_create("hidden")
while True:
    os.write(hidden, bytes({MIB}))
    os.write(1, b".")
"""
BOMB = """
while True:
    if os.fork() == 0:
        os.write(1, b".")
"""
WRITER = """
file = os.open("big", os.O_CREAT | os.O_WRONLY)
block = os.urandom({MIB})
while True:
    os.write(file, block)
    os.write(1, b".")
"""
OPENER = """
while True:
    os.open("/dev/null", os.O_RDONLY)
    os.write(1, b".")
"""
SLEEPER = "time.sleep(1000)"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(1000)"
STOPPER = """
supervisor = os.getppid()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    os.kill(supervisor, signal.SIGSTOP)
    time.sleep(0.001)
"""


@dataclass(frozen=True)
class Case:
    """One way past one limit.

    Attributes:
        limit: The limit.
        what: What the program does.
        program: It.
        limits: What it may use.
        value: The limit, in *unit*.
        reached: What it reached, in *unit*.
        unit: Unit of both.
        timeout: Longest time, seconds.
    """

    limit: str
    what: str
    program: str
    limits: Limits
    value: float
    reached: Callable[[ExecutionResult, float], float]
    unit: str
    timeout: float = 30.0


def _told(result: ExecutionResult, _seconds: float) -> float:
    return result.output.total_bytes


def _cpu(result: ExecutionResult, _seconds: float) -> float:
    return result.usage.cpu_seconds or float("nan")


def _lasted(_result: ExecutionResult, seconds: float) -> float:
    return seconds


CASES = (
    Case("cpu", "one busy process", BUSY.format(processes=1), Limits(cpu_seconds=1), 1, _cpu, "s"),
    Case("cpu", "eight", BUSY.format(processes=8), Limits(cpu_seconds=1), 1, _cpu, "s"),
    Case(
        "cpu",
        "children that nobody waits for",
        UNSEEN,
        Limits(cpu_seconds=1),
        1,
        lambda result, _: result.output.total_bytes * 0.03,
        "s",
    ),
    Case(
        "memory",
        "mapped memory is filled",
        MAPPED.format(MIB=MIB),
        Limits(memory_bytes=256 * MIB),
        256,
        _told,
        "MiB",
    ),
    Case(
        "memory",
        "a memfd is filled",
        MEMFD.format(MIB=MIB),
        Limits(memory_bytes=256 * MIB),
        256,
        _told,
        "MiB",
    ),
    Case("processes", "a fork bomb", BOMB, Limits(processes=16), 16, _told, ""),
    Case(
        "disk",
        "a file is written",
        WRITER.format(MIB=MIB),
        Limits(disk_bytes=256 * MIB),
        256,
        _told,
        "MiB",
    ),
    Case(
        "file_size",
        "a file is written",
        WRITER.format(MIB=MIB),
        Limits(file_size_bytes=64 * MIB),
        64,
        _told,
        "MiB",
    ),
    Case("open_files", "files are opened", OPENER, Limits(open_files=64), 64 - 3, _told, ""),
    Case(
        "output",
        "output is kept",
        "for _ in range(1000): os.write(1, bytes(65536))",
        Limits(output_bytes=MIB),
        1,
        lambda result, _: len(result.output.kept) / MIB,
        "MiB",
    ),
    Case("timeout", "it sleeps", SLEEPER, Limits(), 1, _lasted, "s", timeout=1),
    Case("timeout", "SIGTERM is ignored", STUBBORN, Limits(), 1, _lasted, "s", timeout=1),
    Case("timeout", "and the supervisor stopped", STOPPER, Limits(), 1, _lasted, "s", timeout=1),
)


def _measure(case: Case) -> tuple[float, str]:
    """What the program of *case* reached beyond its limit, and how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        result = run(
            [sys.executable, "-c", "import os, signal, time\n" + case.program],
            cwd=folder,
            timeout=case.timeout,
            limits=case.limits,
        )
        seconds = time.monotonic() - started
    return case.reached(result, seconds) - case.value, result.outcome.value


def main() -> None:
    """Print the table."""
    made = cgroups.create()
    if made is not None:
        made.remove()
    user = "root" if os.geteuid() == 0 else "an ordinary user"
    having = "with" if made else "without"
    print(f"\nBeyond the limits, as {user}, {having} a cgroup, {os.cpu_count()} cores")
    print(
        f"{'limit':<11} {'what happens':<32} {'limit':>6} {'median':>8} {'worst':>8}      outcome"
    )
    for case in CASES:
        figures, outcomes = zip(*(_measure(case) for _ in range(ROUNDS)), strict=True)
        ended = ", ".join(sorted(set(outcomes)))
        median = statistics.median(figures)
        print(
            f"{case.limit:<11} {case.what:<32} {case.value:>6g} {median:>+8.2f} "
            f"{max(figures):>+8.2f} {case.unit:<4} {ended}",
            flush=True,
        )


if __name__ == "__main__":
    main()
