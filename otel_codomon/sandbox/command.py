"""One command, ready to be started: a value, and the facts of it that the kernel holds."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_codomon.resources.limits import Limits
from otel_codomon.sandbox.fork_bombs import bound_of_user
from otel_codomon.sandbox.rlimits import (
    RLIMIT_RSS,
    inner_limits,
    limiting_words,
    no_dump,
    resource_limits,
)
from otel_codomon.sandbox.wrapping import OPTIONS_FD, WRAPPING_PROCESSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from otel_codomon.sandbox.rlimits import RlimitRow

    OutputReader = Callable[[memoryview], None]

# Of each stream, when nobody says: enough for a person, and a million of them fit.
DEFAULT_OUTPUT_BYTES: Final = 1024 * 1024
# From SIGTERM to SIGKILL: as long as most programs take to close their files.
GRACE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper:
    """Bubblewrap around a command.

    Attributes:
        path: The program.
        options: Its arguments, except the command's environment and limits.
        call_filter: The filter of system calls: see `call_filter`.
    """

    path: str
    options: tuple[str, ...]
    call_filter: bytes


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
        wrapper: Bubblewrap, where the command is to run inside.
        held: Fields of *limits* that the kernel holds on its whole tree by itself.
        places: Directories in which `Limits.disk_bytes` counts.
        cpu_counter: File in which the kernel counts the CPU time of its cgroup;
            empty for none.
        readers: Take what it writes to standard output and to standard error, as it comes.
    """

    path: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    stdin: bytes = b""
    limits: Limits = field(default_factory=Limits)
    cgroups: tuple[str, ...] = ()
    wrapper: Wrapper | None = None
    held: frozenset[str] = frozenset()
    places: tuple[str, ...] = ()
    cpu_counter: str = ""
    readers: tuple[OutputReader | None, OutputReader | None] = (None, None)

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
    limits = replace(command.limits, **dict.fromkeys(command.held))
    marking = [] if mark is None else [(RLIMIT_RSS, mark, mark)]
    bound = () if command.cgroups else bound_of_user(limits.processes)
    yield from _program(command, [*resource_limits(limits), *bound, *marking])
    for path in command.cgroups:
        yield b"cgroup=" + os.fsencode(path)
    yield b"cpu=%r" % (limits.cpu_seconds or 0)
    yield b"memory=%d" % (limits.memory_bytes or 0)
    yield b"processes=%d" % (limits.processes or 0)
    yield b"disk=%d" % (limits.disk_bytes or 0)
    for place in command.places:
        yield b"place=" + os.fsencode(place)
    yield b"counter=" + os.fsencode(command.cpu_counter)
    yield b"spare=%d" % (0 if command.wrapper is None else WRAPPING_PROCESSES)
    yield b"grace=%r" % GRACE_SECONDS
    yield b"host=%d" % host_pid


def _program(command: Command, rlimits: list[RlimitRow]) -> Iterator[bytes]:
    """What is started, in which environment and directory, and its limits as a process."""
    if command.wrapper is None:
        words: Sequence[str] = (command.path, *command.argv)
        for name, value in command.env.items():
            yield b"env=" + os.fsencode(name) + b"=" + os.fsencode(value)
        yield b"cwd=" + os.fsencode(command.cwd)
    else:
        wrapped = wrap(command, command.wrapper, rlimits)
        words, rlimits = (command.wrapper.path, *wrapped.argv), wrapped.rlimits
        yield b"cwd=/"
        yield b"filter=" + command.wrapper.call_filter.hex().encode("ascii")
        for option in wrapped.options:
            yield b"option=" + os.fsencode(option)
    for word in words:
        yield b"arg=" + os.fsencode(word)
    for which, soft, hard in rlimits:
        yield b"rlimit=%d %d %d" % (which, soft, hard)


# --- inside bubblewrap ----------------------------------------------------------


class Wrapped(NamedTuple):
    """How bubblewrap is started so that it starts a command.

    Attributes:
        argv: Its name and arguments. Any user can read these: they hold
            nothing but what the command itself is started with.
        options: What it reads from `OPTIONS_FD`: directories and variables.
        rlimits: The limits that it inherits to the command.
    """

    argv: list[str]
    options: list[str]
    rlimits: list[RlimitRow]


def wrap(command: Command, wrapper: Wrapper, rlimits: Iterable[RlimitRow]) -> Wrapped:
    """Return how *wrapper* is started so that it starts *command* under *rlimits*.

    Those that could keep bubblewrap itself from its work are set inside.
    """
    outside = [no_dump(row) for row in rlimits if row[0] not in inner_limits()]
    inside = [row for row in rlimits if row[0] in inner_limits()]
    variables = [word for name, value in command.env.items() for word in ("--setenv", name, value)]
    return Wrapped(
        argv=[
            *("bwrap", "--args", str(OPTIONS_FD), "--"),
            *limiting_words(inside),
            *(command.path, *command.argv[1:]),
        ],
        options=[*wrapper.options, *variables, "--chdir", command.cwd],
        rlimits=outside,
    )
