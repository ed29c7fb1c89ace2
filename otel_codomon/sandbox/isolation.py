"""Put a command inside bubblewrap: its own view of the machine, without network."""

from __future__ import annotations

import glob
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from otel_codomon.errors import InvalidArgumentError
from otel_codomon.resources.labels import SandboxType
from otel_codomon.sandbox.bubblewrap import find_bubblewrap, is_within
from otel_codomon.sandbox.call_filter import call_filter
from otel_codomon.sandbox.command import Wrapper
from otel_codomon.sandbox.programs import add_ons, files_of, installation_of
from otel_codomon.sandbox.shown import can_be_covered, depth, exposed_homes, resolve_shown
from otel_codomon.sandbox.toolchains import UnavailableError
from otel_codomon.sandbox.wrapping import FILTER_FD, TOLD_FD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from otel_codomon.resources.limits import Limits
    from otel_codomon.sandbox.command import Command
    from otel_codomon.sandbox.process_exit import ProcessExit
    from otel_codomon.words import Isolation

# What `isolation=` may be, and what it makes of the sandbox type.
SANDBOX_TYPES: Final[Mapping[Isolation, SandboxType]] = {
    "none": SandboxType.PROCESS,
    "bubblewrap": SandboxType.BUBBLEWRAP,
}

# The system, and of /etc only what programs need to start: the rest may hold
# secrets that are readable to whoever runs this.
_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS: Final = (
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
    *("/etc/localtime", "/etc/timezone", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group"),
    *("/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/java*"),
)
_BY_SIGNAL: Final = 128
_LAST_SIGNAL: Final = 64
_SAID_BYTES: Final = 200
_SEE_NAMESPACES: Final = "check whether user namespaces are allowed here"
_SEE_PROGRAM: Final = (
    "an isolated command cannot see the program, the target of its link, or the interpreter that "
    "it names"
)
_MIB: Final = 1024 * 1024
# Memory that nobody else is charged with, so it is bounded; /dev/shm is Docker's.
_TMPFS_BYTES: Final = 256 * _MIB
_SHARED_MEMORY_BYTES: Final = 64 * _MIB
_EMPTY_BYTES: Final = 4096  # for mount points alone

_OPTIONS: Final = (
    # Each by its own name: --unshare-all asks for user and cgroup namespaces only
    # where they can be had.
    *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
    # No cgroup is mounted inside: this one hides but the name of the caller's.
    "--unshare-cgroup-try",
    *("--disable-userns", "--assert-userns-disabled"),  # no namespaces inside these
    *("--cap-drop", "ALL"),
    *("--hostname", "sandbox"),
    "--clearenv",
    "--die-with-parent",
    "--new-session",  # no terminal to push characters into (CVE-2017-5226)
    *("--seccomp", str(FILTER_FD)),
    *("--json-status-fd", str(TOLD_FD)),
)
# Root owns these files also without any capability: what is written to
# /proc/sys/kernel/core_pattern is run on the host.
_READ_ONLY: Final = ("/proc/sys", "/proc/fs", "/proc/irq", "/proc/bus", "/proc/driver")
_EMPTY: Final = ("/proc/acpi", "/proc/asound", "/proc/scsi")
# About the whole machine, or the keys of the user, or commands to the kernel.
_HIDDEN: Final = (
    *("/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/kmsg", "/proc/kpagecgroup"),
    *("/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats", "/proc/mtrr"),
    *("/proc/pagetypeinfo", "/proc/sched_debug", "/proc/slabinfo", "/proc/sysrq-trigger"),
    *("/proc/timer_list", "/proc/timer_stats", "/proc/vmallocinfo"),
)


def isolate(
    command: Command,
    *,
    writable: Iterable[str],
    readable: Iterable[str] = (),
) -> Command:
    """Return the command that runs *command* inside bubblewrap.

    Args:
        command: What to run.
        writable: Directories it may write to, where they are.
        readable: Files and directories it may read, besides the system and its own program.

    Raises:
        UnavailableError: It cannot be isolated here, or would be shown too much.
    """
    try:
        cwd = resolve_shown(command.cwd, argument="cwd", environ=os.environ)
        writable = [resolve_shown(p, argument="writable", environ=os.environ) for p in writable]
        readable = [resolve_shown(p, argument="readable", environ=os.environ) for p in readable]
    except InvalidArgumentError as error:
        raise UnavailableError(str(error)) from None
    filter_ = call_filter()
    if filter_ is None:
        raise UnavailableError(
            "cannot isolate with bubblewrap: the system calls of this machine are not known; "
            "use x86_64, aarch64 or riscv64 with 64-bit programs"
        )
    wrapper = Wrapper(
        path=find_bubblewrap(os.environ.get("PATH"), writable=writable),
        options=(*_OPTIONS, *_file_system(command, writable=writable, readable=readable)),
        call_filter=filter_,
    )
    return replace(command, cwd=cwd, wrapper=wrapper)


def _file_system(
    command: Command, *, writable: Sequence[str], readable: Sequence[str]
) -> Iterator[str]:
    """From the outermost to the innermost: each mount covers what was there before."""
    size = _tmpfs_bytes(command.limits)
    files = files_of(command.path, writable=writable)
    system = (*_SYSTEM, *add_ons(files))
    covered = exposed_homes(os.environ, shown=system)
    home = os.path.normpath(command.env.get("HOME") or "/")
    own = (home,) if can_be_covered(home, shown=system) else ()
    for path in (*system, *_expanded(_SETTINGS)):
        yield from ("--ro-bind-try", path, path)
    yield from ("--proc", "/proc")
    yield from _kernel_files()
    yield from ("--dev", "/dev")
    yield from _tmpfs("/dev/shm", min(size, _SHARED_MEMORY_BYTES))  # noqa: S108 - a private one
    yield from ("--remount-ro", "/dev")
    yield from _tmpfs("/tmp", size)  # noqa: S108 - as above
    for path in sorted({*covered, *own}, key=depth):
        yield from _tmpfs(path, size if path in own else _EMPTY_BYTES)
    hidden = (*covered, *own)
    needed = [part for part in installation_of(files) if _is_missing(part, hidden, writable)]
    yield from _binds(writable, [*needed, *readable])
    for path in ({"/"} | {*covered}).difference(own):  # what lies between the mounts
        yield from ("--remount-ro", path)


def _is_missing(part: str, hidden: Iterable[str], writable: Iterable[str]) -> bool:
    """Whether *part* of a program is not seen unless it is named."""
    if any(is_within(part, place) for place in writable):
        return False
    seen = (*_SYSTEM, *_expanded(_SETTINGS))
    is_hidden = any(is_within(part, home) for home in hidden)
    return is_hidden or not any(is_within(part, place) for place in seen)


def _tmpfs(path: str, size_bytes: int) -> tuple[str, ...]:
    return ("--size", str(size_bytes), "--tmpfs", path)


def _tmpfs_bytes(limits: Limits) -> int:
    """How much each of its own temporary file systems holds, bytes."""
    size = limits.disk_bytes or _TMPFS_BYTES
    return min(size, limits.memory_bytes or size)


def _kernel_files() -> Iterator[str]:
    """Of /proc what is not of the command's own processes."""
    for path in filter(os.path.exists, _READ_ONLY):
        yield from ("--ro-bind", path, path)
    for path in filter(os.path.exists, _EMPTY):
        yield from (*_tmpfs(path, _EMPTY_BYTES), "--remount-ro", path)
    for path in filter(os.path.exists, _HIDDEN):
        yield from ("--ro-bind", "/dev/null", path)  # a device that cannot be opened there


def _binds(writable: Iterable[str], readable: Iterable[str]) -> Iterator[str]:
    """Outer directories first, so that none covers one that is named besides."""
    rows = dict.fromkeys(readable, "--ro-bind-try") | dict.fromkeys(writable, "--bind")
    for path in sorted(rows, key=depth):
        yield from (rows[path], path, path)


def unwrap(process_exit: ProcessExit) -> ProcessExit:
    """Return how the command within bubblewrap ended, from how bubblewrap did.

    Bubblewrap reports a signal as a shell does, as 128+n, which a command may
    also say of itself: it is taken for the signal.

    Args:
        process_exit: How bubblewrap ended.

    Raises:
        UnavailableError: Bubblewrap did not start the command.
    """
    code = process_exit.returncode
    if code is None or code < 0:
        return process_exit
    if (
        not process_exit.was_inside
        and code == 1
        and not (process_exit.timed_out or process_exit.cancelled)
    ):
        said = " ".join(process_exit.errors.kept[:_SAID_BYTES].decode("utf-8", "replace").split())
        raise UnavailableError(
            f"cannot isolate with bubblewrap: it did not start the command{said and ': '}{said}; "
            f"{_SEE_PROGRAM if 'execvp' in said else _SEE_NAMESPACES}"
        )
    number = code - _BY_SIGNAL
    return replace(process_exit, status=number) if 0 < number <= _LAST_SIGNAL else process_exit


def _expanded(patterns: Iterable[str]) -> Iterator[str]:
    for pattern in patterns:
        yield from glob.glob(pattern) if "*" in pattern else [pattern]  # noqa: PTH207 - strings
