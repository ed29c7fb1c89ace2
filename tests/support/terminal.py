"""A terminal with a small shell in it, for what only happens there."""

from __future__ import annotations

import os
import pty
import select
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

# What a shell with job control does with one job: a group of its own in the
# foreground, and when it stops, the terminal taken back until it is told "fg".
SHELL = """
import os, signal, sys
tell, hear = int(sys.argv[1]), int(sys.argv[2])
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execvp(sys.argv[3], sys.argv[3:])
while True:
    _, status = os.waitpid(job, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        os.write(tell, b"ended %d\\n" % os.waitstatus_to_exitcode(status))
        break
    os.tcsetpgrp(0, os.getpgrp())
    os.write(tell, b"stopped %d\\n" % os.WSTOPSIG(status))
    os.read(hear, 1)
    os.tcsetpgrp(0, job)
    os.killpg(job, signal.SIGCONT)
    os.write(tell, b"continued\\n")
"""
_PATIENCE_SECONDS = 120  # only a hang takes so long


class Terminal:
    """One command as the foreground job of a shell in a terminal of its own."""

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str]) -> None:
        self._from_shell, tell = os.pipe()
        hear, self._to_shell = os.pipe()
        command = [sys.executable, "-c", SHELL, str(tell), str(hear), *argv]
        self._pid, self.fd = pty.fork()
        if self._pid == 0:
            os.set_inheritable(tell, True)  # noqa: FBT003 - positional only
            os.set_inheritable(hear, True)  # noqa: FBT003 - positional only
            os.execve(sys.executable, command, dict(env))  # noqa: S606 - the test's shell
        os.close(tell)
        os.close(hear)
        self._shown = b""
        self._said = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in (self.fd, self._from_shell, self._to_shell):
            os.close(fd)
        os.waitpid(self._pid, 0)

    def type(self, keys: bytes) -> None:
        """Press *keys*."""
        os.write(self.fd, keys)

    def wait_for(self, text: bytes) -> None:
        """Until the terminal shows *text*."""
        while text not in self._shown:
            self._shown += self._read(self.fd)
        self._shown = self._shown.partition(text)[2]

    def shell_says(self) -> str:
        """The next that the shell has to say of its job."""
        while b"\n" not in self._said:
            self._said += self._read(self._from_shell)
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()

    def continue_job(self) -> None:
        """Type ``fg``, as it were."""
        os.write(self._to_shell, b"f")

    def _read(self, fd: int) -> bytes:
        assert select.select([fd], [], [], _PATIENCE_SECONDS)[0], f"shown so far: {self._shown!r}"
        return os.read(fd, 4096)
