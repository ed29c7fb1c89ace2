"""A signal every millisecond from the import on, whose handler runs an execution."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support import storm
from support.unmeasured import UNMEASURED

from otel_codomon.journal.reader import JournalReader

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.long

_HANG_SECONDS = 850


def lost_in_storm(directory: Path, *, first: int, count: int) -> tuple[list[str], int]:
    """What went wrong in *count* programs, and how many executions returned in them."""
    directory.mkdir(exist_ok=True)
    subprocess.run(
        [sys.executable, storm.__file__, str(directory), str(first), str(count)],
        env={**os.environ, **UNMEASURED},  # a tracer would take longer than there is
        check=True,
        timeout=_HANG_SECONDS,
    )
    wrong, returned = [], 0
    for own in directory.iterdir():
        if (own / "status").read_text() != "0":
            wrong.append(f"{own.name} ended badly: {(own / 'errors').read_text()}")
            continue
        if failures := (own / "failures").read_text():
            wrong.append(f"{own.name}: {failures}")
        ids = set((own / "returned").read_text().split())
        returned += len(ids)
        wrong += [f"{own.name} lost {lost}" for lost in ids - ended_in(own)]
    return wrong, returned


def ended_in(own: Path) -> set[str | None]:
    """The span ids of the executions that have their end in the journal."""
    found = JournalReader(str(own / "otel-codomon")).executions()
    return {e.span_id for e in found if e.attributes.get("codomon.execution.outcome") == "success"}


def test_200_starts_in_a_storm_of_signals_hang_and_lose_nothing(tmp_path: Path) -> None:
    wrong, returned = lost_in_storm(tmp_path / "storm", first=0, count=200)

    assert wrong == []
    assert returned > 200, "the handlers ran executions too"


@pytest.mark.soak
def test_1000_starts_in_a_storm_of_signals_hang_and_lose_nothing(tmp_path: Path) -> None:
    batches = [lost_in_storm(tmp_path / f"storm {n}", first=n * 200, count=200) for n in range(5)]

    assert [wrong for wrong, _ in batches] == [[]] * 5
