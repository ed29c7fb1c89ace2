from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from otel_codomon.resources.curve import MAX_POINTS, CurveBuilder, Point

cores_and_memory = st.lists(
    st.tuples(st.floats(0, 64), st.integers(0, 2**40)), min_size=1, max_size=700
)


def built(stretches: list[tuple[float, int]]) -> CurveBuilder:
    builder = CurveBuilder()
    for index, (cores, memory) in enumerate(stretches, start=1):
        builder.add(Point(index * 0.25, 0.25, cores, memory))
    return builder


def test_a_short_run_keeps_every_point() -> None:
    curve = built([(1.0, 10), (0.0, 30), (2.0, 20)]).curve()

    assert curve is not None
    assert (curve.seconds, curve.cores, curve.memory_bytes) == (
        (0.25, 0.5, 0.75),
        (1.0, 0.0, 2.0),
        (10, 30, 20),
    )


def test_no_point_is_no_curve() -> None:
    assert CurveBuilder().curve() is None


@given(cores_and_memory)
def test_however_long_the_run_a_curve_is_bounded_and_keeps_its_spike_and_its_end(
    stretches: list[tuple[float, int]],
) -> None:
    curve = built(stretches).curve()

    assert curve is not None
    assert len(curve.seconds) == len(curve.cores) == len(curve.memory_bytes) <= MAX_POINTS
    assert max(curve.memory_bytes) == max(memory for _, memory in stretches)
    assert curve.seconds[-1] == len(stretches) * 0.25
    assert list(curve.seconds) == sorted(curve.seconds)


@given(cores_and_memory)
def test_thinning_keeps_the_area_under_the_curve(stretches: list[tuple[float, int]]) -> None:
    builder = built(stretches)

    area = sum(point.cores * point.lasted_seconds for point in builder._points)

    assert area == pytest.approx(sum(cores * 0.25 for cores, _ in stretches))


@given(st.integers(MAX_POINTS + 1, 5_000))
def test_points_stay_evenly_spread(samples: int) -> None:
    builder = built([(1.0, 1)] * samples)

    lengths = {point.lasted_seconds for point in builder._points[:-1]}

    assert len(lengths) == 1
    assert len(builder._points) >= MAX_POINTS // 2
