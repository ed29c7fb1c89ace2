"""Run a command where there is no supervisor: macOS, Windows, frozen programs.

What it cannot do: adopt orphans, hold limits on a tree, or tell the totals of
a tree. Who leaves the process group and outlives its parent stays. The totals
are absent then, or the samples' (see `executions.watch`).
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final

import psutil

from otel_codomon.sandbox.capture import Capture
from otel_codomon.sandbox.command import GRACE_SECONDS
from otel_codomon.sandbox.ending import Ending

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.sandbox.cancellation import Cancellation
    from otel_codomon.sandbox.command import Command

_READ_BYTES: Final = 64 * 1024
# How often time and cancellation are looked at; `Popen.wait` polls the same.
_LOOK_SECONDS: Final = 0.05


def run_portable(
    command: Command,
    *,
    deadline: float | None,
    cancellation: Cancellation | None,
    on_start: Callable[[int], None],
) -> Ending:
    """Run *command*; as `supervised.run_supervised`, with the differences said above."""
    try:
        process = _start(command)
    except OSError as error:
        return Ending(failure=error.errno)
    captures = Capture(command.output_bytes), Capture(command.output_bytes)
    threads = [
        _pumping(_drain, process.stdout, captures[0]),
        _pumping(_drain, process.stderr, captures[1]),
        _pumping(_feed, process.stdin, command.stdin),
    ]
    timed_out = cancelled = False
    try:
        on_start(process.pid)
        timed_out, cancelled = _wait(process, deadline, cancellation)
    finally:
        left = _end_tree(process)
        for thread in threads:
            thread.join(GRACE_SECONDS)
    return Ending(
        pid=process.pid,
        status=_wait_status(process.returncode),
        timed_out=timed_out,
        cancelled=cancelled,
        left=left,
        output=captures[0].output(),
        errors=captures[1].output(),
    )


def _start(command: Command) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - starting what was asked for is the job
        command.argv,
        executable=command.path,
        stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=command.cwd,
        env=dict(command.env),
        start_new_session=os.name == "posix",
    )


def _pumping(pump: Callable[..., None], *args: object) -> threading.Thread:
    thread = threading.Thread(target=pump, args=args, daemon=True)
    thread.start()
    return thread


def _drain(stream: IO[bytes], capture: Capture) -> None:
    with stream:
        while piece := os.read(stream.fileno(), _READ_BYTES):
            capture.take(memoryview(piece))


def _feed(stream: IO[bytes] | None, data: bytes) -> None:
    if stream is not None:
        with suppress(OSError):  # it does not read: its own affair
            stream.write(data)
            stream.close()


def _wait(
    process: subprocess.Popen[bytes], deadline: float | None, cancellation: Cancellation | None
) -> tuple[bool, bool]:
    """Wait until it ends, or for a reason to end it: (out of time, cancelled)."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)
            return False, False
        if deadline is not None and time.monotonic() >= deadline:
            return True, False
        if cancellation is not None and cancellation.was_said:
            return False, True


def _end_tree(process: subprocess.Popen[bytes]) -> int:
    """End the tree as far as it can be seen; how many processes are left."""
    with suppress(psutil.Error):
        root = psutil.Process(process.pid)
        members = [*root.children(recursive=True), root]
        for member in members:
            with suppress(psutil.Error):
                member.terminate()
        _, left = psutil.wait_procs(members, GRACE_SECONDS)
        for member in left:
            with suppress(psutil.Error):
                member.kill()
        _, left = psutil.wait_procs(left, GRACE_SECONDS)
        process.wait()
        return len(left)
    process.wait()
    return 0


def _wait_status(returncode: int) -> int:
    """The wait status that means *returncode*."""
    return -returncode if returncode < 0 else returncode << 8
