"""What it costs to observe a process that a program starts, against a decorated call."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from typing import TYPE_CHECKING

from benchmarks.bench_execution import _noop, _providers
from benchmarks.measure import Row, print_table
from otel_codomon import execution
from otel_codomon.executions import providers
from otel_codomon.instrumentation import (
    os_posix_spawn_target,
    os_system_target,
    subprocess_target,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MICRO = 1e6
_ROUNDS = 60
_CALLS = 20


def _run() -> None:
    subprocess.run(["true"], check=True)


def _spawn() -> None:
    os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)


def _system() -> None:
    os.system("true")  # noqa: S605 - what is measured


_STARTS = {
    'subprocess.run(["true"])': (_run, subprocess_target),
    "os.posix_spawn and os.waitpid": (_spawn, os_posix_spawn_target),
    'os.system("true")': (_system, os_system_target),
}


def _cpu_seconds(function: Callable[[], object]) -> float:
    """CPU time of this process for one call: the wall clock has the noise of a fork in it."""
    begin = time.process_time()
    for _ in range(_CALLS):
        function()
    return (time.process_time() - begin) / _CALLS


def observed() -> Iterator[Row]:
    """Each way to start a process: observed, and as a decorated function that is not."""
    noop = execution(_noop)
    for name, (start, target) in _STARTS.items():
        decorated = execution(start)
        extra: list[float] = []
        peer: list[float] = []
        least: list[float] = []
        with providers.providers(*_providers()):
            for _ in range(_ROUNDS):
                bare = _cpu_seconds(start)
                target.enable()
                try:
                    extra.append(_cpu_seconds(start) - bare)
                finally:
                    target.disable()
                peer.append(_cpu_seconds(decorated) - bare)
                least.append(_cpu_seconds(noop))
        ours = statistics.median(extra) * _MICRO
        for figures, bar, note in (
            (peer, 1.2, "the same call in a decorated function, on top of it"),
            (least, None, "a decorated no-op, with warm caches and one measurement of four"),
        ):
            other = statistics.median(figures) * _MICRO
            yield Row(f"{name}, on top of it", ours, other, "us", bar, note)


if __name__ == "__main__":
    print_table("A process that is observed with no change to the program", observed())
