"""Where cgroups are: the mounted hierarchies, our own place in them, and their folders."""

from __future__ import annotations

import os
import time

from otel_codomon._platform.cgroup_files import UNIFIED

TYPE_CHECKING = False  # not from typing: see `otel_codomon._platform.cgroups`
if TYPE_CHECKING:
    from collections.abc import Iterator

# What is counted or limited; a controller that is not there leaves a gap, no error.
CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "blkio", "io", "freezer")
_LINKS_OF_EMPTY = 2
REMOVE_ATTEMPTS = 50  # times 2 ms: what a killed tree of hundreds takes to go


class Mount:
    """One mounted hierarchy: where, which part of it, and the controllers on it."""

    __slots__ = ("controllers", "is_v2", "point", "root")

    def __init__(self, point: str, root: str, controllers: tuple[str, ...], *, is_v2: bool) -> None:
        self.point = point
        self.root = root
        self.controllers = controllers
        self.is_v2 = is_v2


def mounts() -> list[Mount]:
    """The mounted hierarchies, from ``/proc/self/mountinfo`` (proc(5))."""
    found = []
    for line in _lines("/proc/self/mountinfo"):
        left, _, right = line.partition(" - ")
        words, (kind, *_, options) = left.split(), right.split(" ", 2) if right else ("", "")
        if kind == "cgroup2":
            found.append(Mount(words[4], words[3], (UNIFIED,), is_v2=True))
        elif kind == "cgroup":
            present = tuple(c for c in CONTROLLERS if c in options.split(","))
            if present:
                found.append(Mount(words[4], words[3], present, is_v2=False))
    return found


def places_of(pid: int) -> Iterator[tuple[Mount, str]]:
    """Each hierarchy, and the path below its mount point of the cgroup that process *pid* is in."""
    paths = {}
    for line in _lines(f"/proc/{pid}/cgroup"):
        _, controllers, path = line.split(":", 2)
        paths[controllers] = path
    for mount in mounts():
        for controllers, path in paths.items():
            is_this = (
                not controllers if mount.is_v2 else mount.controllers[0] in controllers.split(",")
            )
            relative = os.path.relpath(path, mount.root) if is_this else ".."
            if not relative.startswith(".."):
                yield mount, relative


def bases_of(pid: int) -> Iterator[tuple[Mount, str]]:
    """Each hierarchy, and the folder in which process *pid* may make cgroups."""
    for mount, relative in places_of(pid):
        base = below(mount.point, relative)
        yield mount, _delegated(base) if mount.is_v2 else base


def own_bases() -> dict[str, str]:
    """Controller -> the folder in which we may make cgroups of our own."""
    bases = {}
    for mount, base in bases_of(os.getpid()):
        if mount.is_v2:
            _enable_controllers(base)
        for controller in mount.controllers:
            bases[controller] = base
    return bases


def _delegated(base: str) -> str:
    """The folder above *base* if systemd has put us in a leaf of what it delegated to us.

    Controllers cannot be enabled in a cgroup that has processes itself; a unit
    with ``Delegate=`` and ``DelegateSubgroup=`` is made for that and marked so.
    """
    above = os.path.dirname(base)
    marks = ("user.delegate", "trusted.delegate")
    return above if any(_is_marked(above, mark) for mark in marks) else base


def _is_marked(folder: str, mark: str) -> bool:
    try:
        return os.getxattr(folder, mark) == b"1"
    except OSError:  # not marked, or not for us to know
        return False


def _enable_controllers(base: str) -> None:
    """Have the cgroups below *base* count memory, processes and input and output too."""
    try:
        present = read_text(f"{base}/cgroup.controllers").split()
        enabled = read_text(f"{base}/cgroup.subtree_control").split()
    except OSError:
        return
    for controller in ("cpu", "memory", "pids", "io"):
        if controller in present and controller not in enabled:
            # Refused where the cgroup has processes of its own and is not the root.
            try_write(f"{base}/cgroup.subtree_control", f"+{controller}")


# --- files and folders --------------------------------------------------------


def below(point: str, relative: str) -> str:
    """The folder *relative* below a mount point."""
    return point if relative == "." else f"{point.rstrip('/')}/{relative}"


def is_cgroup(folder: str) -> bool:
    """A folder that could be made proves nothing, it may be on a tmpfs: this file does."""
    return os.path.exists(f"{folder}/cgroup.procs")


def make_folder(folder: str) -> bool:
    """Make the cgroup *folder*; whether it is one now."""
    try:
        os.mkdir(folder, 0o755)
    except OSError:
        return False
    if is_cgroup(folder):
        return True
    os.rmdir(folder)
    return False


def remove_folder(folder: str, *, attempts: int = REMOVE_ATTEMPTS) -> bool:
    """Remove *folder* and those that its members have made in it."""
    for attempt in range(attempts):
        if attempt:
            time.sleep(0.002)  # processes that were killed are still on their way out
        try:
            for below in reversed(folders_of(folder)):
                os.rmdir(below)
        except FileNotFoundError:  # somebody else was faster
            return True
        except OSError:
            continue
        return True
    return False


def folders_of(folder: str) -> list[str]:
    """*folder* and all folders below it, a parent before its children."""
    if _has_no_folders(folder):
        return [folder]
    return [
        folder,
        *(deeper for name in names_in(folder) for deeper in folders_of(f"{folder}/{name}")),
    ]


def _has_no_folders(folder: str) -> bool:
    """Whether its links say so, which takes a fifth of listing it: one for each, and two."""
    try:
        return os.stat(folder).st_nlink == _LINKS_OF_EMPTY
    except OSError:
        return True


def names_in(folder: str) -> list[str]:
    """Names of the cgroups directly below *folder*; empty when it is gone."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def upwards(folder: str) -> Iterator[str]:
    """*folder* and the cgroups above it, the nearest first."""
    while is_cgroup(folder):
        yield folder
        folder = os.path.dirname(folder)


def pids_in(folder: str) -> list[int]:
    """The processes in *folder* itself; empty when it is gone."""
    try:
        return [int(word) for word in read_text(f"{folder}/cgroup.procs").split()]
    except OSError:
        return []


def kill(pid: int) -> None:
    """End process *pid*, if it is there and ours to end."""
    try:
        os.kill(pid, 9)
    except OSError:  # gone meanwhile, or not ours to kill
        return


def _lines(path: str) -> list[str]:
    try:
        return read_text(path).splitlines()
    except OSError:
        return []


def read_text(path: str) -> str:
    """What is in a small file of the kernel.

    Raises:
        OSError: It is not there, or not for us.
    """
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def write(path: str, text: str) -> None:
    """Write *text* to a file of the kernel.

    Raises:
        OSError: The kernel refused.
    """
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def try_write(path: str, text: str) -> bool:
    """Write *text* to a file of the kernel; whether it took it."""
    try:
        write(path, text)
    except OSError:  # no such file in this version, or refused
        return False
    return True
