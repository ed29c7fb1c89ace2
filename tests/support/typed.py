"""Runs commands as a person or a program would: in a process of their own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Only guards against a hang.
PATIENCE_SECONDS = 300.0

# Makes the terminal its own, so that Ctrl-C reaches it, and becomes the command.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would change what a command does."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "LC_", "LANG", "NO_COLOR", "COLUMNS", "PYTHONUTF8"))
    }
    return {**kept, "LC_ALL": "C.UTF-8", **more}


def typed(
    *arguments: str, env: Mapping[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `otel-codomon` with *arguments*, its output through pipes."""
    return subprocess.run(
        [sys.executable, "-m", "otel_codomon", *arguments],
        capture_output=True,
        encoding="utf-8",
        input=stdin,
        env=clean_environment() if env is None else dict(env),
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def typed_on_terminal(
    *arguments: str,
    columns: int = 80,
    env: Mapping[str, str] | None = None,
    keys: bytes = b"",
    ctrl_c_after: bytes | None = None,
) -> tuple[int, str]:
    """Run `otel-codomon` with *arguments* on a real terminal.

    Args:
        arguments: What follows the program's name.
        columns: Width of the terminal.
        env: The environment; None for a clean one.
        keys: What is typed.
        ctrl_c_after: Press Ctrl-C once this was written.

    Returns:
        Exit code, and everything that was written to the terminal.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**(clean_environment() if env is None else env), "TERM": "xterm-256color"}
    with subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, sys.executable, "-m", "otel_codomon", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
    ) as command:
        os.close(slave)
        if keys:
            os.write(master, keys)
        written = _read_all(master, ctrl_c_after)
        code = command.wait(PATIENCE_SECONDS)
    os.close(master)
    return code, written.decode("utf-8", "replace")


def _read_all(master: int, ctrl_c_after: bytes | None) -> bytes:
    written = b""
    while select.select([master], [], [], PATIENCE_SECONDS)[0]:
        try:
            part = os.read(master, 65536)
        except OSError:  # EIO: the other end is closed, on Linux
            break
        if not part:
            break
        written += part
        if ctrl_c_after is not None and ctrl_c_after in written:
            os.write(master, b"\x03")
            ctrl_c_after = None
    return written
