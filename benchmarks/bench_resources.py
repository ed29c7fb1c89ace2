"""What is measured of executions, against truths and peers that are not ours.

Truths: ``wait4``, the kernel's cgroup counters, psutil. Times are of one look
at everything that runs.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import psutil

from benchmarks.measure import Row, print_table
from otel_codomon import Kind, execution
from otel_codomon._platform import cgroups
from otel_codomon.resources.sampler import sampler
from otel_codomon.testing import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_codomon import Usage

MIB = 1024 * 1024
PYTHON = (sys.executable, "-I", "-S", "-c")

CHILDREN = """
import os, time
for _ in range(200):
    pid = os.fork()
    if not pid:
        end = time.process_time() + 0.005
        while time.process_time() < end: pass
        os._exit(0)
    os.waitpid(pid, 0)
"""
# Says itself what its high water mark is: the truth is not taken from where we take ours.
SPIKE = """
import time
time.sleep(0.4); b = b'x' * (300 << 20); time.sleep(0.05); del b
print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])
"""
ONE_OF_THREE = (
    "import sys; b = bytearray(100 << 20); b[::4096] = b'x' * len(b[::4096]);"
    "print(flush=True); sys.stdin.read()"
)
LONG_CHILD = """
import os, time
pid = os.fork()
if not pid:
    end = time.process_time() + 3
    while time.process_time() < end: pass
    os._exit(0)
time.sleep(0.5)
os.waitpid(pid, 0)
time.sleep(0.5)
"""
# A shell with two sleeps, as in reference measurements of other tools.
THREE_PROCESSES = ("sh", "-c", "sleep 600 & sleep 600 & wait")


class Seen(NamedTuple):
    """What was measured of one command, and what the kernel told somebody else.

    Attributes:
        usage: What was measured.
        cpu_seconds: CPU time of all children waited for meanwhile (getrusage).
        output: What the command printed.
    """

    usage: Usage
    cpu_seconds: float
    output: str


def waited_for_seconds() -> float:
    """CPU time of all children that this process has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def watched(command: tuple[str, ...], *, cgroup: cgroups.Cgroup | None = None) -> Seen:
    """Run *command* as an execution."""
    join = None if cgroup is None else cgroup.join
    before = waited_for_seconds()
    with Recorder() as recorder:
        watch = execution("bench", kind=Kind.COMMAND)
        pipe = subprocess.PIPE
        with watch as current, subprocess.Popen(command, preexec_fn=join, stdout=pipe) as child:  # noqa: PLW1509 - the other threads hold no lock of it
            current.attach(child if cgroup is None else cgroup)
            output, _ = child.communicate()
    usage = recorder.executions()[0].usage
    return Seen(usage, waited_for_seconds() - before, output.decode())


def deviation(what: str, ours: float | None, truth: float, allowed_percent: float) -> Row:
    """A row that says how far *ours* is from *truth*, in percent, against what is allowed."""
    off = float("inf") if ours is None else abs(ours / truth - 1) * 100
    return Row(what, off, allowed_percent, "%", 1.0, f"truth {truth:.6g}")


def exactness() -> Iterator[Row]:
    """CPU time and peaks against their truths."""
    seen = watched((*PYTHON, CHILDREN))
    yield deviation(
        "200 children of 5 ms, process_tree", seen.usage.cpu_seconds, seen.cpu_seconds, 1
    )
    spikes = [watched((*PYTHON, SPIKE)) for _ in range(20)]
    worst = max(
        abs((spike.usage.peak_memory_bytes or 0) / (int(spike.output) * 1024) - 1)
        for spike in spikes
    )
    yield Row(
        "50 ms spike of 300 MB, worst of 20, process_tree",
        worst * 100,
        1,
        "%",
        1.0,
        "its own VmHWM",
    )
    usage = watched((*PYTHON, LONG_CHILD)).usage
    cores = 0.0 if usage.curve is None else max(usage.curve.cores)
    count = os.cpu_count() or 1
    yield Row("highest point over a parent that reaps a child", cores, count, "cpu", 1.0, "cores")
    yield from three_at_once()
    yield small_child_of_a_large_parent()
    yield from in_a_cgroup()


def three_at_once() -> Iterator[Row]:
    """The bracket around three processes that hold 100 MB each."""
    with Recorder() as recorder:
        with execution("three", kind=Kind.COMMAND) as current, ExitStack() as held:
            children = [
                held.enter_context(
                    subprocess.Popen(
                        (*PYTHON, ONE_OF_THREE), stdin=subprocess.PIPE, stdout=subprocess.PIPE
                    )
                )
                for _ in range(3)
            ]
            for child in children:
                child.stdout.readline()  # type: ignore[union-attr] # it was asked for
                current.attach(child)
            truth = sum(psutil.Process(child.pid).memory_info().rss for child in children)
            for child in children:
                child.communicate()
        usage = recorder.executions()[0].usage
    lower = usage.peak_memory_bytes or 0
    upper = usage.peak_memory_upper_bytes or lower
    inside = lower * 0.999 <= truth <= upper * 1.001
    width = (upper / lower - 1) * 100 if inside and lower else float("inf")
    yield Row("three of 100 MB: width of the bracket", width, 10, "%", 1.0, "psutil is inside")


def small_child_of_a_large_parent() -> Row:
    """``true`` started by a process of 600 MB."""
    block = b"x" * (600 * MIB)
    usage = watched(("sh", "-c", "sleep 0.05; true")).usage
    del block
    ours = (usage.peak_memory_bytes or 0) / MIB
    return Row("sh -c 'true' started by a 600 MB parent", ours, 600, "MiB", 0.05, "the parent")


def in_a_cgroup() -> Iterator[Row]:
    """The same in a cgroup of their own; nothing where none can be made."""
    for what, program in (
        ("200 children of 5 ms, cgroup", CHILDREN),
        ("50 ms spike of 300 MB, cgroup", SPIKE),
    ):
        cgroup = cgroups.create()
        if cgroup is None:
            return
        seen = watched((*PYTHON, program), cgroup=cgroup)
        if program is SPIKE:
            peak = cgroup.totals().peak_memory_bytes or 0
            yield deviation(what, seen.usage.peak_memory_bytes, peak, 1)
        else:
            yield deviation(what, seen.usage.cpu_seconds, seen.cpu_seconds, 1)
        cgroup.remove()


# --- the cost of a look ---------------------------------------------------------


def psutil_best_pass(pids: list[int]) -> None:
    """The cheapest way with psutil: its parent map once, then `oneshot` for each member."""
    parents = psutil._ppid_map()  # type: ignore[attr-defined]  # noqa: SLF001 - its own children() does
    children: dict[int, list[int]] = {}
    for pid, ppid in parents.items():
        children.setdefault(ppid, []).append(pid)
    for root in pids:
        waiting = [root]
        for pid in waiting:
            waiting += children.get(pid, [])
            process = psutil.Process(pid)
            with process.oneshot():
                process.cpu_times()
                process.memory_info()
                process.num_threads()


def running_executions(count: int, opened: ExitStack) -> list[int]:
    """Start *count* executions of three processes each; their pids."""
    pids = []
    for _ in range(count):
        child = opened.enter_context(subprocess.Popen(THREE_PROCESSES, start_new_session=True))
        opened.callback(os.killpg, child.pid, 9)
        current = opened.enter_context(execution("bench", kind=Kind.COMMAND))
        current.attach(child.pid)
        pids.append(child.pid)
    return pids


def look() -> None:
    """One look at everything."""
    sampler.sample(at_all=True)


def strangers(count: int, opened: ExitStack) -> None:
    """Start *count* processes that belong to no execution."""
    for _ in range(count):
        child = opened.enter_context(subprocess.Popen(("sleep", "600")))
        opened.callback(child.kill)


def cpu_in_turn(
    ours: Callable[[], object], peer: Callable[[], object], *, rounds: int
) -> tuple[float, float]:
    """Median CPU milliseconds of one call of each, in turn: of ours the mean of eight.

    Every eighth look reads all of a tree, every fourth at the default interval
    also descriptors and transfers.

    Not wall time: every read of a kernel file gives up the interpreter's lock,
    and on a busy machine a call then waits longer than it works.
    """
    figures: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for function, found, calls in zip((ours, peer), figures, (8, 1), strict=True):
            begin = time.thread_time()
            for _ in range(calls):
                function()
            found.append((time.thread_time() - begin) * 1e3 / calls)
    return statistics.median(figures[0]), statistics.median(figures[1])


def quiet_sampler() -> None:
    """Keep the thread from looking by itself while looks are timed."""
    sampler.interval_seconds = 3600


def cost() -> Iterator[Row]:
    """One look, against psutil and against itself."""
    quiet_sampler()
    for count, bar in ((10, None), (100, None), (500, 0.15)):
        with Recorder(), ExitStack() as opened:
            pids = running_executions(count, opened)
            for _ in range(8):
                look()
            ours, peer = cpu_in_turn(look, lambda: psutil_best_pass(pids), rounds=8)  # noqa: B023 - called here
            yield Row(
                f"one look at {count} executions of 3",
                ours,
                peer,
                "ms",
                bar,
                "psutil, one map",
            )
    with Recorder(), ExitStack() as opened:
        running_executions(10, opened)
        alone, beside = [], []
        for _ in range(3):
            alone.append(least_cpu(look))
            with ExitStack() as beside_us:
                strangers(1000, beside_us)
                beside.append(least_cpu(look))
        yield Row(
            "one look at 10 beside 1,000 strangers",
            min(beside),
            min(alone),
            "ms",
            1.2,
            "the same alone",
        )


def least_cpu(function: Callable[[], object], *, rounds: int = 40) -> float:
    """CPU milliseconds of one call, the mean of eight as above, where least was in the way."""
    found = []
    for _ in range(rounds):
        begin = time.thread_time()
        for _ in range(8):
            function()
        found.append((time.thread_time() - begin) * 1e3 / 8)
    return min(found)


def main() -> None:
    """Print the tables."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    print(f"descriptors: {soft} of {hard}; a quarter of the soft limit may be kept open")
    print_table("exactness, against what the kernel counted", exactness())
    print_table("CPU of one look", cost())


if __name__ == "__main__":
    main()
