from __future__ import annotations

from hypothesis import given, strategies as st

from otel_codomon.resources.sample import (
    Reading,
    Sample,
    StorageRate,
    add_readings,
    sample_between,
)

counts = st.none() | st.integers(0, 2**50)
readings = st.builds(
    Reading,
    taken_ns=st.integers(0, 2**50),
    cpu_ns=counts,
    memory_bytes=counts,
    processes=counts,
)


def test_two_readings_make_a_sample_with_rates() -> None:
    earlier = Reading(taken_ns=0, cpu_ns=0, memory_bytes=5)
    later = Reading(taken_ns=500_000_000, cpu_ns=250_000_000, memory_bytes=7)

    assert sample_between(earlier, later, cores=2) == Sample(
        taken_ns=500_000_000, cpu_seconds=0.25, cores=0.5, memory_bytes=7
    )


def test_a_rate_of_storage_counts_between_the_looks_at_storage() -> None:
    first = Reading(taken_ns=0, storage_taken_ns=0, read_bytes=0, write_bytes=1)
    same = first._replace(taken_ns=300_000_000)
    later = Reading(
        taken_ns=600_000_000, storage_taken_ns=500_000_000, read_bytes=100, write_bytes=1
    )
    rate = StorageRate(first)

    assert rate.after(same) == rate
    assert rate.after(later) == StorageRate(later, 200.0, 0.0)
    assert rate.after(later._replace(read_bytes=None)).read is None


def test_the_first_reading_has_no_rate() -> None:
    sample = sample_between(None, Reading(taken_ns=9, cpu_ns=10**9), cores=2)

    assert sample == Sample(taken_ns=9, cpu_seconds=1.0)


def test_a_parent_that_reaps_a_long_life_keeps_no_more_cores_busy_than_there_are() -> None:
    earlier = Reading(taken_ns=0, cpu_ns=0)
    later = Reading(taken_ns=250_000_000, cpu_ns=10 * 10**9)

    assert sample_between(earlier, later, cores=2).cores == 2.0


def test_ticks_make_no_thread_use_more_than_one_core() -> None:
    earlier = Reading(taken_ns=0, cpu_ns=0, threads=1, reaped_ns=7)
    later = Reading(taken_ns=50_000_000, cpu_ns=60_000_000, threads=1, reaped_ns=7)

    assert sample_between(earlier, later, cores=8).cores == 1.0
    assert sample_between(earlier, later._replace(threads=3), cores=8).cores == 1.2


def test_a_cgroup_may_have_had_others_but_a_tick_of_its_thread_is_not_theirs() -> None:
    earlier = Reading(taken_ns=0, cpu_ns=0, threads=1)
    ticked = Reading(taken_ns=50_000_000, cpu_ns=60_000_000, threads=1)
    others = ticked._replace(cpu_ns=61_000_000)

    assert sample_between(earlier, ticked, cores=8).cores == 1.0
    assert sample_between(earlier, others, cores=8).cores == 1.22


def test_the_thread_of_a_function_uses_a_core_beside_its_children() -> None:
    earlier = Reading(taken_ns=0, cpu_ns=0, threads=1, own_threads=1)
    later = Reading(taken_ns=50_000_000, cpu_ns=55_000_000, threads=1, own_threads=1)

    assert sample_between(earlier, later, cores=8).cores == 1.1


def test_children_that_came_and_went_may_have_used_more_than_the_threads_that_are_left() -> None:
    earlier = Reading(taken_ns=0, cpu_ns=0, threads=1, reaped_ns=0)
    later = Reading(taken_ns=10**9, cpu_ns=2 * 10**9, threads=1, reaped_ns=2 * 10**9)

    assert sample_between(earlier, later, cores=8).cores == 2.0


@given(readings, readings, st.integers(1, 64))
def test_no_rate_is_negative_or_larger_than_the_machine(
    earlier: Reading, later: Reading, cores: int
) -> None:
    sample = sample_between(earlier, later, cores=cores)

    assert sample.cores is None or 0 <= sample.cores <= cores


@given(st.permutations([Reading(taken_ns=i, cpu_ns=i, processes=None) for i in range(5)]))
def test_a_sum_does_not_depend_on_the_order(shuffled: list[Reading]) -> None:
    assert add_readings(tuple(shuffled), taken_ns=9) == Reading(taken_ns=9, cpu_ns=10)


def test_what_no_source_tells_stays_unknown_in_the_sum() -> None:
    parts = (Reading(taken_ns=1, cpu_ns=5), Reading(taken_ns=2, memory_bytes=7))

    assert add_readings(parts, taken_ns=2) == Reading(taken_ns=2, cpu_ns=5, memory_bytes=7)
