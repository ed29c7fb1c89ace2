"""Real cache servers on ports of loopback, for as long as a test needs them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def redis_server(folder: Path, *, port: int | None = None) -> Iterator[int]:
    """Run one that keeps nothing, in *folder*; its port."""
    port = port or free_ports(1)[0]
    options = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "no"}
    arguments = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    with _server("redis-server", *arguments) as server:
        _wait(server, lambda: _answers(port))
        yield port


@contextmanager
def memcached_server(folder: Path) -> Iterator[int]:
    """Run one of 8 MiB on a port that it chooses and writes to a file in *folder*; its port."""
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "port"
    told.unlink(missing_ok=True)
    as_user = ["-u", "root"] if os.getuid() == 0 else []  # else it asks whom to become
    arguments = ["-l", "127.0.0.1", "-p", "-1", "-U", "0", "-m", "8", *as_user]
    environment = os.environ | {"MEMCACHED_PORT_FILENAME": str(told)}
    with _server("memcached", *arguments, environment=environment) as server:
        _wait(server, told.exists)  # it is renamed to this name when it is whole
        yield int(told.read_text().splitlines()[0].rpartition(":")[2])


@contextmanager
def _server(
    name: str, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"needs a cache server: apt-get install {name}")
    with subprocess.Popen(
        [program, *arguments], stdout=subprocess.DEVNULL, env=environment
    ) as server:
        try:
            yield server
        finally:
            server.kill()  # it keeps nothing, and memcached takes a second to end by itself


def _wait(server: subprocess.Popen[bytes], is_up: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120  # only a hang takes so long
    while not is_up():
        if time.monotonic() > deadline or server.poll() is not None:
            raise RuntimeError(f"{server.args!r} did not start; run it by hand to see why")
        time.sleep(0.02)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:  # not yet
        return False
