"""Executions that say when they are acknowledged: what the reliability tests count by.

Run as a program. Writes one line ``s NUMBER`` when an execution's block was
entered and ``e NUMBER`` when its call has returned, each with one system call,
so that what was said survives whatever happens next.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otel_codomon import configure, execution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass
class Heard:
    """What a workload said before it was gone.

    Attributes:
        entered: Executions whose start was acknowledged.
        ended: Executions whose call has returned.
    """

    entered: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)

    def hear(self, lines: Iterable[str]) -> None:
        """Add what *lines* say; half a line at the end says nothing."""
        for line in lines:
            word, _, number = line.strip().partition(" ")
            if line.endswith("\n") and word in ("s", "e"):
                (self.entered if word == "s" else self.ended).add(number)


def say(word: str, number: str) -> None:
    """Say one thing, at once."""
    os.write(1, f"{word} {number}\n".encode())


def work(run: str, count: int, *, pause_seconds: float = 0.0) -> None:
    """Run *count* executions, numbered within *run*; for ever if it is 0."""
    index = 0
    while not count or index < count:
        number = f"{run}-{index}"
        with execution("job", attributes={"run": run, "number": number}):
            say("s", number)
            if pause_seconds:
                time.sleep(pause_seconds)
        say("e", number)
        index += 1


def fork_and_work(run: str, count: int) -> None:
    """Have a forked child work, and die without ceremony."""
    child = os.fork()
    if child == 0:
        work(run, count)
        os._exit(0)
    os.waitpid(child, 0)


def spread(run: str, method: str) -> None:
    """Have children of *method* work, each ten executions."""
    context: Any = multiprocessing.get_context(method)  # its types know no Process
    children = [
        context.Process(target=configured_work, args=(f"{run}-{index}", 10)) for index in range(3)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()


def configured_work(run: str, count: int) -> None:
    """What a child of `spread` does: configure is a second call where it was forked."""
    configure()
    work(run, count)


def end_by_sigterm(run: str) -> None:
    """Work, and be ended by the default action of SIGTERM."""
    work(run, 20)
    os.kill(os.getpid(), signal.SIGTERM)


def end_by_exit(run: str) -> None:
    """Work, and leave without any clean-up."""
    work(run, 20)
    os._exit(0)


def end_by_exec(run: str) -> None:
    """Work, and become another program."""
    work(run, 20)
    os.execv("/bin/true", ["true"])  # noqa: S606 - that is the test


def end_by_abort(run: str) -> None:
    """Work, and abort."""
    work(run, 20)
    os.abort()


def storm(run: str) -> None:
    """Fork while executions run, again and again, from a process that works itself."""
    for index in range(20):
        work(f"{run}-p{index}", 2)
        fork_and_work(f"{run}-c{index}", 2)


MODES: dict[str, Callable[[str], None]] = {
    "sigterm": end_by_sigterm,
    "exit": end_by_exit,
    "exec": end_by_exec,
    "abort": end_by_abort,
    "storm": storm,
    "fork": lambda run: spread(run, "fork"),
    "spawn": lambda run: spread(run, "spawn"),
    "forkserver": lambda run: spread(run, "forkserver"),
    "forever": lambda run: work(run, 0, pause_seconds=0.002),
    "short": lambda run: work(run, 50),
}


if __name__ == "__main__":
    configure()
    MODES[sys.argv[1]](sys.argv[2])
