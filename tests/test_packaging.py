"""The built wheel, installed into an empty environment, imports and runs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import otel_codomon
from otel_codomon.version import __version__

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the tree as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names} == {
        "otel_codomon",
        f"otel_codomon-{__version__}.dist-info",
    }
    assert "otel_codomon/py.typed" in names


def test_pytest_starts_with_the_wheel_imported_before_it(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "test_job.py").write_text(
        "import otel_codomon\n"
        "def test_a_job_is_recorded(execution_recorder):\n"
        "    with otel_codomon.execution('job'):\n"
        "        pass\n"
        "    execution_recorder.assert_execution('job', outcome='success')\n"
        "    print('from', otel_codomon.__file__)\n"
    )
    program = (
        "import sys, otel_codomon, pytest;"
        "sys.exit(pytest.main(['-s', '-W', 'error', '-p', 'no:cacheprovider']))"
    )
    ours = ("PYTEST_", "OTEL_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environ | {"PYTHONPATH": str(tmp_path / "site")},
    )

    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert f"from {tmp_path / 'site'}" in done.stdout


@pytest.mark.long
def test_the_wheel_alone_imports_and_runs(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    program = "import otel_codomon; print(otel_codomon.run(['echo', 'hi']).stdout)"

    done = subprocess.run(
        [python, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )

    assert "hi" in done.stdout
    command = [str(tmp_path / "venv" / "bin" / "otel-codomon"), "--version"]
    version = subprocess.run(command, capture_output=True, text=True, check=True)
    assert __version__ in version.stdout


def test_every_public_name_is_there_and_none_is_a_module() -> None:
    for name in otel_codomon.__all__:
        assert getattr(otel_codomon, name) is not None
        assert not (ROOT / "otel_codomon" / f"{name}.py").exists()
        assert not (ROOT / "otel_codomon" / name).is_dir()
    assert set(otel_codomon.__all__) <= set(dir(otel_codomon))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = otel_codomon.no_such_name
