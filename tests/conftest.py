from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_codomon.testing import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A recorder that takes every execution of the test."""
    with Recorder() as recorder:
        yield recorder
