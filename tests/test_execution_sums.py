"""Sums of executions: against the SDK's own histograms, and through JSON unchanged."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, strategies as st
from opentelemetry.sdk.metrics import Histogram as SdkHistogram, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import (
    Aggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
)

from otel_codomon import names
from otel_codomon.journal.execution_metrics.aggregates import (
    MAX_BUCKETS,
    Aggregate,
    ExponentialHistogram,
    Histogram,
    Total,
    aggregate_of,
    bucket_index,
)

BOUNDARIES = names.DURATION_BOUNDARIES
seconds = st.floats(0, 1e6, allow_subnormal=False) | st.sampled_from([*BOUNDARIES, 0.0])
values = st.lists(seconds, min_size=1, max_size=40)


def by_the_sdk(recorded: list[float], aggregation: Aggregation) -> Any:  # noqa: ANN401 - one of two points
    """The point that the SDK makes of the same values."""
    reader = InMemoryMetricReader(preferred_aggregation={SdkHistogram: aggregation})
    provider = MeterProvider([reader], shutdown_on_exit=False)
    histogram = provider.get_meter("test").create_histogram("test")
    for value in recorded:
        histogram.record(value)
    data = reader.get_metrics_data()
    assert data is not None
    provider.shutdown()
    return data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0]


@given(recorded=values)
def test_fixed_buckets_are_the_sdk_s(recorded: list[float]) -> None:
    ours = Histogram(BOUNDARIES)
    for value in recorded:
        ours.add(value)

    theirs = by_the_sdk(recorded, ExplicitBucketHistogramAggregation(BOUNDARIES))

    assert ours.counts == list(theirs.bucket_counts)
    assert (ours.count, ours.smallest, ours.largest) == (theirs.count, theirs.min, theirs.max)
    assert ours.total == pytest.approx(theirs.sum)


@given(recorded=values)
def test_exponential_buckets_are_the_sdk_s(recorded: list[float]) -> None:
    ours = ExponentialHistogram()
    for value in recorded:
        ours.add(value)

    theirs = by_the_sdk(recorded, ExponentialBucketHistogramAggregation())

    assert (ours.count, ours.zeros) == (theirs.count, theirs.zero_count)
    # At another scale than theirs each of our buckets is a part of one of theirs, or the reverse.
    scale = min(ours.scale, theirs.scale)
    offset = theirs.positive.offset
    expected: dict[int, int] = {}
    for at, count in enumerate(theirs.positive.bucket_counts):
        if count:
            index = (offset + at) >> (theirs.scale - scale)
            expected[index] = expected.get(index, 0) + count
    found: dict[int, int] = {}
    for index, count in ours.counts.items():
        found[index >> (ours.scale - scale)] = found.get(index >> (ours.scale - scale), 0) + count
    assert found == expected


@given(value=st.floats(1e-300, 1e300), scale=st.integers(-10, 20))
def test_a_value_is_in_its_exponential_bucket(value: float, scale: int) -> None:
    index = bucket_index(value, scale)

    # Within what a float can tell, which is much less than a bucket.
    exact = math.log2(value) * 2.0**scale
    assert index - 1e-3 <= exact <= index + 1 + 1e-3


@pytest.mark.parametrize("scale", [-3, -1, 0, 1, 7, 20])
@pytest.mark.parametrize("power", [-8, -1, 0, 1, 8])
def test_a_power_of_two_ends_its_bucket(power: int, scale: int) -> None:
    index = bucket_index(2.0**power, scale)

    assert index < power * 2.0**scale <= index + 1


@given(recorded=values)
def test_exponential_buckets_are_few(recorded: list[float]) -> None:
    ours = ExponentialHistogram()
    for value in recorded:
        ours.add(value)

    assert not ours.counts or max(ours.counts) - min(ours.counts) < MAX_BUCKETS


@given(recorded=values, kind=st.sampled_from([Total, ExponentialHistogram, Histogram]))
def test_nothing_changes_on_the_way_through_json(recorded: list[float], kind: type) -> None:
    ours: Aggregate = Histogram(BOUNDARIES) if kind is Histogram else kind()
    for value in recorded:
        ours.add(value)

    again = aggregate_of(
        json.loads(json.dumps(ours.to_json())),
        () if kind is Total else BOUNDARIES,
        is_exponential=kind is ExponentialHistogram,
    )

    assert again == ours


@pytest.mark.parametrize(
    "told",
    [None, "text", -1, True, [], [1, 2], [[1], 0, 0, 0], [[-1] * 16, 0, 0, 0], [20, 0, 5, 0, 0, 0]],
)
@pytest.mark.parametrize("kind", ["total", "fixed", "exponential"])
def test_nonsense_is_refused(told: object, kind: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        aggregate_of(
            told, () if kind == "total" else BOUNDARIES, is_exponential=kind == "exponential"
        )


def test_a_copy_does_not_change_with_what_it_was_made_of() -> None:
    for ours in (Total(), Histogram(BOUNDARIES), ExponentialHistogram()):
        ours.add(3)
        copy = ours.copy()
        ours.add(4)
        assert copy != ours
