"""Which directories may be shown to an isolated command, and which never.

Paths are compared by components, with all links resolved: what is mounted is
what was checked.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_codomon.errors import InvalidArgumentError
from otel_codomon.sandbox.bubblewrap import is_within

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Of these it is the whole that is refused: what lies below is the caller's to name.
_WHOLES: Final = frozenset(
    {"/boot", "/etc", "/home", "/run", "/tmp", "/var", "/var/lib", "/var/tmp"}  # noqa: S108 - refused
)
# The kernel's own files, with what lies below. Only shared memory is an ordinary directory.
_KERNEL: Final = ("/dev", "/proc", "/sys")
_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - named to be let through
# What the kernel makes up, wherever it is mounted.
_KERNEL_TYPES: Final = frozenset(
    {"bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devtmpfs", "efivarfs", "proc"}
    | {"pstore", "securityfs", "sysfs", "tracefs"}
)
# Where services may have their home: an empty one in their place would hide the system.
_SYSTEM: Final = (
    *("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/share"),
    *("/usr/local", "/bin", "/sbin", "/lib", "/lib64", "/etc", *_KERNEL),
)
# Accounts of people, by the convention of login.defs(5), and root's.
_FIRST_PERSON: Final = 1000


def resolve_shown(path: str, *, argument: str, environ: Mapping[str, str]) -> str:
    """Return the directory or file that *path* leads to, if it may be shown.

    Args:
        path: What the caller named.
        argument: What the caller named it as.
        environ: The environment of this process.

    Raises:
        InvalidArgumentError: It would show a home directory, the whole machine
            or the kernel's own files.
    """
    real = os.path.realpath(path)
    homes = protected_homes(environ)
    found = _what_it_shows(real, homes) or _way_into(path, real, (*homes, *_named_homes(environ)))
    if found is None:
        return real
    leads_to = "" if real == path else f" (a link to {real!r})"
    raise InvalidArgumentError(
        argument,
        f"cannot isolate with {argument} {path!r}{leads_to}: it would show {found} to the "
        "command; name a directory that holds only what the command works on",
    )


def _what_it_shows(real: str, homes: Iterable[str]) -> str | None:
    if real == "/":
        return "the whole machine"
    home = next((home for home in homes if is_within(home, real)), None)
    if home is not None:
        return f"the home directory {home!r}"
    if any(is_within(real, kernel) for kernel in _KERNEL):
        is_memory = is_within(real, _SHARED_MEMORY) and real != _SHARED_MEMORY
        return None if is_memory else "the kernel's own files"
    if real in _WHOLES:
        return "a whole directory of the system"
    mounted = next((point for point in _kernel_mounts() if is_within(point, real)), None)
    return None if mounted is None else f"the kernel's own files, mounted on {mounted!r},"


def _way_into(path: str, real: str, homes: Iterable[str]) -> str | None:
    """A link into a home, from where whoever made it need not have access to that home."""
    lexical = os.path.abspath(path)  # noqa: PTH100 - without its links resolved
    if any(is_within(lexical, home) for home in homes):
        return None
    home = next((home for home in homes if is_within(real, home)), None)
    return None if home is None else f"a part of the home directory {home!r}"


def _kernel_mounts() -> Iterator[str]:
    """Where file systems of the kernel are mounted: a directory is shown with what is below it."""
    with suppress(OSError):  # no /proc here
        for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
            before, _, after = line.partition(" - ")
            if after.partition(" ")[0] in _KERNEL_TYPES:
                # Spaces and the like are written as octal numbers, proc(5).
                yield re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), before.split()[4])


def protected_homes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Home directories that are never shown: this user's, and those of other people.

    HOME may be unset or say anything, so the password database is asked too.
    """
    resolved = set(map(os.path.realpath, _named_homes(environ)))
    return tuple(sorted(home for home in resolved if home != "/"))


def _named_homes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The same as they are named, links and all."""
    named = (environ.get("HOME", ""), *_homes_of_people(os.getuid(), os.geteuid()))
    return tuple(
        os.path.normpath(home) for home in named if home.startswith("/") and home.strip("/")
    )


@cache
def _homes_of_people(*own: int) -> tuple[str, ...]:
    import pwd  # noqa: PLC0415 - not on every platform

    return tuple(
        entry.pw_dir
        for entry in pwd.getpwall()
        if entry.pw_uid in (*own, 0) or entry.pw_uid >= _FIRST_PERSON
    )


def exposed_homes(environ: Mapping[str, str], *, shown: Iterable[str]) -> tuple[str, ...]:
    """Homes that lie within what is shown of the system, and have to be covered there."""
    system = tuple(shown)
    return tuple(
        home
        for home in protected_homes(environ)
        if any(is_within(home, place) for place in system) and can_be_covered(home, shown=system)
    )


def can_be_covered(home: str, *, shown: Iterable[str]) -> bool:
    """Whether an empty directory may be mounted as *home*, and hides nothing of the system.

    Args:
        home: A path.
        shown: What is shown of the system, read-only: nothing new can be made there.
    """
    if not home.startswith("/") or home == "/" or any(is_within(home, each) for each in _KERNEL):
        return False
    hides = any(is_within(system, home) for system in _SYSTEM)
    is_fixed = any(is_within(home, place) for place in shown)
    return not hides and (not is_fixed or Path(home).is_dir())


def depth(path: str) -> int:
    """How many directories *path* is below the root."""
    return path.rstrip("/").count("/")
