"""However a process ends, what was acknowledged arrives."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.oracle import classify
from support.user_program import PATIENCE_SECONDS, Program
from support.workload import Heard

if TYPE_CHECKING:
    from support.collector import Collector

pytestmark = pytest.mark.long

WORKLOAD = Path(__file__).parents[1] / "support" / "workload.py"


def send_rest(program: Program) -> None:
    """Ship what waits, as the timer on a machine would."""
    done = subprocess.run(
        [sys.executable, "-m", "otel_codomon", "journal", "send", "--timeout", "600"],
        env={**program.environment(), "OTEL_PYTHON_CODOMON_JOURNAL": program.journal},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


EXPECTED = {
    "sigterm": 20,
    "exit": 20,
    "exec": 20,
    "abort": 20,
    "storm": 80,
    "fork": 30,
    "spawn": 30,
    "forkserver": 30,
}


@pytest.mark.parametrize(
    ("mode", "protocol"),
    # Over gRPC only what forks: the rest ends the same, and starts slowly.
    [*((mode, "http/protobuf") for mode in EXPECTED), ("storm", "grpc"), ("fork", "grpc")],
)
def test_all_finished_executions_arrive(
    tmp_path: Path, collector: Collector, mode: str, protocol: str
) -> None:
    program = Program(tmp_path, collector.environment(protocol))
    heard = Heard()

    done = subprocess.run(
        [sys.executable, str(WORKLOAD), mode, mode],
        env=program.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    heard.hear(done.stdout.splitlines(keepends=True))
    send_rest(program)

    details = classify(heard, collector)
    assert done.stderr == ""
    assert details.acknowledged == EXPECTED[mode]
    assert (details.lost, details.doubled, details.corrupt) == (frozenset(), frozenset(), 0)
    assert details.unfinished == 0


# A process with everything imported, which forks one victim after the other:
# five hundred starts of Python would take minutes and test Python.
NURSERY = """
import os, sys
from otel_codomon import configure, execution
from support.workload import work
import otel_codomon.journal.pipeline, otel_codomon.journal.span_otlp
import otel_codomon.journal.delivery.signal_queue
import otel_codomon.journal.delivery.http_transport
victims = 0
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        configure()
        work(f"victim{victims}", 0)
    victims += 1
    print(f"born {child}", flush=True)
    print(f"gone {os.waitpid(child, 0)[0]}", flush=True)
"""


def kill_at_random(program: Program, heard: Heard, chance: random.Random, kills: int) -> None:
    """Kill *kills* victims, each at a random instant after its first execution."""
    with program.start(NURSERY) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        reader = nursery.stdout.fileno()
        for _ in range(kills):
            nursery.stdin.write(b"next\n")
            nursery.stdin.flush()
            text = _read_until(reader, b"born ", b"\ne ")
            victim = int(text.split(b"born ")[1].split()[0])
            time.sleep(chance.uniform(0, 0.02))  # the instant is what is random
            os.kill(victim, signal.SIGKILL)
            text += _read_until(reader, b"gone ")
            heard.hear(line for line in text.decode().splitlines(keepends=True))
        nursery.stdin.close()
        nursery.wait()


def _read_until(reader: int, *words: bytes) -> bytes:
    text = b"\n"
    while not all(word in text for word in words) or not text.endswith(b"\n"):
        assert select.select([reader], [], [], PATIENCE_SECONDS)[0], text
        text += os.read(reader, 1 << 16)
    return text


@pytest.mark.parametrize(
    ("kills", "seed"),
    [
        (25, 1),
        pytest.param(500, 2, marks=pytest.mark.soak),
        pytest.param(500, 3, marks=pytest.mark.soak),
    ],
)
def test_sigkill_at_any_instant_loses_nothing_that_was_acknowledged(
    tmp_path: Path, collector: Collector, kills: int, seed: int
) -> None:
    program = Program(tmp_path, collector.environment())
    heard = Heard()

    kill_at_random(program, heard, random.Random(seed), kills)
    send_rest(program)

    details = classify(heard, collector)
    assert details.acknowledged >= kills
    assert (details.lost, details.unfinished_lost) == (frozenset(), frozenset())
    assert (details.doubled, details.corrupt) == (frozenset(), 0)
    assert details.died <= kills


def test_a_stopped_sender_loses_nothing(tmp_path: Path, collector: Collector) -> None:
    program = Program(tmp_path, collector.environment())
    heard = Heard()
    with program.start(WORKLOAD.read_text(), "forever", "first") as first:
        assert first.stdout is not None
        said = [first.stdout.readline() for _ in range(2)]  # one was begun, and acknowledged
        collector.wait_for(spans=1)
        first.send_signal(signal.SIGSTOP)
        done = subprocess.run(
            [sys.executable, str(WORKLOAD), "short", "second"],
            env=program.environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_SECONDS,
        )
        heard.hear(done.stdout.splitlines(keepends=True))
        first.send_signal(signal.SIGCONT)
        first.kill()
        first.wait()
        heard.hear(line.decode() for line in said + first.stdout.readlines())

    send_rest(program)

    details = classify(heard, collector)
    assert details.acknowledged > 50
    assert (details.lost, details.unfinished_lost) == (frozenset(), frozenset())


BOMBARDED = """
import signal
from otel_codomon import configure, execution
made = configure()
beats = 0
def beat(*_):
    global beats
    beats += 1
signal.signal(signal.SIGALRM, beat)
signal.siginterrupt(signal.SIGALRM, True)  # system calls return EINTR
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
count = 0
while beats < 200 or count < 200:
    with execution("job", attributes={"number": str(count)}):
        pass
    count += 1
delivered = made.force_flush(100)
signal.setitimer(signal.ITIMER_REAL, 0)
print(count, delivered)
"""


def test_a_process_bombarded_with_signals_loses_nothing(
    tmp_path: Path, collector: Collector
) -> None:
    program = Program(tmp_path, collector.environment())

    done = program.run(BOMBARDED)

    assert (done.returncode, done.stderr) == (0, "")
    count, delivered = done.stdout.split()
    assert delivered == "True"
    numbers = {span.attributes["number"] for span in collector.spans()}
    assert numbers == {str(number) for number in range(int(count))}
