"""Real programs as servers of a test: started, waited for, ended by their pid."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from tools.backends.programs import Program

T = TypeVar("T")

# Only ever reached by a hang: a ready program is ready in seconds.
DEADLINE_SECONDS = 300.0
_POLL_SECONDS = 0.1


def wait_for(look: Callable[[], T], *, what: str, deadline_seconds: float = DEADLINE_SECONDS) -> T:
    """Return the first true thing that *look* returns; fail when none comes."""
    ends = time.monotonic() + deadline_seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > ends:
            pytest.fail(f"waited {deadline_seconds:.0f} s for {what}; last seen: {seen!r}")
        time.sleep(_POLL_SECONDS)


def get(url: str, **parameters: str) -> str | None:
    """The body at *url*, None while nobody answers or the answer is an error."""
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    try:
        with urllib.request.urlopen(url + query, timeout=120) as answer:  # noqa: S310 - loopback
            body: bytes = answer.read()
    except (OSError, urllib.error.URLError):
        return None
    return body.decode()


def get_json(url: str, **parameters: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The JSON at *url*, None while there is none."""
    body = get(url, **parameters)
    return None if body is None else json.loads(body)


def installed(program: Program) -> Path:
    """Folder of *program*; leaves the test out, aloud, when it is not there."""
    if not program.installed:
        pytest.skip(
            f"{program.name} {program.version} is not installed; "
            f"`make backends` installs it for this user"
        )
    return program.folder


def on_path(command: str) -> str:
    """Where *command* is on PATH; leaves the test out, aloud, when it is not."""
    found = shutil.which(command)
    if found is None:
        pytest.skip(f"there is no `{command}` on PATH, and no registry that has it")
    return found


class RealProgram:
    """A program that runs until the block ends; `kill` and `start` in between.

    Attributes:
        name: What messages call it, and its log file.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        ready: Callable[[], object],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._folder = folder
        self._ready = ready
        self._log = folder / f"{name}.log"
        # Nothing of this process's own telemetry settings or home reaches it.
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it says it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(self._is_ready, what=f"{self.name} to be ready")

    def _is_ready(self) -> bool:
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            pytest.fail(f"{self.name} ended with {code} at start; it said:\n{self.said()}")
        return bool(self._ready())

    def said(self) -> str:
        """The last lines of its output."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])

    def log(self) -> str:
        """All of its output."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """End it at once, as a power cut for one program."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and see to it."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout=DEADLINE_SECONDS / 2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Its folder goes with the test: nobody needs it to end in good order.
        self.kill()
