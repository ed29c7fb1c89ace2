"""A program with ``configure()`` in it that runs executions when it is told to."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

_PROGRAM = """
import sys
from otel_codomon import configure, execution
configured = configure()
for line in sys.stdin:
    ids = []
    for _ in range(int(line)):
        with execution("job", language="python") as current:
            ids.append(current.execution_id)
    print(*ids, flush=True)
configured.force_flush()
configured.shutdown()
"""


class Runner:
    """The program; `execute` makes it run executions and says their ids."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def execute(self, count: int) -> list[str]:
        """Run *count* executions; returns their ids when the last has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().split()

    def kill(self) -> None:
        """End the program at once."""
        self._process.kill()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            if kind is not None:
                process.kill()
            process.wait()
