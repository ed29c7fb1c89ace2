from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.frameworks import Frameworks, files_of_the_page
from support.ports import free_ports
from support.programs import installed

from tools.backends.programs import FRAMEWORKS

if TYPE_CHECKING:
    from pathlib import Path

    from support.collector import Collector


@pytest.fixture
def frameworks(tmp_path: Path, collector: Collector) -> Frameworks:
    """The frameworks, with an empty journal and the files of the page."""
    packages = installed(FRAMEWORKS) / FRAMEWORKS.makes[0]
    found = Frameworks(packages=packages, directory=tmp_path, collector=collector)
    for name, text in files_of_the_page().items():
        found.write(name, text)
    return found


@pytest.fixture
def port() -> int:
    """A port that nobody listens on."""
    return free_ports(1)[0]
