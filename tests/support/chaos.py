"""Trouble for a while: writers that are killed and a collector that does everything wrong."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from support.collector import Collector, Fault
from support.oracle import OutcomeDetails, classify
from support.workload import Heard

if TYPE_CHECKING:
    from support.user_program import Program

WORKLOAD: Final = Path(__file__).with_name("workload.py")

# An answer that is lost on the way makes a copy of every span in its request,
# whoever sends it: two of ten.
FAULTS: Final = (
    Fault(status=503),
    Fault(status=503, retry_after="1"),
    Fault(status=500),
    Fault(status=429, retry_after="0"),
    Fault(delay_seconds=0.5),
    Fault(reset="before"),
    Fault(reset="in"),
    Fault(reset="after"),
    Fault(status=302),
    Fault(body="<html>", content_type="text/html", keep=False),
)

# So many tell something; a slow machine takes longer for them.
ENOUGH: Final = 100


@dataclass
class Chaos:
    """Three writers and a collector in trouble.

    Attributes:
        program: Folder and environment of the writers.
        collector: Who is in trouble.
        seed: Makes the same trouble again, but for the kernel's scheduling.
        seconds: How long at least: until `ENOUGH` executions were acknowledged.
        heard: What the writers said.
    """

    program: Program
    collector: Collector
    seed: int
    seconds: float
    heard: Heard = field(default_factory=Heard)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def _is_over(self, deadline: float) -> bool:
        with self._turn:
            return time.monotonic() >= deadline and len(self.heard.ended) >= ENOUGH

    def run(self) -> OutcomeDetails:
        """Make trouble, heal, ship what waits, and judge."""
        deadline = time.monotonic() + self.seconds
        writers = [
            threading.Thread(target=self._write, args=(number, deadline)) for number in range(3)
        ]
        for writer in writers:
            writer.start()
        self._trouble(deadline)
        for writer in writers:
            writer.join()
        self._heal()
        return classify(self.heard, self.collector)

    def _write(self, number: int, deadline: float) -> None:
        """Start a writer and kill it, again and again."""
        chance = random.Random(f"{self.seed}-{number}")
        life = 0
        while not self._is_over(deadline):
            life += 1
            mode = chance.choice(("forever", "forever", "storm", "short"))
            self._live(f"w{number}-{life}", mode, chance)

    def _live(self, run: str, mode: str, chance: random.Random) -> None:
        with subprocess.Popen(
            [sys.executable, str(WORKLOAD), mode, run],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # tracebacks of KeyboardInterrupt, mostly
            env=self.program.environment(),
        ) as child:
            assert child.stdout is not None
            said = [child.stdout.readline()]
            time.sleep(chance.uniform(0.1, 1.5))  # the instant is what is random
            child.send_signal(chance.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
            killer = threading.Timer(10, child.kill)  # of what ignores the signal
            killer.start()
            said += child.stdout.readlines()
            killer.cancel()
            killer.join()
        with self._turn:
            self.heard.hear(line.decode() for line in said)

    def _trouble(self, deadline: float) -> None:
        chance = random.Random(self.seed)
        while not self._is_over(deadline):
            if chance.random() < 0.2:
                self.collector.down()
                time.sleep(chance.uniform(0.1, 1.0))  # how long it is away
                self.collector.up()
            else:
                self.collector.answer(chance.choice(FAULTS))
            time.sleep(chance.uniform(0.1, 0.5))  # how often there is trouble

    def _heal(self) -> None:
        self.collector.heal()
        if self.program.environ.get("OTEL_PYTHON_CODOMON_JOURNAL") == "off":
            return
        done = subprocess.run(
            [sys.executable, "-m", "otel_codomon", "journal", "send", "--timeout", "600"],
            env={
                **self.program.environment(),
                "OTEL_PYTHON_CODOMON_JOURNAL": self.program.journal,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
