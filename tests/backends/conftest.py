from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.stack import LocalStack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The local stack, shared by the tests that leave its programs alone."""
    with LocalStack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack
