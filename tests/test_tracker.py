"""Executions of real processes, against `wait4`, psutil and the kernel's own files."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from support.held import HOLD_MEMORY, started

from otel_codomon import Kind, execution
from otel_codomon.resources.sampler import sampler

if TYPE_CHECKING:
    from otel_codomon.resources.usage import Usage
    from otel_codomon.testing import Recorder

MIB = 1024 * 1024


def python(program: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", program]


def waited_for_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def usage_of(recorder: Recorder) -> Usage:
    return recorder.executions()[-1].usage


def test_a_command_that_is_attached_has_the_totals_of_its_whole_tree(recorder: Recorder) -> None:
    before = waited_for_seconds()
    with execution("tree", kind=Kind.COMMAND) as current:
        program = (
            "import os\n"
            "for _ in range(20):\n"
            "    pid = os.fork()\n"
            "    if not pid:\n"
            "        sum(range(300_000)); os._exit(0)\n"
            "    os.waitpid(pid, 0)\n"
        )
        with subprocess.Popen(python(program)) as child:
            current.attach(child)
            current.record(exit_code=child.wait())
    truth = waited_for_seconds() - before

    usage = usage_of(recorder)

    assert usage.source == "process_tree"
    assert usage.cpu_seconds == pytest.approx(truth, rel=0.01)
    assert usage.cpu_user_seconds is not None


def test_a_spike_between_two_looks_is_in_the_peak() -> None:
    # In a process of its own: the mark of a child begins at the size of its
    # spawner, and this one has run other tests.
    program = (
        "import subprocess, sys\n"
        "from otel_codomon.testing import Recorder\n"
        "from otel_codomon import execution\n"
        "spike = [sys.executable, '-I', '-S', '-c', \"b = b'x' * (300 << 20); del b\"]\n"
        "with Recorder() as recorder, execution('spike', kind='command') as current:\n"
        "    with subprocess.Popen(spike) as child:\n"
        "        current.attach(child); child.wait()\n"
        "usage = recorder.executions()[0].usage\n"
        "print(usage.peak_memory_bytes, usage.peak_memory_upper_bytes)\n"
    )

    shown = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    peak, upper = shown.stdout.split()
    assert 300 * MIB <= int(peak) <= 315 * MIB
    assert upper == "None"


def test_a_child_of_a_large_parent_is_not_as_large_as_its_parent() -> None:
    program = (
        "import subprocess\n"
        "from otel_codomon.testing import Recorder\n"
        "from otel_codomon import execution\n"
        "block = b'x' * (600 << 20)\n"
        "with Recorder() as recorder, execution('small', kind='command') as current:\n"
        "    with subprocess.Popen(['cat'], stdin=subprocess.PIPE) as child:\n"
        "        current.attach(child); child.communicate()\n"
        "print(recorder.executions()[0].usage.peak_memory_bytes)\n"
    )

    shown = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert int(shown.stdout) < 10 * MIB


def test_what_a_function_starts_counts_as_its_own(recorder: Recorder) -> None:
    with execution("function"):
        burn = "import time\nwhile time.process_time() < 0.1: pass"
        subprocess.run(python(burn), check=True)

    usage = usage_of(recorder)

    assert usage.source == "thread"
    assert usage.cpu_seconds is not None
    assert usage.cpu_seconds >= 0.1


def test_three_children_at_once_are_within_the_bracket() -> None:
    # In a process of its own: the mark of a child begins at the size of its
    # spawner, and this one has run other tests.
    program = (
        "import psutil\n"
        "from contextlib import ExitStack\n"
        "from support.held import HOLD_MEMORY, started\n"
        "from otel_codomon import execution\n"
        "from otel_codomon.testing import Recorder\n"
        "with Recorder() as recorder:\n"
        "    with execution('three', kind='command') as current, ExitStack() as held:\n"
        "        children = [held.enter_context(started(HOLD_MEMORY, 100)) for _ in range(3)]\n"
        "        for child in children: current.attach(child)\n"
        "        print(sum(psutil.Process(child.pid).memory_info().rss for child in children))\n"
        "usage = recorder.executions()[0].usage\n"
        "print(usage.peak_memory_bytes, usage.peak_memory_upper_bytes or usage.peak_memory_bytes)\n"
    )

    shown = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )

    truth, lower, upper = map(int, shown.stdout.split())
    assert lower * 0.999 <= truth <= upper * 1.001
    assert upper <= lower * 1.1


def test_while_it_runs_the_gauges_show_what_psutil_sees(recorder: Recorder) -> None:
    with execution("live", kind=Kind.COMMAND) as current, started(HOLD_MEMORY, 64) as child:
        current.attach(child)
        sampler.sample(at_all=True)
        points = recorder.metrics()
        rss = psutil.Process(child.pid).memory_info().rss
    [memory] = points["codomon.execution.memory.usage"]
    [processes] = points["codomon.execution.process.count"]
    [descriptors] = points["codomon.execution.file_descriptor.count"]

    assert memory.value == pytest.approx(rss, rel=0.01)  # type: ignore[union-attr] # a number
    assert processes.value == 1  # type: ignore[union-attr] # as above
    assert descriptors.value == 3  # type: ignore[union-attr] # as above
    assert dict(memory.attributes or {}) == {
        "codomon.execution.name": "live",
        "codomon.execution.kind": "command",
        "codomon.sandbox.type": "none",
    }
    assert "codomon.execution.memory.usage" not in recorder.metrics()


@pytest.mark.parametrize(
    "target",
    [
        *(2**22 + 1, -1, 0, True, None, "", "/proc", "/nowhere", object(), 1.5, 1),
        pytest.param(os.getpid(), id="itself"),
    ],
)
def test_what_cannot_be_watched_is_left_out(recorder: Recorder, target: object) -> None:
    with execution("bad target", kind=Kind.COMMAND) as current:
        current.attach(target)

    assert usage_of(recorder).peak_memory_bytes is None


def test_a_number_that_may_be_somebody_elses_by_now_is_not_watched(recorder: Recorder) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        with subprocess.Popen(["true"]) as done:
            done.wait()
        done.pid = stranger.pid  # as when the number is in use again
        late = psutil.Process(stranger.pid)
        late._ident = (stranger.pid, 1.0)  # type: ignore[attr-defined] # its inside
        with execution("reused", kind=Kind.COMMAND) as current:
            current.attach(done)
            current.attach(late)
        stranger.kill()

    assert usage_of(recorder).processes is None


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [("SAMPLE_INTERVAL", "1.5", "1.5 False"), ("SLOTS", "true", "0.25 True")],
)
def test_without_configure_the_environment_says_how_to_sample(
    variable: str, value: str, expected: str
) -> None:
    program = (
        "from otel_codomon.testing import Recorder\n"
        "from otel_codomon.executions import providers as engine\n"
        "from otel_codomon.resources.sampler import sampler\n"
        "with Recorder(): print(sampler.interval_seconds, engine._by_slot)\n"
    )
    environment = {**os.environ, f"OTEL_PYTHON_CODOMON_{variable}": value}

    shown = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )

    assert shown.stdout.strip() == expected


def test_our_parent_is_not_watched(recorder: Recorder) -> None:
    with execution("parent", kind=Kind.COMMAND) as current:
        current.attach(os.getppid())

    assert usage_of(recorder).cpu_seconds is None


def test_a_child_that_was_waited_for_before_it_was_attached_is_absent(recorder: Recorder) -> None:
    with execution("gone", kind=Kind.COMMAND) as current:
        with subprocess.Popen(["true"]) as child:
            child.wait()
        current.attach(child)

    assert usage_of(recorder).peak_memory_bytes is None
