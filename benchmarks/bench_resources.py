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
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.measure import Row, print_table
from otel_codomon import Kind, execution
from otel_codomon.executions.sampler import sampler
from otel_codomon.sources import cgroups
from otel_codomon.testing import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_codomon import Usage
    from otel_codomon.sources.cgroup_files import CgroupTotals

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
SPIKE = "import time; time.sleep(0.4); b = b'x' * (300 << 20); time.sleep(0.05); del b"
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


def wait4_of(child: subprocess.Popen[Any]) -> resource.struct_rusage:
    """Wait for *child* past subprocess: the truth that benchmarks compare with."""
    _, status, rusage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return rusage


def watched(
    command: tuple[str, ...], *, cgroup: cgroups.Cgroup | None = None
) -> tuple[Usage, resource.struct_rusage]:
    """Run *command* as an execution; what was measured, and what ``wait4`` says."""
    join = None if cgroup is None else cgroup.join
    with Recorder() as recorder:
        watch = execution("bench", kind=Kind.COMMAND)
        start = partial(subprocess.Popen, command, preexec_fn=join)
        with watch as current, start() as child:
            current.attach(child.pid if cgroup is None else cgroup)
            rusage = wait4_of(child)
            current.record(rusage=rusage)
        return recorder.executions()[0].usage, rusage


def deviation(what: str, ours: float | None, truth: float, allowed_percent: float) -> Row:
    """A row that says how far *ours* is from *truth*, in percent, against what is allowed."""
    off = float("inf") if ours is None else abs(ours / truth - 1) * 100
    return Row(what, off, allowed_percent, "%", 1.0, f"truth {truth:.6g}")


def exactness() -> Iterator[Row]:
    """CPU time and peaks against their truths."""
    usage, rusage = watched((*PYTHON, CHILDREN))
    truth = rusage.ru_utime + rusage.ru_stime
    yield deviation("200 children of 5 ms, process_tree", usage.cpu_seconds, truth, 1)
    peaks = [watched((*PYTHON, SPIKE)) for _ in range(20)]
    worst = max(abs((u.peak_memory_bytes or 0) / (r.ru_maxrss * 1024) - 1) for u, r in peaks)
    yield Row("50 ms spike of 300 MB, worst of 20, process_tree", worst * 100, 1, "%", 1.0, "wait4")
    usage, _ = watched((*PYTHON, LONG_CHILD))
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
    usage, rusage = watched(("true",))
    del block
    ours = (usage.peak_memory_bytes or 0) / MIB
    return Row(
        "true started by a 600 MB parent", ours, rusage.ru_maxrss / 1024, "MiB", 0.05, "ru_maxrss"
    )


def in_a_cgroup() -> Iterator[Row]:
    """The same in a cgroup of their own; nothing where none can be made."""
    cases: tuple[
        tuple[
            str,
            str,
            Callable[[Usage], float | None],
            Callable[[resource.struct_rusage, CgroupTotals], float],
        ],
        ...,
    ] = (
        (
            "200 children of 5 ms, cgroup",
            CHILDREN,
            lambda u: u.cpu_seconds,
            lambda r, _t: r.ru_utime + r.ru_stime,
        ),
        (
            "50 ms spike of 300 MB, cgroup",
            SPIKE,
            lambda u: u.peak_memory_bytes,
            lambda _r, t: t.peak_memory_bytes or 0,
        ),
    )
    for what, program, ours, truth in cases:
        cgroup = cgroups.create()
        if cgroup is None:
            return
        usage, rusage = watched((*PYTHON, program), cgroup=cgroup)
        yield deviation(what, ours(usage), truth(rusage, cgroup.totals()), 1)
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
    sampler.look(at_all=True)


def strangers(count: int, opened: ExitStack) -> None:
    """Start *count* processes that belong to no execution."""
    for _ in range(count):
        child = opened.enter_context(subprocess.Popen(("sleep", "600")))
        opened.callback(child.kill)


def cpu_in_turn(
    ours: Callable[[], object], peer: Callable[[], object], *, rounds: int
) -> tuple[float, float]:
    """Median CPU milliseconds of one call of each, in turn.

    Not wall time: every read of a kernel file gives up the interpreter's lock,
    and on a busy machine a call then waits longer than it works.
    """
    figures: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for function, found in zip((ours, peer), figures, strict=True):
            begin = time.thread_time()
            function()
            found.append((time.thread_time() - begin) * 1e3)
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
        for _ in range(8):
            look()
        alone, _ = cpu_in_turn(look, look, rounds=40)
        strangers(1000, opened)
        beside, _ = cpu_in_turn(look, look, rounds=40)
        yield Row(
            "one look at 10 beside 1,000 strangers",
            beside,
            alone,
            "ms",
            1.2,
            "the same alone",
        )


def main() -> None:
    """Print the tables."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    print(f"descriptors: {soft} of {hard}; a quarter of the soft limit may be kept open")
    print_table("exactness, against what the kernel counted", exactness())
    print_table("CPU of one look", cost())


if __name__ == "__main__":
    main()
