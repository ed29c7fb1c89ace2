"""Random programs that start children, with what these really used.

Run by `setting_host`: ``behave()`` runs as many programs as ``CHILDREN_COUNT``
names, from the seed ``CHILDREN_SEED`` on, and returns for each execution its
name and the CPU time of its children and threads. Each child is waited for by
``wait4``, as `subprocess` waits by ``waitpid``: the kernel's account of the
process is the same, and the truth is known for each child alone.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_codomon import current_execution, execution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOOPS_A_MS: Final = 300  # of a shell, within a factor of some


@dataclass
class Truth:
    """What one execution used, seconds.

    Attributes:
        children: CPU time of its children.
        threads: CPU time of threads that it handed work to.
        own: CPU time of its own thread, which starts and waits for the children.
        notes: What it did.
    """

    children: float = 0.0
    threads: float = 0.0
    own: float = 0.0
    notes: list[str] = field(default_factory=list)


def burn(milliseconds: int) -> list[str]:
    """A command that takes about so long."""
    loops = milliseconds * _LOOPS_A_MS
    return ["/bin/sh", "-c", f"i=0; while [ $i -lt {loops} ]; do i=$((i+1)); done"]


def nested(milliseconds: int) -> list[str]:
    """The same, in a child of the child."""
    return ["/bin/sh", "-c", '"$@"; exit 0', "sh", *burn(milliseconds)]


def spawn(command: list[str]) -> int:
    """Start it, and return its pid."""
    return os.posix_spawn(command[0], command, dict(os.environ))


def reap(pid: int, truth: Truth) -> None:
    """Wait for a child, and note what it used."""
    used = os.wait4(pid, 0)[2]
    truth.children += used.ru_utime + used.ru_stime


def run_one(truth: Truth, chance: random.Random) -> None:
    """Start a child in one of many ways, and wait for it."""
    command = chance.choice((burn, nested))(chance.randrange(1, 60))
    way = chance.choice(("run", "popen", "spawn", "fork"))
    truth.notes.append(f"{way} {command[-1][17:30]}")
    if way in {"run", "popen"}:
        with subprocess.Popen(command) as child:
            reap(child.pid, truth)
            child.returncode = 0
    elif way == "spawn":
        reap(spawn(command), truth)
    else:
        reap(_fork_and_burn(chance.randrange(1, 40)), truth)


def _fork_and_burn(milliseconds: int) -> int:
    pid = os.fork()
    if not pid:
        begin = time.process_time()
        while time.process_time() - begin < milliseconds / 1000:
            pass
        os._exit(0)
    return pid


def run_together(truth: Truth, chance: random.Random) -> None:
    """Several children at the same time."""
    pids = [spawn(burn(chance.randrange(1, 40))) for _ in range(chance.randrange(2, 4))]
    for pid in pids:
        reap(pid, truth)


def run_attached(truth: Truth, chance: random.Random) -> None:
    """A child that is attached, and waited for by its Popen."""
    with subprocess.Popen(burn(chance.randrange(1, 60))) as child:
        current_execution().attach(child)
        # What wait4 tells is what the product takes: here the truth is the process's own clock.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        truth.children += time.clock_gettime((~child.pid << 3) | 2)
        child.wait()


def run_in_thread(truth: Truth, chance: random.Random) -> None:
    """A thread of its own that works, and has a child."""

    def work() -> None:
        begin = time.thread_time()
        run_one(truth, chance)
        while time.thread_time() - begin < 0.02:
            pass
        truth.threads += time.thread_time() - begin

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


_pool = ThreadPoolExecutor(1)


def run_in_pool(truth: Truth, chance: random.Random) -> None:
    """A pool that outlives the execution."""

    def work() -> None:
        begin = time.thread_time()
        run_one(truth, chance)
        truth.threads += time.thread_time() - begin

    _pool.submit(work).result()


_STEPS: Final[tuple[Callable[[Truth, random.Random], None], ...]] = (
    run_one,
    run_one,
    run_together,
    run_attached,
    run_in_thread,
    run_in_pool,
)


def take_steps(truth: Truth, chance: random.Random) -> Iterator[None]:
    """Some of the above, one after the other."""
    for _ in range(chance.randrange(1, 4)):
        step = chance.choice(_STEPS)
        truth.notes.append(step.__name__)
        before = time.thread_time()
        step(truth, chance)
        truth.own += time.thread_time() - before
        yield


async def await_steps(truth: Truth, chance: random.Random) -> None:
    """Some of the above in a coroutine, and what only a coroutine can do."""
    for _ in range(chance.randrange(1, 3)):
        way = chance.choice(("step", "to_thread", "process"))
        truth.notes.append(way)
        if way == "step":
            next(take_steps(truth, chance))
        elif way == "to_thread":
            await asyncio.to_thread(run_one, truth, chance)
        else:
            before = time.thread_time()
            pid = spawn(burn(chance.randrange(1, 60)))
            truth.own += time.thread_time() - before
            await asyncio.get_running_loop().run_in_executor(None, reap, pid, truth)
        await asyncio.sleep(0)


def as_function(name: str, truth: Truth, chance: random.Random) -> None:
    execution(name)(lambda: [None for _ in take_steps(truth, chance)])()


def as_block(name: str, truth: Truth, chance: random.Random) -> None:
    with execution(name):
        for _ in take_steps(truth, chance):
            pass


def as_generator(name: str, truth: Truth, chance: random.Random) -> None:
    @execution(name)
    def generate() -> Iterator[None]:
        yield from take_steps(truth, chance)

    beside = Truth()
    for _ in generate():
        run_one(beside, chance)  # the consumer's own


def as_coroutine(name: str, truth: Truth, chance: random.Random) -> None:
    asyncio.run(execution(name)(_awaiting)(truth, chance))


async def _awaiting(truth: Truth, chance: random.Random) -> None:
    await await_steps(truth, chance)


def as_block_in_loop(name: str, truth: Truth, chance: random.Random) -> None:
    async def main() -> None:
        if chance.random() < 0.5:
            with execution(name):
                next(take_steps(truth, chance))
        else:
            async with execution(name):
                await await_steps(truth, chance)

    asyncio.run(main())


def as_two_tasks(name: str, truth: Truth, chance: random.Random) -> None:
    async def main() -> None:
        other = random.Random(chance.random())
        await asyncio.gather(
            execution(name)(_awaiting)(truth, chance),
            execution("other")(_awaiting)(Truth(), other),
        )

    asyncio.run(main())


def as_two_threads(name: str, truth: Truth, chance: random.Random) -> None:
    """Two executions with children at the same time."""
    other = random.Random(chance.random())
    thread = threading.Thread(target=as_function, args=("other", Truth(), other))
    thread.start()
    as_function(name, truth, chance)
    thread.join()


_SHAPES: Final[tuple[Callable[[str, Truth, random.Random], None], ...]] = (
    as_function,
    as_block,
    as_generator,
    as_coroutine,
    as_block_in_loop,
    as_two_tasks,
    as_two_threads,
)
_ALONE: Final = (as_function, as_block, as_coroutine, as_block_in_loop)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def behave() -> list[dict[str, Any]]:
    """Run the programs."""
    first, count = int(os.environ["CHILDREN_SEED"]), int(os.environ["CHILDREN_COUNT"])
    told = []
    for seed in range(first, first + count):
        chance = random.Random(seed)
        # In turn, so that few programs have every shape too.
        shape, truth = _SHAPES[seed % len(_SHAPES)], Truth()
        before = _children_seconds()
        shape(f"program {seed}", truth, chance)
        kernel = _children_seconds() - before
        told.append(
            {
                "name": f"program {seed}",
                "shape": shape.__name__,
                "children": truth.children,
                "threads": truth.threads,
                "own": truth.own,
                "kernel": kernel if shape in _ALONE else None,
                "notes": truth.notes,
            }
        )
    return told
