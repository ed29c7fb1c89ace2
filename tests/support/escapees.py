"""Programs that misbehave, for commands under test."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

_PATIENCE_SECONDS = 120  # only a hang takes so long

# Leaves its session, its parent and every group, and ignores what can be
# ignored. Says its process id when all that is done.
ESCAPEE = """
import os, signal, sys, time
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.write(writer, b"%d" % os.getpid())
    os.close(writer)
    while True:
        time.sleep(1000)
os.close(writer)
print(os.read(reader, 20).decode(), flush=True)
"""

# The same, and then ignores SIGTERM itself.
STUBBORN = (
    ESCAPEE
    + """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
while True:
    time.sleep(1000)
"""
)


def is_alive(pid: int) -> bool:
    """Whether there is a process *pid*, be it a zombie."""
    return Path(f"/proc/{pid}").exists()


def stubborn_telling(path: Path) -> str:
    """`STUBBORN`, telling its two ids on the named pipe *path*."""
    opened = f"told = open({str(path)!r}, 'w')\nreader, "
    return STUBBORN.replace("reader, ", opened, 1).replace("flush=True", "flush=True, file=told")


def wait_until_dead(pid: int) -> None:
    """Wait until process *pid* runs no more, be it that nobody has waited for it yet."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], _PATIENCE_SECONDS)[0], f"{pid} lives on"
    finally:
        os.close(descriptor)


class NamedPipe:
    """A named pipe that the test reads; it never comes to an end."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._file = os.fdopen(os.open(path, os.O_RDWR), "rb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def number(self) -> int:
        """The next line, which is a number. Fails when nobody ever writes."""
        assert self._is_told(_PATIENCE_SECONDS), "nobody wrote"
        return int(self._file.readline())

    def numbers(self) -> list[int]:
        """The numbers that have been written by now."""
        found = []
        while self._is_told(0):
            found.append(self.number())
        return found

    def _is_told(self, seconds: float) -> bool:
        return bool(select.select([self._file], [], [], seconds)[0])
