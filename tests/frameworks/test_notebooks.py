"""Notebooks in real kernels: what a cell runs is recorded, and interrupting it ends it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from support.frameworks import Frameworks

pytestmark = pytest.mark.backends

INTERRUPTED = """
import json, os, sys, time
from jupyter_client.manager import KernelManager

started = sys.argv[1]
CELL = f'''
from otel_codomon import arun
await arun(["sh", "-c", 'echo $$ > "$0.new"; mv "$0.new" "$0"; exec sleep 600', {started!r}])
'''
manager = KernelManager()
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=300)

def run(cell, meanwhile=lambda: None):
    asked = client.execute(cell)
    meanwhile()
    while True:
        answer = client.get_shell_msg(timeout=300)
        if answer["parent_header"]["msg_id"] == asked:
            return answer["content"]["status"], answer["content"].get("ename")

def interrupt():
    while not os.path.exists(started):
        time.sleep(0.01)
    manager.interrupt_kernel()

try:
    said = [run("from jobs import setup; setup()"), run(CELL, interrupt), run("1 + 1")]
finally:
    client.stop_channels()
    manager.shutdown_kernel()
print(json.dumps(said))
"""
NOTEBOOKS = """
import nbformat
from jobs import setup
from nbclient import NotebookClient
from otel_codomon import execution

@execution("notebook")
def run(source, timeout):
    cells = map(nbformat.v4.new_code_cell, ("from jobs import *; setup()", source))
    NotebookClient(nbformat.v4.new_notebook(cells=list(cells)), timeout=timeout).execute()

setup()
for source, timeout in (
    ("[grade(number) for number in range(4)]", None),
    ("raise ValueError", None),
    ("import os; os._exit(9)", None),
    ("import time; time.sleep(600)", 10),
):
    try:
        run(source, timeout)
    except Exception as error:
        print(type(error).__name__)
"""


def test_interrupting_a_cell_that_awaits_a_command_ends_the_command(frameworks: Frameworks) -> None:
    program = frameworks.write("program.py", INTERRUPTED)
    started = frameworks.directory / "started"

    said = json.loads(frameworks.run(str(program), str(started)))

    assert [status for status, _ in said] == ["ok", "error", "ok"]
    assert not psutil.pid_exists(int(started.read_text()))
    assert frameworks.outcomes() == Counter({("sh", "cancelled"): 1})


def test_notebooks_end_as_their_cells_do(frameworks: Frameworks) -> None:
    program = frameworks.write("program.py", NOTEBOOKS)

    said = frameworks.run(str(program))

    assert said.split() == ["CellExecutionError", "DeadKernelError", "CellTimeoutError"]
    assert frameworks.outcomes() == Counter(
        {
            ("grade", "success"): 3,
            ("grade", "error"): 1,
            ("notebook", "success"): 1,
            ("notebook", "error"): 1,
            ("notebook", "killed"): 1,
            ("notebook", "timeout"): 1,
        }
    )
