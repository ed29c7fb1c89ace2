"""What becomes of a limit whose sampler breaks: real files, real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from support.programs import wait_for

from otel_codomon.sandbox.counting import UnreadError
from otel_codomon.sandbox.tree_limits import TreeLimits, TreeMeter, _Gauge

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor is Linux's")

MIB = 1024 * 1024


@pytest.mark.parametrize("counter", ["usage_usec none\n", "usage_usec"])
def test_a_sample_that_fails_is_no_sample_and_is_told_once(counter: str, tmp_path: Path) -> None:
    file = tmp_path / "cpu.stat"
    file.write_text(counter)
    meter = TreeMeter(TreeLimits(cpu_seconds=1e-9, cpu_counter=str(file)))

    assert [meter.passed() for _ in range(3)] == [None] * 3
    [(limit, why)] = meter.unmeasured()
    assert limit == "cpu"
    assert why.startswith(("ValueError: ", "IndexError: "))
    assert list(meter.unmeasured()) == []

    file.write_text(f"usage_usec {10**15}\n")  # the next one counts; more than we used ourselves
    assert meter.passed() == ("cpu", 1e9)


def test_nothing_is_told_of_limits_that_were_not_set(tmp_path: Path) -> None:
    file = tmp_path / "cpu.stat"
    file.write_text("usage_usec none\n")
    meter = TreeMeter(TreeLimits(processes=100, cpu_counter=str(file)))

    meter.passed()

    assert [limit for limit, _ in meter.unmeasured()] == ["processes"]


class Answers:
    """Each once, errors raised; the last for ever."""

    def __init__(self, *answers: float | Exception) -> None:
        self._answers = list(answers)

    def __call__(self) -> float:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("answers", "failure", "passed"),
    [
        (Answers(50, 101), None, 101),
        (Answers(ValueError("no\nnumber \u00e9"), 101), "ValueError: no number \\xe9", 101),
        (Answers(OSError(24, "too many"), 5, 300), "OSError: [Errno 24] too many", 300),
        (Answers(UnreadError("hidden", at_least=90), 101), "hidden", 101),
        (Answers(UnreadError("hidden", at_least=200)), "hidden", 200),
    ],
)
def test_a_measurement_that_fails_is_not_zero_and_the_next_one_counts(
    answers: Answers, failure: str | None, passed: float
) -> None:
    reader, ring = os.pipe()
    gauge = _Gauge("memory", 100, answers, ring)
    thread = threading.Thread(target=gauge.run)
    thread.start()
    thread.join()
    os.close(reader)
    os.close(ring)

    assert (gauge.failure, gauge.passed) == (failure, ("memory", passed))


def test_a_measurement_that_always_fails_passes_no_limit() -> None:
    reader, ring = os.pipe()
    answers = Answers(ValueError("broken"))
    gauge = _Gauge("memory", 100, answers, ring)
    thread = threading.Thread(target=gauge.run)
    thread.start()

    wait_for(lambda: gauge.failure is not None, what="a measurement that fails")

    assert gauge.passed is None
    answers._answers[:] = [101]
    thread.join()
    os.close(reader)
    os.close(ring)


# --- a command that lets nobody see its memory -----------------------------------------

# Without the capabilities to look anyway, and without cgroups: as for an ordinary user.
AS_A_USER = """
import ctypes, os, sys
for capability in (19, 21, 38):  # to trace, to administer, to profile
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""
WITHOUT_CGROUPS = """
import sys
from otel_codomon._platform import cgroups
cgroups.create = lambda *_: None
"""
LIBRARY = (
    WITHOUT_CGROUPS
    + """
import json, logging
from otel_codomon import Limits, run
logging.basicConfig(format="%(levelname)s %(message)s")
result = run(sys.argv[3:], limits=Limits(memory_bytes=int(sys.argv[1])), timeout=300)
with open(sys.argv[2], "w") as file:
    json.dump({"outcome": result.outcome.value, "reason": result.reason}, file)
"""
)
SHELL = (
    WITHOUT_CGROUPS
    + """
from otel_codomon.cli import main
memory, output, *command = sys.argv[1:]
words = ["run", "--format", "json", "--output-file", output, "--limit-memory", memory, "--"]
sys.argv[1:] = [*words, *command]
sys.exit(main())
"""
)
# Holds memory that is shared, which no limit of a single process counts.
HIDING = """
import ctypes, mmap, os, sys, time
processes, mib, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
for _ in range(processes - 1):
    if os.fork() == 0: break
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
held = mmap.mmap(-1, mib << 20)
for at in range(0, len(held), 4096): held[at] = 1
time.sleep(seconds)
"""


def run_hiding(program: str, tmp_path: Path, *words: object) -> tuple[dict[str, Any], list[str]]:
    """How the command ended, and what was written to stderr."""
    output = tmp_path / "ended"
    command = [sys.executable, "-c", HIDING, *map(str, words)]
    done = subprocess.run(
        [sys.executable, "-c", AS_A_USER, program, str(128 * MIB), str(output), *command],
        env={**os.environ, "OTEL_PYTHON_CODOMON_JOURNAL": str(tmp_path / "journal")},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    found: dict[str, Any] = json.loads(output.read_text())
    return found, done.stderr.splitlines()


@pytest.mark.parametrize("program", [LIBRARY, SHELL], ids=["run()", "otel-codomon run"])
def test_memory_that_nobody_may_see_is_limited_as_far_as_it_is_known(
    program: str, tmp_path: Path
) -> None:
    ended, _ = run_hiding(program, tmp_path, 1, 300, 1000)

    assert ended["outcome"] == "limit_exceeded"
    assert ended["reason"] == "it exceeded its limit: memory"


@pytest.mark.parametrize("program", [LIBRARY, SHELL], ids=["run()", "otel-codomon run"])
def test_a_limit_that_may_not_have_held_is_told_once_and_is_no_outcome(
    program: str, tmp_path: Path
) -> None:
    for seconds in (1, 10, 100):  # until a sample falls into this time
        ended, errors = run_hiding(program, tmp_path, 2, 100, seconds)
        if ended["reason"] is not None:
            break

    doubt = (
        "the limit on memory may not have held: it could not be measured "
        "(2 of its processes hide their memory)"
    )
    assert ended == {**ended, "outcome": "success", "reason": doubt}
    assert [line for line in errors if doubt in line] in (
        [f"WARNING {Path(sys.executable).name}: {doubt}"],
        [f"otel-codomon: {doubt}"],
    )


BROKEN = (
    WITHOUT_CGROUPS
    + """
from otel_codomon.cli import main
from otel_codomon.sandbox.disk_meter import DiskMeter
from otel_codomon.sandbox.memory_meter import MemoryMeter
from otel_codomon.sandbox.tree_limits import TreeMeter
def broken(self): raise RuntimeError("planted")
MemoryMeter.seen = DiskMeter.seen = TreeMeter._sample = broken
sys.argv[1:] = [
    *("run", "--name", "broken", "--limit-memory", "1G", "--limit-disk", "1G"),
    *("--limit-cpu", "100", "--limit-processes", "1000", "--", "sleep", sys.argv[1]),
]
sys.exit(main())
"""
)


def test_a_measurement_that_raises_every_time_is_reported_once_for_each_limit(
    tmp_path: Path,
) -> None:
    doubts = [
        f"the limit on {limit} may not have held: it could not be measured (RuntimeError: planted)"
        for limit in ("memory", "disk", "processes", "cpu")
    ]
    for seconds in (1, 10, 100):  # until each has had a turn in this time
        done = subprocess.run(
            [sys.executable, "-c", BROKEN, str(seconds)],
            env={**os.environ, "OTEL_PYTHON_CODOMON_JOURNAL": str(tmp_path / "journal")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.stderr.count("planted") >= len(doubts):
            break

    assert done.returncode == 0
    assert [done.stderr.count(doubt) for doubt in doubts] == [1] * len(doubts)
    assert done.stderr.count("planted") == len(doubts)
