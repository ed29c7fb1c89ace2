from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from otel_codomon.errors import InvalidArgumentError
from otel_codomon.resources.sample import Sample
from otel_codomon.resources.thresholds import Crossing, Thresholds


def test_each_mark_is_compared_with_its_own_number() -> None:
    thresholds = Thresholds(memory_bytes=10, cpu_seconds=1.0, processes=3, wall_seconds=5.0)
    sample = Sample(taken_ns=0, memory_bytes=11, cpu_seconds=1.5, processes=4)

    assert thresholds.crossed(sample, elapsed_seconds=6.0) == (
        Crossing("memory", 10, 11),
        Crossing("cpu", 1.0, 1.5),
        Crossing("processes", 3, 4),
        Crossing("wall", 5.0, 6.0),
    )


def test_what_is_at_its_mark_or_unknown_has_not_crossed_it() -> None:
    thresholds = Thresholds(memory_bytes=10, processes=3)

    assert thresholds.crossed(Sample(taken_ns=0, memory_bytes=10), elapsed_seconds=9.0) == ()


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 10**400, True, "9"])
def test_a_mark_that_is_no_positive_number_is_refused(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"cannot set the threshold memory_bytes to"):
        Thresholds(memory_bytes=value)  # type: ignore[arg-type] # that is the test


@given(st.integers(1, 2**40), st.integers(0, 2**40))
def test_crossing_is_being_above(mark: int, seen: int) -> None:
    crossed = Thresholds(memory_bytes=mark).crossed(
        Sample(taken_ns=0, memory_bytes=seen), elapsed_seconds=0.0
    )

    assert bool(crossed) == (seen > mark)
