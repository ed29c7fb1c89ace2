"""The package for another user: by the system's Python, from a place that all may read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PYTHON = "/usr/bin/python3"
NOBODY = 65534
ROOT = Path(__file__).parents[2]
# What the package cannot be imported without.
_NEEDED = (
    *("opentelemetry", "opentelemetry_api-*", "opentelemetry_sdk-*", "opentelemetry_semantic*"),
    *("typing_extensions*", "importlib_metadata*", "zipp*", "google", "protobuf*"),
    *("psutil*", "deprecated*", "wrapt*"),
)
# Why not; None where it can be had.
MISSING = None if Path(PYTHON).exists() else f"no {PYTHON} here: install the package python3"
CANNOT_SWITCH = None if os.getuid() == 0 else "only root can become another user"


def open_to_everybody(directory: Path) -> None:
    """Let every user enter *directory*, and those above it that pytest made."""
    for each in (directory, *directory.parents):
        if each == Path(tempfile.gettempdir()):
            return
        each.chmod(0o755)


def copy_package(target: Path) -> Path:
    """Copy the package and what it needs below *target*, readable by all."""
    open_to_everybody(target)
    site = Path(sysconfig.get_path("purelib"))
    for pattern in _NEEDED:
        for found in site.glob(pattern):
            copy = shutil.copytree if found.is_dir() else shutil.copy2
            copy(found, target / found.name)
    shutil.copytree(ROOT / "otel_codomon", target / "otel_codomon")
    return target


def run_as(
    uid: int,
    arguments: Iterable[str],
    *,
    package: Path,
    cwd: Path,
    environ: Mapping[str, str],
    stdin: str | int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the system's Python as *uid*, with no group and no capability of ours."""
    switch = {"user": uid, "group": uid, "extra_groups": []} if uid != os.getuid() else {}
    text = {"input": stdin} if isinstance(stdin, str) else {"stdin": stdin}
    return subprocess.run(  # type: ignore[call-overload, no-any-return] # as the dictionaries say
        [PYTHON, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"},
        **switch,
        **text,
    )
