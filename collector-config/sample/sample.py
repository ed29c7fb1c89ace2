"""Executions for ever, so that the dashboards have something to show.

``docker compose --profile sample up`` runs it; so does
``python collector-config/sample/sample.py --rounds 3`` on this machine, with
the standard ``OTEL_*`` variables saying where to.
"""

from __future__ import annotations

import argparse
import itertools
import random
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from otel_codomon import Limits, configure, execution, observe_cache, run

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Job:
    """One kind of execution of the sample.

    Attributes:
        name: What telemetry calls it.
        source: Python that runs as a child process.
        timeout: Longest time, seconds.
        limits: What it may use.
    """

    name: str
    source: str
    timeout: float | None = None
    limits: Limits | None = None


JOBS = (
    Job("sum squares", "sum(n * n for n in range(3_000_000))"),
    Job(
        "sort in memory",
        "import random; sorted(random.random() for _ in range(600_000))",
        limits=Limits(memory_bytes=1024 * MIB),
    ),
    Job(
        "write and read",
        "import os, tempfile, time\n"
        "with tempfile.TemporaryFile() as file:\n"
        "    for _ in range(8):\n"
        "        file.write(os.urandom(4 << 20)); file.flush(); os.fsync(file.fileno())\n"
        "        time.sleep(0.2)\n"
        "    file.seek(0); file.read()",
    ),
    Job(
        "three children",
        "import subprocess, sys\n"
        "code = 'sum(range(4_000_000))'\n"
        "work = [subprocess.Popen([sys.executable, '-c', code]) for _ in range(3)]\n"
        "[one.wait() for one in work]",
    ),
    Job("wait for somebody", "import time; time.sleep(3)"),
    Job("crash", "raise ValueError('of the sample')"),
    Job("never ends", "import time; time.sleep(600)", timeout=1),
    Job(
        "want too much memory",
        "blocks = [bytearray(16 << 20) for _ in range(64)]",
        limits=Limits(memory_bytes=256 * MIB),
    ),
    Job(
        "spin too long",
        "while True: pass",
        timeout=20,
        limits=Limits(cpu_seconds=1),
    ),
)


@observe_cache(name="parse")
@lru_cache(maxsize=64)
def parse(text: str) -> list[str]:
    """A cache that is large enough for what is asked of it."""
    return text.split()


@observe_cache(name="too small")
@lru_cache(maxsize=4)
def look_up(key: int) -> int:
    """A cache that drops what it will need again."""
    return key * key


@execution(language="python")
def grade(answer: str) -> bool:
    """A function that is an execution, and fails now and then."""
    words = parse(answer)
    for key in range(20):
        look_up(key)
    if words[0] == "unreadable":
        raise ValueError(answer)
    return words[0] == "right"


def grade_some(chance: random.Random) -> None:
    """Grade a few answers; one that cannot be read is no reason to stop."""
    for _ in range(10):
        answer = chance.choice(["right answer", "wrong answer", "wrong again", "unreadable"])
        try:
            grade(answer)
        except ValueError:
            continue


def work(job: Job) -> None:
    """Run *job* as one execution."""
    run(
        [sys.executable, "-c", job.source],
        name=job.name,
        language="python",
        timeout=job.timeout,
        limits=job.limits,
    )


def do_round(chance: random.Random) -> None:
    """Run every job once, two at a time, and grade a few answers."""
    grade_some(chance)
    with ThreadPoolExecutor(2) as two:
        list(two.map(work, JOBS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one round after the other, until it is asked to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="how many; for ever if not given")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two rounds")
    options = parser.parse_args(arguments)
    configured = configure(host_metrics=True)
    asked_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked_to_end.set())
    chance = random.Random(0)  # noqa: S311 - a sample, not a secret
    for _ in itertools.count() if options.rounds is None else range(options.rounds):
        do_round(chance)
        if asked_to_end.wait(options.pause):
            break
    configured.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
