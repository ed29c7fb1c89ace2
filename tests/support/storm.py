"""Start programs in a storm of signals, whose handler runs an execution each time.

Usage: storm.py DIRECTORY FIRST COUNT. Each program has a directory of its own
below DIRECTORY: its journal, and ``returned``, the span ids of the executions
that returned. Two run at a time; each is a fork of this process, which has
imported what is not ours, and imports the package itself.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

_PERIOD_SECONDS: Final = 0.001
_AFTER_SECONDS: Final = 0.05
_HANG_SECONDS: Final = 300
_AT_A_TIME: Final = 2
_NOT_OURS: Final = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.instrumentation.utils",
    "opentelemetry.sdk.metrics",
    "opentelemetry.sdk.trace",
)


class Handler:
    """Runs an execution, unless it is running one already."""

    def __init__(self) -> None:
        self.returned: list[str] = []
        self.failures: list[str] = []
        self._is_busy = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_busy:  # one that takes longer than a millisecond would never end
            return
        self._is_busy = True
        try:
            self._run()
        finally:
            self._is_busy = False

    def _run(self) -> None:
        # Not imported here: CPython cannot import in a handler that interrupts an import.
        package = sys.modules.get("otel_codomon")
        execution = None if package is None else vars(package).get("execution")
        if execution is None:
            return
        try:
            with execution("in the handler") as current:
                pass
        except Exception as error:  # noqa: BLE001 - told to the test
            self.failures.append(repr(error))
            return
        if current.span_id is not None:
            self.returned.append(current.span_id)


def program(directory: Path, number: int) -> None:
    """One program: import, configure, run an execution, go on for a while."""
    faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True)
    os.environ["XDG_STATE_HOME"] = str(directory)
    handler = Handler()
    signal.signal(signal.SIGALRM, handler)
    # At another instant in each program.
    signal.setitimer(signal.ITIMER_REAL, (number % 97 + 1) / 97_000, _PERIOD_SECONDS)
    from otel_codomon import configure, execution

    configure(endpoint="http://127.0.0.1:9" if number % 2 else None, exit_timeout=0.1)
    with execution("first") as first:
        pass
    until = time.monotonic() + _AFTER_SECONDS
    while time.monotonic() < until:
        with execution("next"):
            pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    lines = [*handler.returned, first.span_id or "none"]
    (directory / "returned").write_text("\n".join(lines))
    (directory / "failures").write_text("\n".join(handler.failures))


def start(directory: Path, number: int) -> int:
    """Fork a program; its pid."""
    directory.mkdir()
    pid = os.fork()
    if pid:
        return pid
    with (directory / "errors").open("w") as errors:
        os.dup2(errors.fileno(), 2)
        code = 1
        try:
            program(directory, number)
            code = 0
        except BaseException as error:  # noqa: BLE001 - told to the test
            sys.stderr.write("".join(traceback.format_exception(error)))
        finally:
            sys.stderr.flush()
            os._exit(code)


def main(directory: Path, first: int, count: int) -> None:
    """Run the programs, and leave how each ended."""
    import_what_is_not_ours()
    running: dict[int, Path] = {}
    waiting = list(range(first, first + count))
    while waiting or running:
        while waiting and len(running) < _AT_A_TIME:
            number = waiting.pop()
            own = directory / str(number)
            running[start(own, number)] = own
        pid, status = os.wait()
        (running.pop(pid) / "status").write_text(str(os.waitstatus_to_exitcode(status)))


def import_what_is_not_ours() -> None:
    """Import what takes time, so that the storm falls upon us."""
    for name in _NOT_OURS:
        importlib.import_module(name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
