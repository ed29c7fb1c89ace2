"""A real Redis server on a port of loopback, for as long as a test needs it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """Run one that keeps nothing, in *folder*; its port."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs a Redis server: apt-get install redis-server")
    [port] = free_ports(1)
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with subprocess.Popen(
        [*command, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
    ) as server:
        try:
            _wait_until_it_answers(server, port)
            yield port
        finally:
            server.terminate()


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 120  # only a hang takes so long
    while not _answers(port):
        if time.monotonic() > deadline or server.poll() is not None:
            raise RuntimeError("redis-server did not start; run it by hand to see why")
        time.sleep(0.02)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:  # not yet
        return False
