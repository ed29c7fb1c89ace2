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


def _can_make_a_cgroup() -> bool:
    made = cgroups.create()
    return made is not None and made.remove()


needs_cgroup = pytest.mark.skipif(
    not _can_make_a_cgroup(),
    reason="no cgroup can be made here: run the tests as root, or with a delegated cgroup",
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
