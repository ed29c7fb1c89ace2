"""Programs of real frameworks, started as their users start them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from support.oracle import counted_executions
from support.programs import get, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.collector import Collector

ROOT: Final = Path(__file__).parents[2]
PATIENCE_SECONDS: Final = 300.0

PAGE: Final = ROOT / "docs" / "frameworks.md"
_FILE: Final = re.compile(r"^```python file=(\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def files_of_the_page() -> dict[str, str]:
    """Name and text of each file that the page on frameworks shows."""
    return dict(_FILE.findall(PAGE.read_text(encoding="utf-8")))


@dataclass(frozen=True, kw_only=True)
class Frameworks:
    """Where the frameworks are, where programs are written, and where spans arrive."""

    packages: Path
    directory: Path
    collector: Collector

    def environment(self, **more: str) -> dict[str, str]:
        """What a program needs: our package, the frameworks, its own directory, an endpoint."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        paths = (self.directory, self.packages, ROOT)
        return {
            **clean,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "OTEL_PYTHON_CODOMON_JOURNAL": str(self.directory / "journal"),
            **self.collector.environment(),
            **more,
        }

    def write(self, name: str, text: str) -> Path:
        """Write a module that the programs import, or a program."""
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, *arguments: str, **more: str) -> str:
        """Run Python with *arguments* to its end, which has to be 0; what it wrote to stdout."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.directory,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=PATIENCE_SECONDS,
        )
        return done.stdout

    @contextmanager
    def serving(self, *arguments: str, port: int, **more: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a server until it answers at *port*; end it by SIGTERM afterwards."""
        with subprocess.Popen(
            list(arguments), cwd=self.directory, env=self.environment(**more)
        ) as server:
            try:
                wait_for(
                    lambda: server.poll() is not None or get(f"http://127.0.0.1:{port}/up"),
                    what="the server to answer",
                )
                assert server.poll() is None, "the server ended before it answered"
                yield server
                server.send_signal(signal.SIGTERM)
                server.wait(PATIENCE_SECONDS)
            finally:
                server.kill()

    def outcomes(self) -> Counter[tuple[str, str]]:
        """Name and outcome of every execution that arrived, once everything has been sent.

        The metrics count each of them once, whatever became of its process.
        """
        self.run("-m", "otel_codomon", "journal", "send", "--timeout", "120")
        arrived = self.arrived()
        by_outcome: Counter[str] = Counter()
        for (_, outcome), count in arrived.items():
            by_outcome[outcome] += count
        assert counted_executions(self.collector) == by_outcome
        return arrived

    def arrived(self) -> Counter[tuple[str, str]]:
        """The same for what has arrived by now."""
        spans = {span.span_id: span for span in self.collector.spans()}
        return Counter(
            (span.name, span.attributes["codomon.execution.outcome"])
            for span in spans.values()
            if "codomon.execution.id" in span.attributes
        )


def ask(port: int, count: int) -> None:
    """Ask a server on *port* for *count* jobs, one after the other."""
    for number in range(count):
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/grade/{number}", timeout=PATIENCE_SECONDS
        ) as answer:
            assert answer.status == 200
