from __future__ import annotations

import math
import random
import statistics
from itertools import combinations

import pytest
from hypothesis import given, settings, strategies as st

from otel_codomon.report.distribution import (
    Comparison,
    Distribution,
    Trend,
    compare,
    compare_rates,
    find_trend,
    percentile,
)

numbers = st.lists(st.integers(-1000, 1000).map(float), min_size=2, max_size=40)


def enumerated(before: list[float], after: list[float]) -> float:
    """The p-value by trying every way to deal the numbers out: an independent oracle."""
    together = [*before, *after]

    def twice_u(chosen: tuple[int, ...]) -> int:
        later = [together[i] for i in chosen]
        earlier = [x for i, x in enumerate(together) if i not in chosen]
        return sum(2 * (a > b) + (a == b) for a in later for b in earlier)

    seen = twice_u(tuple(range(len(before), len(together))))
    ways = [twice_u(chosen) for chosen in combinations(range(len(together)), len(after))]
    return sum(way >= seen for way in ways) / len(ways)


@given(numbers)
def test_percentiles_are_those_of_the_standard_library(sample: list[float]) -> None:
    ordered = sorted(sample)

    ours = [percentile(ordered, k / 100) for k in range(1, 100)]

    assert ours == pytest.approx(statistics.quantiles(sample, n=100, method="inclusive"))


@given(numbers)
def test_a_distribution_does_not_depend_on_order(sample: list[float]) -> None:
    assert Distribution.of(sample) == Distribution.of(sample[::-1])


def test_nothing_has_no_distribution() -> None:
    assert Distribution.of([]) is None


def test_one_number_is_all_of_its_distribution() -> None:
    assert Distribution.of([3.0]) == Distribution(
        count=1, minimum=3, p50=3, p90=3, p99=3, maximum=3, total=3
    )


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=8, unique=True), st.data())
def test_the_exact_test_counts_every_way_to_deal_the_numbers(
    sample: list[int], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(sample) - 1))
    before, after = [float(x) for x in sample[:cut]], [float(x) for x in sample[cut:]]

    found = compare(before, after)

    assert found is not None
    assert found.probability == pytest.approx(enumerated(before, after))


@settings(max_examples=30, deadline=None)  # the oracle tries 924 ways to deal the numbers out
@given(
    st.lists(st.integers(0, 4).map(float), min_size=1, max_size=6),
    st.lists(st.integers(0, 4).map(float), min_size=1, max_size=6),
)
def test_the_exact_test_counts_numbers_that_are_the_same(
    before: list[float], after: list[float]
) -> None:
    found = compare(before, after)

    assert found is not None
    assert found.probability == pytest.approx(enumerated(before, after))


def test_many_numbers_with_ties_are_near_what_dealing_them_out_at_random_gives() -> None:
    dice = random.Random(1)
    before = [float(dice.randrange(10)) for _ in range(40)]
    after = [float(dice.randrange(11)) for _ in range(40)]
    seen = compare(before, after)
    assert seen is not None

    together, reached = [*before, *after], 0
    for _ in range(2000):
        dice.shuffle(together)
        dealt = compare(together[:40], together[40:])
        assert dealt is not None
        reached += dealt.superiority >= seen.superiority

    assert 0.005 < seen.probability < 0.2
    assert seen.probability == pytest.approx(reached / 2000, abs=0.02)


@given(numbers, numbers)
def test_superiority_one_way_and_the_other_make_one(a: list[float], b: list[float]) -> None:
    there, back = compare(a, b), compare(b, a)

    assert there is not None
    assert back is not None
    assert there.superiority + back.superiority == pytest.approx(1)


def test_the_same_numbers_are_no_regression() -> None:
    assert compare([1.0] * 30, [1.0] * 30) == Comparison(probability=1.0, superiority=0.5)


def test_a_hundred_larger_numbers_are_no_chance() -> None:
    found = compare([float(x) for x in range(100)], [float(x + 100) for x in range(100)])

    assert found is not None
    assert found.superiority == 1
    assert found.probability < 1e-30


def test_nothing_compares_with_nothing() -> None:
    assert compare([], [1.0]) is None
    assert compare([1.0], []) is None
    assert compare_rates(0, 0, 1, 2) is None


@given(st.data())
def test_the_test_of_rates_counts_every_way_to_deal_the_failures(data: st.DataObject) -> None:
    before, after = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    failed_before = data.draw(st.integers(0, before))
    failed_after = data.draw(st.integers(0, after))
    hits = failed_before + failed_after

    expected = sum(
        math.comb(after, k) * math.comb(before, hits - k) for k in range(failed_after, hits + 1)
    ) / math.comb(before + after, hits)

    assert compare_rates(failed_before, before, failed_after, after) == pytest.approx(expected)


def test_a_rising_figure_says_when_it_reaches_its_limit() -> None:
    seconds = [float(s) for s in range(31)]

    trend = find_trend(seconds, [10 + 2 * s for s in seconds], limit=100)

    assert trend == Trend(direction="rising", slope_per_second=2.0, seconds_until_limit=15.0)


@pytest.mark.parametrize(
    ("numbers", "limit"),
    [
        pytest.param([10 + 2.0 * s for s in range(30)], 100, id="less than 30 seconds"),
        pytest.param([10 + 2.0 * s for s in range(61)], 2000, id="further than ten times as long"),
        pytest.param([s + 40 * (s % 7 == 0) for s in range(61)], 200, id="hardly on a line"),
    ],
)
def test_what_does_not_bear_a_forecast_rises_without_one(
    numbers: list[float], limit: float
) -> None:
    trend = find_trend([float(s) for s in range(len(numbers))], numbers, limit=limit)

    assert trend is not None
    assert (trend.direction, trend.seconds_until_limit) == ("rising", None)


def test_one_outlier_does_not_turn_a_trend() -> None:
    falling = [100.0 - s for s in range(20)]
    falling[10] = 10_000

    trend = find_trend([float(s) for s in range(20)], falling, limit=200)

    assert trend == Trend(direction="falling", slope_per_second=-1.0)


@given(st.lists(st.just(5.0), min_size=5, max_size=200))
def test_what_does_not_change_is_steady(sample: list[float]) -> None:
    trend = find_trend([float(s) for s in range(len(sample))], sample, limit=10)

    assert trend == Trend(direction="steady", slope_per_second=0.0)


def test_what_goes_up_and_down_is_steady() -> None:
    trend = find_trend([float(s) for s in range(100)], [math.sin(s) for s in range(100)])

    assert trend is not None
    assert trend.direction == "steady"


def test_few_points_have_no_trend() -> None:
    assert find_trend([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]) is None
    assert find_trend([1.0] * 9, [0.0] * 9) is None
