"""Programs of a user, run as a user would, against a collector and a journal of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from otel_codomon.journal.reader import JournalReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_codomon.journal.execution_record import ExecutionRecord

_TESTS = str(Path(__file__).parents[1])
_ROOT = str(Path(__file__).parents[2])  # what is tested is what lies beside the tests
# Only guards against a hang.
PATIENCE_SECONDS = 300


@dataclass
class Program:
    """A program in *folder*, with a clean environment but for what is said.

    Attributes:
        folder: Where the script and the journal are.
        environ: What the program is told.
        command: What the script is started with.
    """

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = (sys.executable,)

    @property
    def journal(self) -> str:
        """The journal of the program."""
        return str(self.folder / "journal")

    def environment(self) -> dict[str, str]:
        """The whole environment of the program."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        return {
            **clean,
            "PYTHONPATH": f"{_TESTS}{os.pathsep}{_ROOT}",
            "OTEL_PYTHON_CODOMON_JOURNAL": self.journal,
            "OTEL_SERVICE_NAME": "program",
            **self.environ,
        }

    def run(self, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run *source* to its end."""
        return subprocess.run(
            [*self.command, self._script(source), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
            timeout=PATIENCE_SECONDS,
        )

    @contextmanager
    def start(self, source: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run *source* beside the test; it is killed at the end of the block."""
        with subprocess.Popen(
            [*self.command, self._script(source), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment(),
        ) as child:
            try:
                yield child
            finally:
                child.kill()

    def executions(self) -> list[ExecutionRecord]:
        """What its journal tells, newest first."""
        return list(JournalReader(self.journal).executions())

    def _script(self, source: str) -> str:
        script = self.folder / "program.py"
        script.write_text(source)
        return str(script)
