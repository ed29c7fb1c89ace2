"""What an isolated command sees of itself, as JSON: run inside by the system's Python."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

FROM_STATUS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")


def of_status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: fields[name].strip() for name in FROM_STATUS}


def mounts() -> dict[str, list[str]]:
    """Options by mount point; the last one of a place is what is seen there."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return {words[1]: [words[2], *words[3].split(",")] for words in map(str.split, lines)}


def descriptors() -> dict[str, str]:
    """What each descriptor leads to, without that of the listing itself."""
    numbers = [number for number in os.listdir("/proc/self/fd") if number != "3"]  # noqa: PTH208
    return {number: os.readlink(f"/proc/self/fd/{number}") for number in numbers}  # noqa: PTH115


def unshared() -> list[int]:
    """How ``unshare`` ends for each kind of namespace."""
    flags = ("--user", "--map-root-user", "--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup")
    return [
        subprocess.run(["unshare", flag, "true"], capture_output=True, check=False).returncode
        for flag in flags
    ]


def main() -> None:
    facts = {
        "status": of_status(),
        "mounts": mounts(),
        "descriptors": descriptors(),
        "unshare": unshared(),
        "hostname": socket.gethostname(),
        "uid": os.getuid(),
        "interfaces": [name for _, name in socket.if_nameindex()],
        "pids": [int(name) for name in os.listdir("/proc") if name.isdigit()],  # noqa: PTH208
        "cgroups": Path("/proc/self/cgroup").read_text(encoding="ascii").split(),
        "root": sorted(os.listdir("/")),  # noqa: PTH208
        "etc": sorted(os.listdir("/etc")),  # noqa: PTH208
        "dev": sorted(os.listdir("/dev")),  # noqa: PTH208
        "tmpfs": {
            path: os.statvfs(path).f_blocks * os.statvfs(path).f_frsize
            for path in ("/tmp", "/dev/shm", os.environ["HOME"])  # noqa: S108
        },
        "environ": sorted(os.environ),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
