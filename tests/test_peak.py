from __future__ import annotations

from hypothesis import given, strategies as st

from otel_codomon.resources.memory_peak import Peak, is_own_peak, without_cache

sizes = st.integers(0, 2**40)


@given(sizes, sizes)
def test_page_cache_widens_the_bracket_of_a_cgroup_and_nothing_else(peak: int, cache: int) -> None:
    found = without_cache(peak, cache)

    assert found.bytes == max(0, peak - cache)
    assert (found.upper_bytes is None) == (found.bytes == peak)


def test_nothing_charged_is_no_peak() -> None:
    assert without_cache(None, 5) == Peak()


def test_a_mark_no_higher_than_the_spawners_is_not_the_childs_own() -> None:
    assert not is_own_peak(600, 600)
    assert is_own_peak(601, 600)
