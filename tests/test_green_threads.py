"""Programs whose threads are greenlets: everything is delivered, and no time is made up."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from support.user_program import Program

if TYPE_CHECKING:
    from pathlib import Path

    from support.collector import Collector

_PATCHES = {
    "gevent": "import gevent.monkey; gevent.monkey.patch_all()\n",
    "eventlet": "import eventlet; eventlet.monkey_patch()\n",
}
_PROGRAM = """
import threading
from otel_codomon import configure, execution
made = configure()
def job(number):
    with execution(f"job {number}"):
        pass
threads = [threading.Thread(target=job, args=(n,)) for n in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(made.force_flush(60))
"""


@pytest.mark.parametrize("library", _PATCHES)
def test_what_runs_in_green_threads_is_delivered(
    library: str, tmp_path: Path, collector: Collector
) -> None:
    if find_spec(library) is None:  # not imported here: eventlet warns of every fork from then on
        pytest.skip(f"needs {library}")
    program = Program(tmp_path, collector.environment())

    # eventlet warns of its own age.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PATCHES[library] + _PROGRAM],
        env=program.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (done.stdout, done.stderr) == ("True\n", "")
    spans = collector.spans()
    assert sorted(span.name for span in spans) == sorted(f"job {n}" for n in range(20))
    assert not any("codomon.usage.cpu.time" in span.attributes for span in spans)
