"""Real programs that say when they are where a test wants them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Holds so many MiB, says so, and waits for its input to end.
HOLD_MEMORY = (
    "import sys\n"
    "held = bytearray(int(sys.argv[1]) << 20)\n"
    "held[::4096] = b'x' * len(held[::4096])\n"
    "print('ready', flush=True)\n"
    "sys.stdin.read()\n"
)


@contextmanager
def started(program: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """Start Python source text and wait for its first line.

    It is let go when the block ends: its input is closed then.
    """
    command = [sys.executable, "-I", "-S", "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        try:
            yield child
        finally:
            child.stdin.close()
            child.stdout.read()
