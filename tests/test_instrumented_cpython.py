"""CPython's own tests of processes, with and without us."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_codomon import environment_variables as env

if TYPE_CHECKING:
    from collections.abc import Sequence

HANG_SECONDS = 600


def outcome(module: str, setting: str, folder: Path, tests: Sequence[str] = ()) -> Any:  # noqa: ANN401 - JSON
    """What `support.cpython_suite` tells of *module* in this *setting*."""
    environ = {**os.environ, env.OTEL_PYTHON_CODOMON_JOURNAL: "off"}
    environ["PYTHONPATH"] = str(Path(__file__).parent)
    command = [sys.executable, "-m", "support.cpython_suite", module, setting, *tests]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
@pytest.mark.parametrize("module", ["test.test_subprocess", "test.test_asyncio.test_subprocess"])
def test_what_passes_without_us_passes_with_us(module: str, tmp_path: Path) -> None:
    if not (importlib.util.find_spec("test") and importlib.util.find_spec("test.test_subprocess")):
        pytest.skip(
            "this Python has no tests: install its package of them, as libpython3-testsuite"
        )

    plain = outcome(module, "plain", tmp_path)
    observed = outcome(module, "observed", tmp_path)

    assert observed["run"] == plain["run"]
    assert plain["run"] > 50
    assert (plain["executions"], observed["executions"] > 50) == (0, True)
    more = sorted({*observed["failed"]} - {*plain["failed"]})
    # One that depends on time may fail on a busy machine, and passes alone.
    assert not more or outcome(module, "observed", tmp_path, more)["failed"] == []
