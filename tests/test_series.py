from __future__ import annotations

from hypothesis import given, strategies as st

from otel_codomon.resources.sample import Reading
from otel_codomon.resources.series import STEP_NS, Series

MS = 1_000_000


def reading(at_ms: float, *, cpu_ms: float = 0, memory: int = 10, processes: int = 1) -> Reading:
    return Reading(
        taken_ns=int(at_ms * MS),
        cpu_ns=int(cpu_ms * MS),
        memory_bytes=memory,
        processes=processes,
        threads=processes,
    )


def test_a_reading_right_after_another_makes_no_point_and_keeps_the_rate() -> None:
    series = Series(started_ns=0, cores=4)
    series.add(reading(0))
    series.add(reading(100, cpu_ms=50))

    close = series.add(reading(100.4, cpu_ms=60, memory=99))
    series.add(reading(200, cpu_ms=150, memory=20))

    assert close.cores == 0.5
    curve = series.curve()
    assert curve is not None
    assert (curve.seconds, curve.cores) == ((0.1, 0.2), (0.5, 1.0))
    assert curve.memory_bytes == (10, 99), "the spike is in the next point"


def test_a_spike_right_after_the_last_point_is_in_that_point() -> None:
    series = Series(started_ns=0, cores=4)
    series.add(reading(0))
    series.add(reading(100))
    series.add(reading(101, memory=99))

    curve = series.curve()

    assert curve is not None
    assert curve.memory_bytes == (99,)


def test_processes_that_have_all_ended_make_no_point() -> None:
    series = Series(started_ns=0, cores=4)
    series.add(reading(0))
    series.add(reading(100, cpu_ms=100, memory=30))

    dead = series.add(reading(200, cpu_ms=110, memory=0, processes=0))

    assert (dead.memory_bytes, dead.processes) == (0, 0)
    curve = series.curve()
    assert curve is not None
    assert (curve.seconds, curve.memory_bytes) == ((0.1,), (30,))


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60), st.integers(0, 2**40))))
def test_points_are_at_least_10_ms_apart_and_keep_the_highest_memory(
    steps: list[tuple[int, int, int]],
) -> None:
    series = Series(started_ns=0, cores=4)
    at = cpu = 0
    seen = []
    series.add(reading(0, memory=0))
    for wait, used, memory in steps:
        at, cpu = at + wait, cpu + used
        series.add(reading(at, cpu_ms=cpu, memory=memory))
        seen.append(memory)

    curve = series.curve()

    if curve is not None:
        instants = (0.0, *curve.seconds)
        gaps = [later - earlier for earlier, later in zip(instants, curve.seconds, strict=False)]
        assert min(gaps) * 1e9 >= STEP_NS - 1000, "rounded to microseconds"
        assert max(curve.memory_bytes) == max(seen)
