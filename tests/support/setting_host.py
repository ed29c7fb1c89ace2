"""The process in which a behaviour program runs; started by `settings`, in one setting.

Usage: setting_host.py SETTING PROGRAM RESULT JOURNAL. PROGRAM is a file of
Python that defines ``behave()``; what that returns, and the executions of a
recorder, are written to RESULT as JSON. The other settings have a journal.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import multiprocessing
import os
import pkgutil
import runpy
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY: Final = 65534
_DEAD_ENDPOINT: Final = "http://127.0.0.1:9"
_PR_SET_DUMPABLE: Final = 4


def behave(program: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Run the program, and return what it returns."""
    return runpy.run_path(program)["behave"]()


def write(result: str, value: object, executions: object = None) -> None:
    """Leave the result whole, or not at all."""
    text = json.dumps({"value": value, "executions": executions})
    Path(f"{result}.new").write_text(text)
    Path(f"{result}.new").rename(result)


def _in_recorder(program: str, result: str) -> None:
    from otel_codomon.testing import Recorder

    with Recorder() as recorder:
        value = behave(program)
    spans = [
        {"name": e.labels.name, "outcome": e.outcome, "attributes": e.attributes}
        for e in recorder.executions()
    ]
    write(result, value, spans)


def _in_journal(program: str, result: str, endpoint: str | None = None) -> None:
    from otel_codomon import configure

    configure(service_name="setting", endpoint=endpoint)
    write(result, behave(program))


def _with_dead_endpoint(program: str, result: str) -> None:
    _in_journal(program, result, _DEAD_ENDPOINT)


def _with_distro(program: str, result: str) -> None:
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = _DEAD_ENDPOINT
    from opentelemetry.distro import OpenTelemetryConfigurator, OpenTelemetryDistro

    OpenTelemetryDistro().configure()
    OpenTelemetryConfigurator().configure()  # type: ignore[no-untyped-call] # has no types
    _in_journal(program, result)


def _with_logfire(program: str, result: str) -> None:
    import logfire

    logfire.configure(send_to_logfire=False, console=False, inspect_arguments=False)
    _in_journal(program, result)


def _as_nobody(program: str, result: str) -> None:
    """As an ordinary user, whom the interpreter of a root user lets read nothing."""
    _import_everything()
    Path(result).parent.chmod(0o777)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    # As any process has it that was started by its user.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    _in_journal(program, result)


def _import_everything() -> None:
    import otel_codomon

    for module in pkgutil.walk_packages(otel_codomon.__path__, "otel_codomon."):
        if module.name.rpartition(".")[2] not in {"__main__", "mcp"}:
            try:
                importlib.import_module(module.name)
            except ImportError:  # of a library that is not installed
                continue
    for name in otel_codomon.__all__:
        getattr(otel_codomon, name)
    for name in ("asyncio", "concurrent.futures.thread", "subprocess", "encodings.idna"):
        importlib.import_module(name)


def _beside_busy_threads(program: str, result: str) -> None:
    """One thread computes, another starts children and waits for them."""
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1000))
            time.sleep(0.001)  # lets the others have the interpreter

    def start_children() -> None:
        while not stop.is_set():
            pid = os.posix_spawn("/bin/sh", ["sh", "-c", BURN_10_MS], {})
            os.waitpid(pid, 0)

    threads = [threading.Thread(target=work) for work in (compute, start_children)]
    for thread in threads:
        thread.start()
    try:
        _in_journal(program, result)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


BURN_10_MS: Final = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done"


def _after_fork(program: str, result: str) -> None:
    from otel_codomon import configure, execution

    configure(service_name="setting")
    with execution("in the parent"):
        pid = os.fork()
        if not pid:
            write(result, behave(program))
            os._exit(0)
        os.waitpid(pid, 0)


def _in_spawned_child(program: str, result: str) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_in_journal, args=(program, result))
    child.start()
    child.join()
    sys.exit(child.exitcode)


def _ended_by(end: Callable[[], None]) -> Callable[[str, str], None]:
    def run(program: str, result: str) -> None:
        _in_journal(program, result)
        end()

    return run


def _kill_by(number: signal.Signals) -> Callable[[], None]:
    def end() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        time.sleep(60)

    return end


HOSTS: Final[dict[str, Callable[[str, str], None]]] = {
    "recorder": _in_recorder,
    "journal": _in_journal,
    "dead endpoint": _with_dead_endpoint,
    "distro": _with_distro,
    "logfire": _with_logfire,
    "ordinary user": _as_nobody,
    "busy threads": _beside_busy_threads,
    "warnings as errors": _in_journal,
    "after fork": _after_fork,
    "spawned child": _in_spawned_child,
    "ended by SIGTERM": _ended_by(_kill_by(signal.SIGTERM)),
    "ended by os._exit": _ended_by(lambda: os._exit(0)),
    "ended by SIGKILL": _ended_by(_kill_by(signal.SIGKILL)),
}


if __name__ == "__main__":
    HOSTS[sys.argv[1]](sys.argv[2], sys.argv[3])
