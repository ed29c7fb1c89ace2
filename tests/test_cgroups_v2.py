"""The tests of cgroups once more, on a kernel where version 2 has every controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import uml

if TYPE_CHECKING:
    from pathlib import Path


# What they do not need is left out: a fork takes 120 ms there.
_RESOURCES = "cgroup or daemon or beyond_its_memory_limit"


@pytest.mark.uml
@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "which"), [("test_cgroups.py", "not whatever"), ("test_resources.py", _RESOURCES)]
)
def test_version_2_counts_limits_and_kills_as_version_1_does(
    tmp_path: Path, file: str, which: str
) -> None:
    booted = uml.boot(
        f"TMPDIR=/run $PYTHON -m pytest -q -p no:cacheprovider tests/{file} -k {which!r}"
        " && ! find /sys/fs/cgroup -name 'codomon*' | grep .",
        tmp_path,
    )

    assert booted.code == 0, booted.output
    assert "skipped" not in booted.output
