"""Cgroups: one of our own for an execution, or a look into somebody else's.

The kernel accounts a cgroup exactly, children that lived five milliseconds and
daemons included. Version 2 is used as it stands below our own cgroup; on hosts
with version 1 (or both) one folder is made in each controller that counts.

Imports only what Python has loaded anyway: `otel-codomon run` makes a cgroup
before it starts its command.
"""

from __future__ import annotations

import os
import time

from otel_codomon._platform.cgroup_files import FILES, LIVE_FILES, UNIFIED, CgroupTotals
from otel_codomon._platform.cgroup_folders import (
    bases_of,
    below,
    folders_of,
    is_cgroup,
    kill,
    make_folder,
    mounts,
    names_in,
    own_bases,
    pids_in,
    places_of,
    remove_folder,
    try_write,
    write,
)
from otel_codomon._platform.cgroup_limits import cores_limit, memory_limit_bytes, set_limit
from otel_codomon._platform.cgroup_names import is_of, is_owner_alive, new_name, own_prefix
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor

TYPE_CHECKING = False  # not from typing: its import takes as long as half a start of Python
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# What a killed tree of thousands takes to go; longer takes what cannot be killed.
_KILL_SECONDS = 2.0
# Where version 1 has these, version 2 beside it has no controllers of its own.
_COUNTED = frozenset({"cpuacct", "memory"})
# Folders of ours that would not go when they were to; tried again with the next.
_left: set[str] = set()


class Cgroup:
    """The folders of one cgroup, its files kept open once they have been read.

    None of the methods raises for what the kernel or another process does to
    it meanwhile: what cannot be read or written is missing.

    Attributes:
        folders: Controller, or `UNIFIED`, -> its folder.
        is_ours: Whether we made it, so that we also limit, kill and remove it.
    """

    __slots__ = ("_open", "folders", "is_ours")

    def __init__(self, folders: Mapping[str, str], *, is_ours: bool) -> None:
        self.folders = dict(folders)
        self.is_ours = is_ours
        self._open: dict[str, VerifiedDescriptor] = {}

    @property
    def procs(self) -> tuple[str, ...]:
        """The files a process joins by: write its pid, or ``0`` for the writer itself, to each."""
        return tuple(f"{folder}/cgroup.procs" for folder in dict.fromkeys(self.folders.values()))

    @property
    def entrances(self) -> tuple[str, ...]:
        """The files by which a process with one thread lets itself in: it writes ``0`` to each.

        A move by ``cgroup.procs`` waits for a grace period of the kernel, 5 to
        20 ms (`cgroup_procs_write_start` in kernel/cgroup/cgroup.c). Version 1
        spares it the thread that moves only itself, which ``tasks`` is for.
        """
        files = {
            folder: "cgroup.procs" if controller == UNIFIED else "tasks"
            for controller, folder in self.folders.items()
        }
        return tuple(f"{folder}/{file}" for folder, file in files.items())

    def join(self, pid: int = 0) -> None:
        """Move process *pid*, by default the calling one, in.

        Raises:
            OSError: The kernel refused; nothing that the process does is counted here.
        """
        for path in self.procs:
            write(path, str(pid))

    def totals(self, *, live: bool = False) -> CgroupTotals:
        """Read what it has used so far.

        Args:
            live: Read only what changes a picture of now: CPU time, memory, processes.
        """
        found: dict[str, int] = {}
        for folder, file, parse in LIVE_FILES if live else FILES:
            text = self._read(folder, file)
            if text is not None:
                found = {**parse(text), **found}
        return CgroupTotals(found)

    def memory_limit_bytes(self) -> int | None:
        """The memory limit that applies, of it or of those above it, bytes; None without one."""
        return memory_limit_bytes(self.folders)

    def cores_limit(self) -> float | None:
        """How many cores its quota, or that of those above it, lets it use; None without one."""
        return cores_limit(self.folders)

    def pids(self) -> tuple[int, ...]:
        """The processes in it and below it; empty when it is gone."""
        folder = next(iter(self.folders.values()))
        return tuple(sorted({pid for below_it in folders_of(folder) for pid in pids_in(below_it)}))

    def limit(
        self,
        *,
        memory_bytes: int | None = None,
        processes: int | None = None,
        cores: float | None = None,
    ) -> tuple[str, ...]:
        """Have the kernel hold the whole tree to these limits.

        Args:
            memory_bytes: Memory, swap included, bytes.
            processes: Processes and threads at one time.
            cores: CPU time per time.

        Returns:
            The names of the limits that now hold.
        """
        wanted = {"memory_bytes": memory_bytes, "processes": processes, "cores": cores}
        return tuple(
            name
            for name, value in wanted.items()
            if value is not None and set_limit(self.folders, name, value)
        )

    @property
    def cpu_counter(self) -> str:
        """The file that tells the CPU time of all that ever were in it; empty without one."""
        for controller, file in (("cpuacct", "cpuacct.usage"), (UNIFIED, "cpu.stat")):
            if controller in self.folders:
                return f"{self.folders[controller]}/{file}"
        return ""

    def kill(self) -> bool:
        """End every process in it with SIGKILL, those that it starts in the meantime included.

        Returns:
            Whether none is left, after a few seconds at most.
        """
        if not self._members():
            return True
        unified = self.folders.get(UNIFIED)
        at_once = unified is not None and try_write(f"{unified}/cgroup.kill", "1")
        if self.is_ours and "pids" in self.folders:
            try_write(f"{self.folders['pids']}/pids.max", "0")  # no more forks
        until = time.monotonic() + _KILL_SECONDS
        while pids := self._members():
            if time.monotonic() >= until:
                return False
            if not at_once:
                self._kill_frozen(pids)
            time.sleep(0.002)
        return True

    def _kill_frozen(self, pids: Iterable[int]) -> None:
        """Kill *pids* while nothing in the cgroup can run, and so outrun us by forking."""
        freezer = self.folders.get("freezer")
        state = f"{freezer}/freezer.state"
        if freezer is not None and try_write(state, "FROZEN"):
            pids = self._members()
        for pid in pids:
            kill(pid)
        if freezer is not None:
            try_write(state, "THAWED")  # only now do they get the signal

    def _members(self) -> set[int]:
        """The processes in any of its folders, those that left one of them included."""
        return {
            pid
            for top in dict.fromkeys(self.folders.values())
            for folder in folders_of(top)
            for pid in pids_in(folder)
        }

    def remove(self) -> bool:
        """Close its files and, if it is ours, remove its folders.

        Returns:
            Whether nothing is left. What is left, because a process in it will
            not die, is removed by a later `clean_up`.
        """
        self.close()
        if not self.is_ours:
            return True
        folders = dict.fromkeys(self.folders.values())
        left = [folder for folder in folders if not remove_folder(folder)]
        _left.update(left)
        return not left

    def close(self) -> None:
        """Close its files; a later look opens them again."""
        files, self._open = self._open, {}
        for kept in files.values():
            kept.close()

    def _read(self, folder: str, file: str) -> bytes | None:
        if folder not in self.folders:
            return None
        path = f"{self.folders[folder]}/{file}"
        try:
            kept = self._open.get(path)
            if kept is None or not kept.is_ours:
                opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                kept = self._open[path] = VerifiedDescriptor(opened)
            return os.pread(kept.number, 1 << 16, 0)
        except OSError:  # not told by this kernel, or removed meanwhile
            return None


# --- making and finding them --------------------------------------------------


def create(execution_id: str = "") -> Cgroup | None:
    """Make a cgroup of our own for one execution, below the one we are in.

    Also removes what processes that died have left there.

    Args:
        execution_id: Whose it is, for its name; empty for nobody's. What no
            name of a cgroup should have in it is ``_`` there, and a long id is cut.

    Returns:
        The new cgroup; None where none can be made: no cgroups, or no right to.
    """
    bases = own_bases()
    if not bases:
        return None
    _clean_up(bases)
    if bases.keys() >= _COUNTED:
        bases.pop(UNIFIED, None)  # nothing more is told there, and to get in takes 5 to 20 ms
    name = new_name(execution_id)
    folders: dict[str, str] = {}
    for controller, base in bases.items():
        folder = f"{base}/{name}"
        if folder in folders.values() or make_folder(folder):
            folders[controller] = folder
    made = Cgroup(folders, is_ours=True)
    if not {"cpuacct", UNIFIED} & folders.keys():
        made.remove()
        return None
    return made


def find(path: str) -> Cgroup | None:
    """The cgroup at *path*, of whomever it is; None if there is none.

    Args:
        path: Its folder: of version 2, or of one controller of version 1; the
            folders of the same name in the other controllers are found too.
    """
    path = os.path.realpath(path)
    for mount in mounts():
        relative = os.path.relpath(path, mount.point)
        if not relative.startswith("..") and is_cgroup(path):
            folders = {
                controller: below(other.point, relative)
                for other in mounts()
                for controller in other.controllers
                if mount.is_v2 == other.is_v2 and is_cgroup(below(other.point, relative))
            }
            return Cgroup(folders, is_ours=False)
    return None


def made_for(execution_id: str, *, pid: int) -> Cgroup | None:
    """The cgroup that process *pid* made for an execution; None if there is none, or not just one.

    Callers' own ids may differ in nothing but what no name of a cgroup has in it.
    """
    folders: dict[str, str] = {}
    for mount, base in bases_of(pid):
        found = [name for name in names_in(base) if is_of(name, execution_id, pid=pid)]
        if len(found) > 1:
            return None
        folders.update(
            (controller, f"{base}/{name}") for controller in mount.controllers for name in found
        )
    return Cgroup(folders, is_ours=False) if folders else None


def own() -> Cgroup | None:
    """The cgroup this process is in; None where there are no cgroups."""
    folders = {
        controller: below(mount.point, relative)
        for mount, relative in places_of(os.getpid())
        for controller in mount.controllers
    }
    return Cgroup(folders, is_ours=False) if folders else None


def clean_up() -> int:
    """Remove the cgroups that processes which died have left below ours, where they are empty.

    A cgroup that still has processes stays: they may be doing what they were
    started for.

    Returns:
        How many folders were removed.
    """
    return _clean_up(own_bases())


def _clean_up(bases: Mapping[str, str]) -> int:
    removed = 0
    mine = own_prefix() if bases else ""
    for base in set(bases.values()):
        for name in names_in(base):
            folder = f"{base}/{name}"
            is_left = folder in _left or not is_owner_alive(name)
            if name.startswith(mine) and is_left and remove_folder(folder, attempts=1):
                _left.discard(folder)
                removed += 1
    return removed
