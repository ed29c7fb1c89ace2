"""The sample application of the stack, as a program of a test."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.backends import CONFIGURATIONS
from support.programs import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.stack import LocalStack

SERVICE = "sample"
SCRIPT = CONFIGURATIONS / "sample" / "sample.py"


def settings(stack: LocalStack, folder: Path) -> dict[str, str]:
    """The environment of a program that reports to *stack*, as the Compose file sets it."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "OTEL_SERVICE_NAME": SERVICE,
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack.collector.http,
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        # A late answer of a busy machine makes no copies, and nothing is left for later.
        "OTEL_EXPORTER_OTLP_TIMEOUT": f"{DEADLINE_SECONDS:.0f}",
        "OTEL_PYTHON_CODOMON_EXIT_TIMEOUT": f"{DEADLINE_SECONDS:.0f}",
    }


@contextmanager
def sample_running(stack: LocalStack, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the sample until the block ends; then it and its children end."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "sample.log").open("wb") as log:
        sample = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--pause=0"],
            env=settings(stack, folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield sample
        finally:
            sample.terminate()  # it ends when its round has ended
            try:
                sample.wait(timeout=DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                sample.kill()
                sample.wait()
