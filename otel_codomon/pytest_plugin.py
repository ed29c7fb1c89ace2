"""The fixture that pytest finds by itself, once this package is installed.

pytest loads this module at every start, also for tests that do not use it. So it
imports nothing more than pytest, which is there; the rest follows with the first
test that asks for the fixture. ``-p no:otel_codomon`` leaves it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.testing import Recorder


@pytest.fixture
def execution_recorder() -> Iterator[Recorder]:
    """Record the executions that start in this test; see otel_codomon.testing.Recorder."""
    from otel_codomon.testing import Recorder  # noqa: PLC0415 - the SDK, only when it is used

    with Recorder() as recorder:
        yield recorder
