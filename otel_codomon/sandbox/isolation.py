"""Put a command inside bubblewrap: its own view of the machine, without network."""

from __future__ import annotations

import glob
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_codomon.sandbox.spawning import TOLD_FD
from otel_codomon.sandbox.toolchains import UnavailableError
from otel_codomon.values.execution import SandboxType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_codomon.sandbox.command import Command
    from otel_codomon.sandbox.ending import Ending

# What `isolation=` may be, and what it makes of the sandbox type.
ISOLATION: Final = {"none": SandboxType.PROCESS, "bubblewrap": SandboxType.BUBBLEWRAP}

# The system, and of /etc only what programs need to start: the rest may hold
# secrets that are readable to who runs this.
_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt")
_SETTINGS: Final = (
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
    *("/etc/localtime", "/etc/timezone", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group"),
    *("/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/java*"),
)
# Of an installation outside of the system: what runs, and none of what else
# lies there, such as credentials.
_INSTALLED: Final = ("bin", "lib", "lib64", "libexec", "include", "pyvenv.cfg")
_BY_SIGNAL: Final = 128
_LAST_SIGNAL: Final = 64
_SAID_BYTES: Final = 200
_OPTIONS: Final = (
    "--unshare-all",  # no network, and process ids, users and hosts of its own
    "--die-with-parent",
    "--new-session",  # no terminal to push characters into (CVE-2017-5226)
    *("--proc", "/proc"),
    *("--dev", "/dev"),
    *("--tmpfs", "/tmp"),  # noqa: S108 - a private one is the point
)


def isolate(
    command: Command,
    *,
    writable: Iterable[str],
    readable: Iterable[str] = (),
    is_telling: bool = True,
) -> Command:
    """Return the command that runs *command* inside bubblewrap.

    Args:
        command: What to run.
        writable: Folders it may write to, where they are.
        readable: Files and folders it may read, besides the system and its own program.
        is_telling: Whether bubblewrap says by `TOLD_FD`, which has to be open, how it went.

    Raises:
        UnavailableError: There is no bubblewrap here.
    """
    bubblewrap = shutil.which("bwrap", path=command.env.get("PATH"))
    if bubblewrap is None:
        raise UnavailableError(
            "cannot isolate with bubblewrap: no bwrap on the PATH; install the package bubblewrap"
        )
    shown = [*_SYSTEM, *_expanded(_SETTINGS), *_programs(command.path), *readable]
    words = [
        *_OPTIONS,
        *_private_home(command.env.get("HOME", "")),
        *(("--json-status-fd", str(TOLD_FD)) if is_telling else ()),
        *(word for path in shown for word in ("--ro-bind-try", path, path)),
        *(word for path in writable for word in ("--bind", path, path)),
        *("--remount-ro", "/"),  # what lies between the mounts
        *("--chdir", command.cwd, "--", command.path, *command.argv[1:]),
    ]
    return replace(command, path=bubblewrap, argv=("bwrap", *words), cwd="/", is_wrapped=True)


def _private_home(home: str) -> tuple[str, ...]:
    """An empty home folder to write to, where ours is none of the system's own."""
    is_apart = home.startswith("/") and home.strip("/") and not home.startswith(_SYSTEM)
    return ("--tmpfs", home) if is_apart else ()


def unwrap(ending: Ending, told: str) -> Ending:
    """Return how the command within bubblewrap ended, from how bubblewrap did.

    A signal is told by bubblewrap as a shell does, 128+n, which a command may
    also say of itself: it is taken for the signal.

    Args:
        ending: How bubblewrap ended.
        told: What it wrote to the file `Command.told`.

    Raises:
        UnavailableError: Bubblewrap did not start the command.
    """
    code = ending.returncode
    if code is None or code < 0:
        return ending
    if '"exit-code"' not in told and code == 1 and not (ending.timed_out or ending.cancelled):
        said = " ".join(ending.errors.kept[:_SAID_BYTES].decode("utf-8", "replace").split())
        raise UnavailableError(
            f"cannot isolate with bubblewrap: it did not start the command{said and ': '}{said}; "
            "see whether user namespaces are allowed here"
        )
    number = code - _BY_SIGNAL
    return replace(ending, status=number) if 0 < number <= _LAST_SIGNAL else ending


def _expanded(patterns: Iterable[str]) -> Iterator[str]:
    for pattern in patterns:
        yield from glob.glob(pattern) if "*" in pattern else [pattern]  # noqa: PTH207 - strings


def _programs(path: str) -> Iterator[str]:
    """What has to be seen for the program at *path* to start."""
    real = os.path.realpath(path)
    prefixes = {str(Path(place).parent.parent) for place in (path, real) if _is_installed(place)}
    if sys.executable and real == os.path.realpath(sys.executable):
        prefixes |= {sys.prefix, sys.base_prefix}
    for prefix in sorted(prefixes):
        if not prefix.startswith(_SYSTEM):
            yield from (f"{prefix}/{part}" for part in _INSTALLED)
    yield from (place for place in (path, real) if not _is_installed(place))


def _is_installed(path: str) -> bool:
    """Whether it lies with other programs, and its libraries beside them."""
    return Path(path).parent.name in ("bin", "sbin")
