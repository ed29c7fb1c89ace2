"""A Docker engine of a test's own, and containers that see this machine's programs.

Images cannot be pulled everywhere: the one here is made of empty directories, into
which the system, the interpreter and the package are mounted, read-only.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from support.programs import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).parents[2]
_SYSTEM: Final = ("/usr", "/etc/ssl")
_LINKS: Final = ("/bin", "/lib", "/lib64")

needs_docker = pytest.mark.skipif(
    shutil.which("dockerd") is None or os.geteuid() != 0,
    reason="a Docker engine of one's own takes dockerd and root",
)


@dataclass(frozen=True)
class Engine:
    """A running engine.

    Attributes:
        socket: The address of its API.
        image: What containers are made of.
    """

    socket: str
    image: str = "otel-codomon-test"

    def command(self, *arguments: str) -> list[str]:
        """The client with *arguments*."""
        return ["docker", "--host", self.socket, *arguments]

    def do(self, *arguments: str) -> str:
        """Run the client to its end, which has to be 0; what it wrote."""
        return subprocess.run(
            self.command(*arguments), check=True, capture_output=True, text=True
        ).stdout

    def python(
        self, name: str, source: str, *, environ: Mapping[str, str], options: tuple[str, ...] = ()
    ) -> list[str]:
        """The command that runs *source* in a container called *name*, which goes when it ends.

        It has the network of this machine, so that it reaches a receiver of the test.
        """
        mounts = (option for path in _mounts() for option in ("-v", f"{path}:{path}:ro"))
        told = (option for pair in environ.items() for option in ("-e", "=".join(pair)))
        container = ("--rm", "--name", name, "--network", "host", *options, *mounts, *told)
        return self.command("run", *container, self.image, sys.executable, "-c", source)


def _mounts() -> list[str]:
    """What a program of the test needs of this machine."""
    prefixes = {sys.prefix, sys.base_prefix, str(ROOT)}
    outer = [p for p in prefixes if not any(p.startswith(f"{q}/") for q in (*prefixes, "/usr"))]
    return [*(path for path in _SYSTEM if Path(path).exists()), *sorted(outer)]


def _base() -> bytes:
    """An archive of the directories and links that a container begins with.

    No link for /sbin, into which the engine mounts its init: it would be in /usr,
    which cannot be written to.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in ("tmp", "state", "etc", "proc", "dev", "sbin"):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path in filter(os.path.islink, _LINKS):
            entry = tarfile.TarInfo(path[1:])
            entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)  # noqa: PTH115 - a text
            archive.addfile(entry)
    return packed.getvalue()


@contextmanager
def engine() -> Iterator[Engine]:
    """Have an engine until the block ends; then it and its data are gone."""
    with tempfile.TemporaryDirectory(prefix="codomon-docker-") as folder:
        socket = f"unix://{folder}/socket"
        options = (
            *("--data-root", f"{folder}/data"),
            *("--exec-root", f"{folder}/exec"),
            *("--pidfile", f"{folder}/pid"),
            *("--host", socket, "--bridge", "none", "--iptables=false", "--ip6tables=false"),
        )
        with Path(folder, "log").open("wb") as log:
            daemon = subprocess.Popen(["dockerd", *options], stdout=log, stderr=log)
        running = Engine(socket)
        try:
            wait_for(lambda: _answers(running, daemon) or None, what="the engine to answer")
            subprocess.run(
                running.command("import", "-", running.image),
                input=_base(),
                check=True,
                capture_output=True,
            )
            yield running
        finally:
            _kill_containers(running)
            daemon.terminate()
            daemon.wait()
            for mount in _mounted_below(folder):
                subprocess.run(["umount", mount], check=False)


def _kill_containers(running: Engine) -> None:
    """End those that a test has left: they would outlive the engine."""
    listed = subprocess.run(running.command("ps", "-q"), capture_output=True, check=False)
    for container in listed.stdout.decode().split():
        subprocess.run(running.command("kill", container), capture_output=True, check=False)


def _mounted_below(folder: str) -> list[str]:
    """What the engine leaves mounted, the deepest first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = (line.split()[4] for line in lines)
    return sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True)


def _answers(running: Engine, daemon: subprocess.Popen[bytes]) -> bool:
    assert daemon.poll() is None, "the engine ended before it answered"
    return subprocess.run(running.command("info"), capture_output=True, check=False).returncode == 0
