from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from otel_codomon.resources.memory_peak import Peak
from otel_codomon.resources.totals import (
    ChildTotals,
    TreeTotals,
    peak_of_tree,
    usage_of_child,
    usage_of_tree,
)

MIB = 1024 * 1024
CHILD = ChildTotals(
    pid=7,
    user_seconds=1.0,
    system_seconds=0.5,
    maxrss_bytes=300 * MIB,
    read_bytes=1,
    write_bytes=2,
    voluntary_switches=3,
    involuntary_switches=4,
    major_faults=5,
    minor_faults=6,
    spawner_peak_bytes=50 * MIB,
)


def test_a_single_process_that_was_waited_for_has_exact_totals() -> None:
    tree = TreeTotals(told=[CHILD], peak_sum_bytes=10, largest_peak_bytes=10, processes=1)
    tree = replace(tree, peaks_together_bytes=10)

    usage = usage_of_tree(tree)

    assert (usage.cpu_seconds, usage.cpu_user_seconds, usage.cpu_system_seconds) == (1.5, 1.0, 0.5)
    assert (usage.peak_memory_bytes, usage.peak_memory_upper_bytes) == (300 * MIB, None)
    assert (usage.disk_read_bytes, usage.disk_write_bytes) == (1, 2)


@pytest.mark.parametrize("spawner_peak_bytes", [50 * MIB, 300 * MIB, None])
def test_a_process_that_was_never_sampled_has_the_totals_of_a_tree_of_one(
    spawner_peak_bytes: int | None,
) -> None:
    child = replace(CHILD, spawner_peak_bytes=spawner_peak_bytes)

    assert usage_of_child(child) == usage_of_tree(TreeTotals(told=[child]))


def test_a_peak_that_may_be_the_spawners_is_only_an_upper_bound() -> None:
    child = replace(CHILD, spawner_peak_bytes=600 * MIB, maxrss_bytes=600 * MIB)
    tree = TreeTotals(
        told=[child], peak_sum_bytes=MIB, largest_peak_bytes=2 * MIB, peaks_together_bytes=2 * MIB
    )

    assert peak_of_tree(tree) == Peak(2 * MIB, 600 * MIB)
    assert peak_of_tree(TreeTotals(told=[child])) == Peak()


def test_a_tree_is_between_what_was_seen_at_once_and_the_sum_of_the_marks() -> None:
    tree = TreeTotals(peak_sum_bytes=315, largest_peak_bytes=110, peaks_together_bytes=330)

    assert peak_of_tree(tree) == Peak(315, 330)


def test_who_was_not_told_of_counts_by_what_was_seen_and_has_no_user_time() -> None:
    usage = usage_of_tree(TreeTotals(told=[CHILD], rest_cpu_ns=500_000_000, is_complete=False))

    assert (usage.cpu_seconds, usage.cpu_user_seconds) == (2.0, None)


sizes = st.integers(1, 2**40)


@given(st.lists(st.lists(sizes, min_size=3, max_size=3), min_size=1, max_size=8), st.data())
def test_the_true_peak_of_a_tree_is_always_in_the_bracket(
    sizes_by_process: list[list[int]], data: st.DataObject
) -> None:
    sums = [sum(column) for column in zip(*sizes_by_process, strict=True)]
    marks = [max(sizes) for sizes in sizes_by_process]

    peak = peak_of_tree(
        TreeTotals(
            peak_sum_bytes=data.draw(st.sampled_from(sums)),
            largest_peak_bytes=max(marks),
            peaks_together_bytes=sum(marks),
        )
    )

    assert peak.bytes is not None
    assert peak.bytes <= max(sums) <= (peak.upper_bytes or peak.bytes)
