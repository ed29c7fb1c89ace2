"""The traps that tools of this kind fall into; the truth is the kernel's, never ours."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest
from support.needs import needs_memory_limits

from otel_codomon import Kind, Limits, Outcome, execution, run
from otel_codomon._platform import cgroups
from otel_codomon.resources.sampler import sampler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.resources.usage import Usage
    from otel_codomon.testing import Recorder

MIB = 1024 * 1024
PYTHON = (sys.executable, "-I", "-S", "-c")
HANG_SECONDS = 600
SHORT_CHILDREN = (
    "import os, sys, time, resource\n"
    "for _ in range(int(sys.argv[1])):\n"
    "    pid = os.fork()\n"
    "    if not pid:\n"
    "        end = time.process_time() + 0.005\n"
    "        while time.process_time() < end: pass\n"
    "        os._exit(0)\n"
    "    os.waitpid(pid, 0)\n"
    "usage = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
    "print(usage.ru_utime + usage.ru_stime)\n"
)
# Ends once the daemon has used half a second: the pipe is closed then.
DAEMON = (
    "import os, time\n"
    "reader, writer = os.pipe()\n"
    "if not os.fork():\n"
    "    os.setsid()\n"
    "    if not os.fork():\n"
    "        end = time.process_time() + 0.5\n"
    "        while time.process_time() < end: pass\n"
    "    os._exit(0)\n"
    "os.close(writer)\n"
    "os.wait()\n"
    "os.read(reader, 1)\n"
)


@pytest.fixture
def cgroup() -> Iterator[cgroups.Cgroup]:
    made = cgroups.create()
    if made is None:
        pytest.skip("no cgroup can be made here: run as root, or in a delegated unit")
    yield made
    made.kill()
    made.remove()


def usage_of(recorder: Recorder) -> Usage:
    return recorder.executions()[-1].usage


@contextmanager
def sleeping(count: int) -> Iterator[list[int]]:
    """So many processes of nobody's, for as long as the block lasts."""
    with ExitStack() as opened:
        children = [opened.enter_context(subprocess.Popen(("sleep", "60"))) for _ in range(count)]
        for child in children:
            opened.callback(child.kill)
        yield [child.pid for child in children]


def test_200_children_of_5_ms_are_counted_by_who_reaped_them(recorder: Recorder) -> None:
    with execution("tree", kind=Kind.COMMAND) as current:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with subprocess.Popen((*PYTHON, SHORT_CHILDREN, "200"), stdout=subprocess.PIPE) as child:
            current.attach(child)
            child.communicate()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)

    truth = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert usage_of(recorder).cpu_seconds == pytest.approx(truth, rel=0.01)


def test_200_children_of_5_ms_are_counted_by_their_cgroup(
    recorder: Recorder, cgroup: cgroups.Cgroup
) -> None:
    with execution("cgroup", kind=Kind.COMMAND) as current:
        with subprocess.Popen(
            (*PYTHON, SHORT_CHILDREN, "200"),
            preexec_fn=cgroup.join,  # noqa: PLW1509 - it writes a file, and no thread matters to that
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            children = float(child.stdout.readline())
            _, status, truth = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        current.attach(cgroup)

    usage = usage_of(recorder)
    assert child.returncode == 0
    assert usage.source == "cgroup"
    assert usage.cpu_seconds is not None
    # It joined shortly after its start, so a little of its own is not in there. A
    # kernel whose clock goes in ticks of 10 ms tells each a little differently.
    assert children * 0.8 <= usage.cpu_seconds <= (truth.ru_utime + truth.ru_stime) * 1.25


@needs_memory_limits
def test_a_spike_and_three_at_once_are_exact_in_a_cgroup(recorder: Recorder) -> None:
    spike = "import time; b = b'x' * (300 << 20); time.sleep(0.05); del b"
    three = (
        "import os, sys\n"
        "sys.stdout.flush()\n"
        "reader, writer = os.pipe()\n"
        "here, there = os.pipe()\n"
        "for _ in range(3):\n"
        "    if not os.fork():\n"
        "        os.close(there)\n"
        "        b = b'x' * (100 << 20)\n"
        "        os.write(writer, b'.'); os.read(here, 1); os._exit(0)\n"
        "for _ in range(3): os.read(reader, 1)\n"
        "os.close(there)\n"
        "for _ in range(3): os.wait()\n"
    )

    for program in (spike, three):
        run((*PYTHON, program), timeout=HANG_SECONDS)

        usage = usage_of(recorder)
        assert usage.source == "cgroup"
        assert usage.peak_memory_bytes is not None
        # Not only what was taken: the interpreter's own few MiB are in it.
        assert 300 * MIB <= usage.peak_memory_bytes <= 316 * MIB
        assert (usage.peak_memory_upper_bytes or 0) <= 330 * MIB


def test_a_daemon_is_counted_in_both_ways(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run((*PYTHON, DAEMON), timeout=HANG_SECONDS)
    with_cgroup = usage_of(recorder)
    monkeypatch.setattr(cgroups, "create", lambda *_: None)
    run((*PYTHON, DAEMON), timeout=HANG_SECONDS)
    without = usage_of(recorder)

    assert without.source == "process_tree"
    for usage in (with_cgroup, without):
        assert usage.cpu_seconds is not None
        assert usage.cpu_seconds >= 0.5


@needs_memory_limits
@pytest.mark.parametrize(
    ("shell", "outcome", "exit_code"),
    [("{}", Outcome.OOM_KILLED, 137), ("{}; exit 0", Outcome.SUCCESS, 0)],
    ids=["its end", "a child's end"],
)
def test_beyond_its_memory_limit_the_kernel_ends_it_and_proves_that(
    recorder: Recorder, shell: str, outcome: Outcome, exit_code: int
) -> None:
    hog = shlex.join((*PYTHON, f"b = b'x' * {300 * MIB}"))

    result = run(("sh", "-c", shell.format(hog)), limits=Limits(memory_bytes=64 * MIB))

    assert (result.outcome, result.exit_code) == (outcome, exit_code)
    [event] = recorder.spans()[-1].events
    assert (event.name, dict(event.attributes or {})) == (
        "codomon.limit.reached",
        {"codomon.limit.type": "memory", "codomon.limit.value": 64 * MIB},
    )
    [point] = recorder.metrics()["codomon.execution.limit.reached"]
    assert dict(point.attributes or {}) == {
        **recorder.executions()[-1].labels.attributes(),
        "codomon.limit.type": "memory",
    }


def test_the_curve_of_a_parent_that_reaps_a_long_life_has_no_spike(recorder: Recorder) -> None:
    program = (
        "import os, sys, time\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    end = time.process_time() + 1\n"
        "    while time.process_time() < end: pass\n"
        "    print('burnt', flush=True)\n"
        "    os._exit(0)\n"
        "os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\n"
        "sys.stdin.readline()\n"
        "os.waitpid(pid, 0)\n"
        "print('reaped', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with (
        execution("reaps", kind=Kind.COMMAND) as current,
        subprocess.Popen(
            (*PYTHON, program), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        current.attach(child)
        for said in (b"burnt\n", b"reaped\n"):
            assert child.stdout.readline() == said
            for _ in range(2):
                sampler.sample(at_all=True)
            child.stdin.write(b"go on\n")
            child.stdin.flush()
        child.wait(HANG_SECONDS)

    curve = usage_of(recorder).curve
    assert curve is not None
    assert max(curve.cores) <= (os.cpu_count() or 1)
    area = sum(
        cores * (end - begin)
        for cores, begin, end in zip(
            curve.cores[1:], curve.seconds, curve.seconds[1:], strict=False
        )
    )
    assert area <= 1.3


def test_a_look_reads_files_of_members_and_of_nobody_else(recorder: Recorder) -> None:
    read: list[str] = []
    is_on = [True]
    this_thread = threading.get_ident()  # others may still have work of other tests

    def note(event: str, args: tuple[object, ...]) -> None:
        if not is_on[0] or threading.get_ident() != this_thread:
            return
        if event in {"open", "os.listdir", "os.scandir"}:
            read.append(str(args[0]))

    watched = execution("few", kind=Kind.COMMAND)
    with sleeping(30) as strangers, sleeping(1) as [member], watched as current:
        current.attach(member)
        sys.addaudithook(note)
        sampler.sample(at_all=True)
        is_on[0] = False

    of_strangers = [path for path in read for pid in strangers if f"/{pid}/" in path]
    assert of_strangers == []
    assert "/proc" not in read
    assert usage_of(recorder).processes == 1


def test_a_name_of_surrogates_and_brackets_is_no_trouble(recorder: Recorder) -> None:
    program = (
        "import sys\n"
        "open('/proc/self/comm', 'wb').write(b') R \\xff\\xfe (')\n"
        "print('ready', flush=True); sys.stdin.read()\n"
    )
    with (
        execution("odd name", kind=Kind.COMMAND) as current,
        subprocess.Popen(
            (*PYTHON, program), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        current.attach(child)
        rss = psutil.Process(child.pid).memory_info().rss
        child.communicate()

    peak = usage_of(recorder).peak_memory_bytes
    assert peak is not None
    assert peak >= rss * 0.9


def test_a_zombie_counts_what_it_used_and_holds_nothing(recorder: Recorder) -> None:
    with subprocess.Popen((*PYTHON, "sum(range(2_000_000))")) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with execution("zombie", kind=Kind.COMMAND) as current:
            current.attach(child.pid)
            latest = current.tracker.latest

    assert latest is not None
    assert (latest.processes, latest.memory_bytes) == (0, 0)
    assert usage_of(recorder).peak_memory_bytes is None


def test_a_process_that_is_older_than_the_execution_counts_from_then_on(recorder: Recorder) -> None:
    program = (
        "import sys, time\n"
        "while time.process_time() < 0.2: pass\n"
        "print(flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        (*PYTHON, program), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with execution("late", kind=Kind.COMMAND) as current:
            current.attach(child.pid)
        child.communicate()

    assert (usage_of(recorder).cpu_seconds or 0) < 0.1  # of the 0.2 that it has used


def test_another_users_process_is_seen_as_far_as_the_kernel_lets_us(recorder: Recorder) -> None:
    with execution("init", kind=Kind.COMMAND) as current:
        current.attach(2)  # a thread of the kernel: no memory, and a parent we must not take

    assert recorder.executions()[-1].outcome is Outcome.SUCCESS
