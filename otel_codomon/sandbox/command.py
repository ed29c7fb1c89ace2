"""One command, ready to be started: a value, and the facts of it that the kernel holds."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from otel_codomon.sandbox.rlimits import RLIMIT_RSS, resource_limits
from otel_codomon.values.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Of each stream, when nobody says: enough for a person, and a million of them fit.
DEFAULT_OUTPUT_BYTES: Final = 1024 * 1024
# From SIGTERM to SIGKILL: as long as most programs take to close their files.
GRACE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is to be started.

    Attributes:
        path: The program.
        argv: What it finds as its name and arguments.
        env: Its whole environment.
        cwd: Its working folder.
        stdin: What it reads; nothing when empty.
        limits: What it may use.
        cgroups: The files by which it enters its cgroups.
        is_wrapped: Whether it is bubblewrap with the command inside.
        told: File that it finds open as `spawning.TOLD_FD`; empty for none.
        held: Fields of *limits* that the kernel holds on its whole tree by itself.
        places: Directories in which `Limits.disk_bytes` counts.
        cpu_counter: File in which the kernel counts the CPU time of its cgroup;
            empty for none.
        spare_processes: Processes in its tree that are not its own, such as
            bubblewrap's, which `Limits.processes` does not count.
    """

    path: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    stdin: bytes = b""
    limits: Limits = field(default_factory=Limits)
    cgroups: tuple[str, ...] = ()
    is_wrapped: bool = False
    told: str = ""
    held: frozenset[str] = frozenset()
    places: tuple[str, ...] = ()
    cpu_counter: str = ""
    spare_processes: int = 0

    @property
    def output_bytes(self) -> int:
        """How much of each output stream is kept, bytes."""
        return self.limits.output_bytes or DEFAULT_OUTPUT_BYTES


def encode_command(command: Command, *, host_pid: int, mark: int | None = None) -> bytes:
    """Return *command* as the supervisor reads it: see `supervisor.Plan`.

    Args:
        command: What is to be started.
        host_pid: The process that asks.
        mark: What its processes are found by, see `survivors`; None for nothing.
    """
    data = b"".join(field + b"\0" for field in _fields(command, host_pid, mark))
    return b"%010d" % len(data) + data


def _fields(command: Command, host_pid: int, mark: int | None) -> Iterator[bytes]:
    for text in (command.path, *command.argv):
        yield b"arg=" + os.fsencode(text)
    for name, value in command.env.items():
        yield b"env=" + os.fsencode(name) + b"=" + os.fsencode(value)
    yield b"cwd=" + os.fsencode(command.cwd)
    yield b"told=" + os.fsencode(command.told)
    for path in command.cgroups:
        yield b"cgroup=" + os.fsencode(path)
    limits = replace(command.limits, **dict.fromkeys(command.held))
    marking = [] if mark is None else [(RLIMIT_RSS, mark, mark)]
    for which, soft, hard in (*resource_limits(limits), *marking):
        yield b"rlimit=%d %d %d" % (which, soft, hard)
    yield b"cpu=%r" % (limits.cpu_seconds or 0)
    yield b"memory=%d" % (limits.memory_bytes or 0)
    yield b"processes=%d" % (limits.processes or 0)
    yield b"disk=%d" % (limits.disk_bytes or 0)
    for place in command.places:
        yield b"place=" + os.fsencode(place)
    yield b"counter=" + os.fsencode(command.cpu_counter)
    yield b"spare=%d" % command.spare_processes
    yield b"grace=%r" % GRACE_SECONDS
    yield b"host=%d" % host_pid
