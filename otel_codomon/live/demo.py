"""Real programs that each do one thing an execution can do, and what was seen of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_codomon._platform import cgroups
from otel_codomon.executions.block import execution
from otel_codomon.executions.running import current_execution
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.resources.limits import Limits
from otel_codomon.resources.usage import Usage
from otel_codomon.sandbox.runner import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MIB: Final = 1024 * 1024

_BURN = """
import time
while time.process_time() < 0.6:
    pass
"""
_SPIKE = f"""
import time
block = bytearray({160 * _MIB})
block[::4096] = b"x" * len(block[::4096])
time.sleep(0.3)
"""
_FILES = f"""
import os
with open("data", "wb") as file:
    for _ in range(32):
        file.write(os.urandom({_MIB}))
    file.flush()
    os.fsync(file.fileno())
with open("data", "rb") as file:
    while file.read({_MIB}):
        pass
"""
_CHILDREN = """
import subprocess, sys
burn = "import time\\nwhile time.process_time() < 0.015: pass"
for _ in range(40):
    subprocess.run([sys.executable, "-I", "-S", "-c", burn], check=True)
"""
_CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
_SLEEP = "import time; time.sleep(60)"
_HOARD = f"""
held = []
while True:
    held.append(bytearray(b"x") * {4 * _MIB})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One program of the demonstration, and what was seen of it.

    Attributes:
        title: What it does.
        depth: How many executions it is within.
        outcome: How it ended; None when it could not be shown here.
        as_expected: Whether it ended as it was meant to.
        seconds: How long it took, seconds.
        usage: What it used.
        execution_id: Identifies its execution; None when it was not shown.
        remark: Why it ended so, or why it was not shown.
    """

    title: str
    depth: int = 0
    outcome: Outcome | None = None
    as_expected: bool = True
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    execution_id: str | None = None
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class _Program:
    """One row of the demonstration: a program in Python and how it is meant to end."""

    title: str
    name: str
    source: str
    expected: Outcome
    timeout: float = 600.0
    limits: Limits | None = None
    needs_cgroup: bool = False


_PROGRAMS: Final = (
    _Program("a CPU burner", "burn-cpu", _BURN, Outcome.SUCCESS),
    _Program("a memory spike", "spike-memory", _SPIKE, Outcome.SUCCESS),
    _Program("files, 32 MiB", "use-files", _FILES, Outcome.SUCCESS),
    _Program("40 short children", "start-children", _CHILDREN, Outcome.SUCCESS),
    _Program("a crash", "crash", _CRASH, Outcome.KILLED),
    _Program("a timeout", "hang", _SLEEP, Outcome.TIMEOUT, timeout=0.7),
    _Program(
        "out of memory",
        "hoard-memory",
        _HOARD,
        Outcome.OOM_KILLED,
        limits=Limits(memory_bytes=96 * _MIB),
        needs_cgroup=True,
    ),
)

TITLES: Final = (*(program.title for program in _PROGRAMS), "a function raises")


def demonstrate() -> Iterator[Seen]:
    """Run each program and yield what was seen of it, as it ends.

    The last, a function of this process, comes with the command it ran.
    """
    for program in _PROGRAMS:
        if program.needs_cgroup and not _can_make_cgroup():
            yield Seen(
                title=program.title,
                remark="not shown: needs permission to create a cgroup, such as root's",
            )
            continue
        yield _run(program)
    yield from _raise_in_function()


def _run(program: _Program) -> Seen:
    result = run(
        program.source,
        language="python",
        name=program.name,
        timeout=program.timeout,
        limits=program.limits,
    )
    return Seen(
        title=program.title,
        outcome=result.outcome,
        as_expected=result.outcome is program.expected,
        seconds=result.duration_seconds,
        usage=result.usage,
        execution_id=result.execution_id,
        remark=result.reason,
    )


def _can_make_cgroup() -> bool:
    made = cgroups.create()
    if made is None:
        return False
    try:
        return "memory_bytes" in made.limit(memory_bytes=96 * _MIB)
    finally:
        made.remove()


def _raise_in_function() -> Iterator[Seen]:
    """Grade an answer in a decorated function: an execution within an execution."""
    inside: list[Seen] = []
    function = _Function()
    started = time.monotonic()
    try:
        function.grade(inside.append)
    except ValueError:
        running = function.seen
        yield Seen(
            title=TITLES[-1],
            outcome=Outcome.ERROR,
            seconds=time.monotonic() - started,
            usage=running.usage or Usage(),
            execution_id=running.execution_id,
            remark="ValueError, passed on to its caller",
        )
    yield from inside


class _Function:
    """Holds the decorated function and, afterwards, its execution."""

    def __init__(self) -> None:
        self.seen = current_execution()

    @execution("grade", language="python")
    def grade(self, tell: Callable[[Seen], None]) -> None:
        """Run an answer and refuse it."""
        self.seen = current_execution()
        result = run("print(6 * 9)", language="python", name="answer")
        tell(
            Seen(
                title="its command",
                depth=1,
                outcome=result.outcome,
                as_expected=result.succeeded,
                seconds=result.duration_seconds,
                usage=result.usage,
                execution_id=result.execution_id,
            )
        )
        raise ValueError(result.stdout)
