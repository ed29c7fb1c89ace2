"""A second real kernel: user-mode Linux, with the host's files as its root.

It has cgroup version 2 with all controllers, and it can lose power.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

_MARK = "the script ended with "
_ROOT = Path(__file__).parents[2]
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Booted:
    """What came out of one boot.

    Attributes:
        code: Exit code of the script; None if it did not get to its end.
        output: What it and the kernel printed.
    """

    code: int | None
    output: str


def boot(
    script: str,
    folder: Path,
    *,
    memory_mib: int = 1536,
    arguments: tuple[str, ...] = (),
    timeout: float = 900,
) -> Booted:
    """Run the shell *script* as the only thing on a kernel of its own.

    It finds ``/proc``, ``/sys`` and cgroup version 2 mounted, a memory file
    system on ``/run``, and ``$PYTHON``; every other file is the host's, and
    what it writes there is written here.

    Args:
        script: Bash.
        folder: A folder of the host for what the boot needs.
        memory_mib: The memory of the machine, MiB.
        arguments: More words for the kernel's command line, such as ``ubd1=…``.
        timeout: After so many seconds it is ended by force; only a hang takes so long.
    """
    with start(script, folder, memory_mib=memory_mib, arguments=arguments) as machine:
        try:
            output, _ = machine.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            cut_power(machine)
            output, _ = machine.communicate()
    _, found, rest = output.rpartition(_MARK)
    return Booted(int(rest.split()[0]) if found else None, output)


def start(
    script: str, folder: Path, *, memory_mib: int = 1536, arguments: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """Boot as `boot` does, and return while the machine runs."""
    program = shutil.which("linux.uml")
    if program is None:
        pytest.skip("needs user-mode Linux: apt-get install user-mode-linux")
    first = folder / "init"
    first.write_text(_INIT.format(python=shlex.quote(sys.executable), root=_ROOT, script=script))
    first.chmod(0o755)
    command = [program, "rootfstype=hostfs", "rootflags=/", "rw", f"mem={memory_mib}M"]
    command += [f"init={first}", "con=null", "con0=fd:0,fd:1", "quiet", *arguments]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "LD_PRELOAD": str(_preload(folder)), "TMPDIR": str(folder)},
    )


def cut_power(machine: subprocess.Popen[str]) -> None:
    """End the machine as a power failure would: nothing of it runs on."""
    children = Path(f"/proc/{machine.pid}/task/{machine.pid}/children").read_text().split()
    for pid in [*map(int, children), machine.pid]:
        with contextlib.suppress(ProcessLookupError):  # went with one before it
            os.kill(pid, 9)


def _preload(folder: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler for user-mode Linux: apt-get install gcc")
    library = folder / "xstate.so"
    source = _HERE / "uml_xstate.c"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


_INIT = """#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHON={python}
export PYTHONDONTWRITEBYTECODE=1
unset LD_PRELOAD TMPDIR
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mount -t cgroup2 none /sys/fs/cgroup
ip link set lo up 2>/dev/null
cd {root}
(
{script}
)
echo "the script ended with $?"
echo o > /proc/sysrq-trigger
sleep 60
"""
