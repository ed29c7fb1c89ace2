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
from otel_codomon.instrumentation import CodomonInstrumentor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MICRO = 1e6
_ROUNDS = 600
_CALLS = 5


def _run() -> None:
    subprocess.run(["true"], check=True)


def _spawn() -> None:
    os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)


def _system() -> None:
    os.system("true")


_STARTS: dict[str, Callable[[], None]] = {
    'subprocess.run(["true"])': _run,
    "os.posix_spawn and os.waitpid": _spawn,
    'os.system("true")': _system,
}


def _cpu_seconds(function: Callable[[], object], calls: int) -> float:
    """CPU time of this process for one call: the wall clock has the noise of a fork in it."""
    begin = time.process_time()
    for _ in range(calls):
        function()
    return (time.process_time() - begin) / calls


def observed() -> Iterator[Row]:
    """Each way to start a process, observed and not, beside a decorated no-op."""
    instrumentor = CodomonInstrumentor()
    tracers, meters = _providers()
    decorated = execution(_noop)
    for name, start in _STARTS.items():
        extra: list[float] = []
        peer: list[float] = []
        with providers.providers(tracers, meters):
            for _ in range(_ROUNDS // _CALLS):
                bare = _cpu_seconds(start, _CALLS)
                instrumentor.instrument(tracer_provider=tracers, meter_provider=meters)
                extra.append(_cpu_seconds(start, _CALLS) - bare)
                instrumentor.uninstrument()
                peer.append(_cpu_seconds(decorated, _CALLS * 10))
        bar = 1.2 if start is _run else None
        yield Row(
            f"{name}, on top of it",
            statistics.median(extra) * _MICRO,
            statistics.median(peer) * _MICRO,
            "us",
            bar,
            "a decorated no-op",
        )


if __name__ == "__main__":
    print_table("A process that is observed with no change to the program", observed())
