"""A Python for programs of our own, whatever `sys.executable` is."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from otel_codomon._platform import interpreter as finding
from otel_codomon._platform.interpreter import interpreter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its programs are Linux's")


@pytest.mark.parametrize(
    "name", ["python", "python3", "python3.13t", "python3.12d", "Python", "pypy3.10", "python.exe"]
)
def test_a_python_is_known_by_its_name(name: str) -> None:
    assert finding._is_called_python(name.lower())


@pytest.mark.parametrize(
    "name", ["uwsgi", "python-app", "pythonista", "ipython3", "sh", "gunicorn"]
)
def test_another_program_is_known_by_its_name(name: str) -> None:
    assert not finding._is_called_python(name)


def test_the_one_we_are_in_is_taken_as_it_is() -> None:
    assert interpreter() == sys.executable


@pytest.mark.parametrize("executable", [None, "", 3, [], "uwsgi", "/no/such/python3", "/usr"])
def test_one_is_found_beside_it_where_it_is_none(
    executable: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)

    found = interpreter()

    assert found is not None
    assert Path(found).samefile("/proc/self/exe")


def test_neither_a_script_nor_another_program_passes_for_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "scripts" / "python3"
    other = tmp_path / "others" / "python3"
    for place in (script, other):
        place.parent.mkdir()
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    script.chmod(0o755)
    shutil.copy("/bin/true", other)
    monkeypatch.setattr(sys, "executable", str(script))
    for prefix in ("exec_prefix", "base_exec_prefix"):
        monkeypatch.setattr(sys, prefix, str(tmp_path))
    monkeypatch.setenv("PATH", os.pathsep.join([str(script.parent), str(other.parent), "."]))

    assert interpreter() is None
    assert not (tmp_path / "started").exists()
