"""What tests need of the machine, each with the reason for which they are skipped."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from otel_codomon._platform import cgroups
from otel_codomon.sandbox.toolchains import fill

if TYPE_CHECKING:
    from otel_codomon.sandbox.toolchains import Toolchain


def _asked_of_a_cgroup() -> tuple[bool, bool]:
    """Whether a cgroup can be made here, and whether it holds a limit on memory."""
    made = cgroups.create()
    if made is None:
        return False, False
    limited = made.limit(memory_bytes=2**30)
    return made.remove(), bool(limited)


HAS_CGROUPS, HAS_MEMORY_LIMITS = _asked_of_a_cgroup()
"""Whether cgroups can be made here; whether they hold a limit on memory."""

needs_cgroup = pytest.mark.skipif(
    not HAS_CGROUPS,
    reason="no cgroup can be made here: run the tests as root, or with a delegated cgroup",
)
needs_memory_limits = pytest.mark.skipif(
    not HAS_MEMORY_LIMITS,
    reason="no cgroup limits memory here: run the tests as root, or with a delegated cgroup",
)


def needs_toolchain(toolchain: Toolchain) -> None:
    """Skip the calling test where *toolchain* is missing, or only stands in for one."""
    tool = next(filter(None, map(shutil.which, toolchain.tools)), None)
    if tool is None:
        pytest.skip(f"no {toolchain.language} here; {toolchain.way_out}")
    asked = subprocess.run(
        fill(toolchain.version, tool=tool), capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        pytest.skip(f"no {toolchain.language} here: {tool} says {asked.stderr.strip()!r:.200}")
