"""A thread of ours that dies is started again and reported once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from support.collector import PATIENT, Collector
from support.unmeasured import UNMEASURED
from support.user_program import Program

from otel_codomon._platform import threads_and_forks
from otel_codomon._platform.threads_and_forks import OwnThread

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_and_forks, "_RESTART_SECONDS", 0.0)


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3), MemoryError()])
def test_what_ends_a_thread_starts_it_again_and_is_reported_once(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    runs = iter([error, error, None])
    name = f"dies of {error!r}"

    def work() -> None:
        now = next(runs)
        if now is not None:
            raise now

    thread = OwnThread(work, name=name, restarts=True)
    thread.start()
    thread.join()

    assert next(runs, "none left") == "none left"
    (record,) = caplog.records
    assert f"the thread {name!r} died and is started again" in record.getMessage()


def test_a_thread_for_one_thing_is_not_started_again(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = []

    def work() -> None:
        runs.append(threading.current_thread())
        raise ValueError("broken")

    thread = OwnThread(work, name="for one thing")
    thread.start()
    thread.join()

    assert runs == [thread]
    assert len(caplog.records) == 1
    assert capfd.readouterr().err == ""


KILLS_THREADS = """
import ctypes, json, logging, subprocess, sys
records = []
logging.getLogger().addHandler(type("Keep", (logging.Handler,), {
    "emit": lambda self, record: records.append(record.getMessage())})())
from opentelemetry import trace
from otel_codomon import configure, execution
from otel_codomon._platform import threads_and_forks as ours
ours._RESTART_SECONDS = 0.0
made = configure()
def run(name):
    with execution(name, kind="command") as current, subprocess.Popen(["cat"], stdin=-1) as child:
        current.attach(child)
        with trace.get_tracer("program").start_as_current_span(name + " inside"):
            pass
run("before")
made.force_flush(100)
# Those that what follows wakes: an exception waits until its thread runs.
names = ("codomon-journal", "codomon-sender", "otel_codomon sampler")
threads = [thread for thread in ours._living.values() if thread.name in names]
with execution("during", kind="command") as current, subprocess.Popen(["cat"], stdin=-1) as child:
    current.attach(child)
    for thread in threads:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
    while len(records) < len(threads):
        with trace.get_tracer("program").start_as_current_span("woken"):
            pass
run("after")
assert made.force_flush(100)
print(json.dumps(sorted(records)))
# The sampler ends by itself when nothing runs.
print(all(thread.is_alive() for thread in threads if thread.name in names[:2]))
"""


def test_whatever_ends_the_threads_of_a_program_everything_goes_on(
    tmp_path: Path, collector: Collector
) -> None:
    # Unmeasured: an exception that arrives in a tracer is lost.
    program = Program(tmp_path, {**collector.environment(), **PATIENT, **UNMEASURED})

    done = program.run(KILLS_THREADS)

    assert (done.returncode, done.stderr) == (0, "")
    records, are_alive = done.stdout.splitlines()
    for name in ("codomon-journal", "codomon-sender", "otel_codomon sampler"):
        assert records.count(f"the thread '{name}' died") == 1
    assert are_alive == "True"
    names = {span.name for span in collector.spans()}
    assert {"before", "during", "after", "before inside", "after inside", "woken"} <= names
