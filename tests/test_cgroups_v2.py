"""The tests of cgroups once more, on a kernel where version 2 has every controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import uml

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.uml
def test_cgroups_of_version_2_count_limit_and_kill_as_those_of_version_1(tmp_path: Path) -> None:
    booted = uml.boot(
        "TMPDIR=/run $PYTHON -m pytest -q -p no:cacheprovider tests/test_cgroups.py"
        " -k 'not whatever' && ! find /sys/fs/cgroup -name 'codomon*' | grep .",
        tmp_path,
    )

    assert booted.code == 0, booted.output
    assert "skipped" not in booted.output
