from __future__ import annotations

import math
from dataclasses import fields

import pytest
from hypothesis import given, strategies as st

from otel_codomon.caches.findings import RULES, CacheFinding, Span, find_in
from otel_codomon.caches.statistics import NO_COUNTS, CacheReading, Counts, without_nonsense

amounts = st.one_of(st.none(), st.integers(0, 10**6))
counts = st.builds(Counts, amounts, amounts, amounts, amounts, amounts)
known = st.builds(Counts, *[st.integers(0, 10**6)] * 5)


def after(history: list[str]) -> CacheReading:
    """What functools tells after *history*."""
    last_clear = max((i for i, e in enumerate(history) if e == "clear"), default=-1)
    kept = history[last_clear + 1 :]
    return CacheReading(hits=kept.count("hit"), misses=kept.count("miss"))


@given(st.lists(st.sampled_from(["hit", "miss", "clear"])), st.data())
def test_growth_is_exact_without_a_clear_and_never_negative_with_one(
    events: list[str], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(events)))

    growth = after(events).since(after(events[:cut]))

    assert growth.hits is not None
    assert growth.misses is not None
    assert growth.hits >= 0
    assert growth.misses >= 0
    if "clear" not in events[cut:]:
        assert growth.hits == events[cut:].count("hit")
        assert growth.misses == events[cut:].count("miss")


def test_an_epoch_tells_a_restart_that_was_overtaken() -> None:
    before = CacheReading(hits=5, misses=5, epoch="first")
    later = CacheReading(hits=9, misses=9, epoch="second")

    assert later.since(before) == Counts(hits=9, misses=9)


@given(known, known, known)
def test_sums_do_not_depend_on_order(a: Counts, b: Counts, c: Counts) -> None:
    assert a.plus(b).plus(c) == c.plus(a).plus(b)


@given(counts, known)
def test_what_is_not_known_stays_unknown_on_top_of_anything(now: Counts, base: Counts) -> None:
    reading = CacheReading().with_counts(now)

    found = reading.on_top_of(base).counts

    assert [value is None for value in found] == [value is None for value in now]
    assert found.minus(base) == now


@given(counts, counts)
def test_a_reading_that_follows_has_not_fallen_and_knows_as_much(
    before: Counts, now: Counts
) -> None:
    earlier, later = (CacheReading().with_counts(both) for both in (before, now))

    if later.follows(earlier):
        assert later.since(earlier) == now.minus(before)
        assert [value is None for value in now] == [value is None for value in before]
    else:
        assert now != before


@pytest.mark.parametrize("nonsense", [-1, math.nan, math.inf, -math.inf, "many"])
@pytest.mark.parametrize("field", ["hits", "clears", "entries", "size_bytes"])
def test_numbers_that_cannot_be_are_taken_out(field: str, nonsense: object) -> None:
    reading = CacheReading(hits=1, misses=2)._replace(**{field: nonsense})  # type: ignore[arg-type] # planted

    assert not reading.follows(CacheReading(hits=1, misses=2, clears=1, entries=3, size_bytes=4))
    assert without_nonsense(reading) == (reading._replace(**{field: None}), (field,))  # type: ignore[arg-type] # as above


def test_a_whole_number_is_taken_also_from_a_float() -> None:
    assert without_nonsense(CacheReading(hits=3.0)) == (CacheReading(hits=3), ())  # type: ignore[arg-type] # planted


def test_there_is_no_hit_ratio_before_the_first_lookup() -> None:
    assert CacheReading(hits=0, misses=0).hit_ratio is None
    assert CacheReading(hits=3, misses=1).hit_ratio == 0.75


# --- findings ---

EMPTY = CacheReading(*NO_COUNTS, entries=0)
FINDINGS = {
    "never_hit": (EMPTY, EMPTY._replace(misses=100), {"misses": 100}),
    "thrashing": (
        EMPTY._replace(capacity=10),
        EMPTY._replace(hits=40, misses=200, evictions=190, entries=10, capacity=10),
        {"evictions": 190, "misses": 200, "hits": 40, "capacity": 10},
    ),
    "growing_without_limit": (
        EMPTY._replace(entries=1000, unbounded=True),
        EMPTY._replace(hits=1, entries=2000, unbounded=True),
        {"before": 1000, "entries": 2000},
    ),
    "far_too_large": (
        EMPTY._replace(entries=20, capacity=1000),
        EMPTY._replace(hits=1990, misses=10, entries=20, capacity=1000),
        {"entries": 20, "capacity": 1000, "lookups": 2000},
    ),
    "always_cleared": (
        EMPTY,
        EMPTY._replace(hits=50, misses=50, clears=10),
        {"clears": 10, "lookups": 100},
    ),
}


@pytest.mark.parametrize("rule", FINDINGS)
def test_each_rule_finds_its_case_and_only_that(rule: str) -> None:
    first, last, evidence = FINDINGS[rule]

    found = find_in([Span("parse", "lru_cache", first, last)])

    assert [(finding.rule, finding.evidence) for finding in found] == [(rule, evidence)]
    assert all(str(value) in found[0].message for value in evidence.values())


# These need no two looks, and are tested with real caches.
BY_SETUP = ("no_capacity", "no_lifetime", "unbounded", "keeps_instances")


def test_every_rule_has_a_case() -> None:
    assert {rule.name for rule in RULES} == {*FINDINGS, *BY_SETUP}


@pytest.mark.parametrize("rule", FINDINGS)
def test_nothing_is_found_between_two_looks_with_nothing_in_between(rule: str) -> None:
    _, last, _ = FINDINGS[rule]

    found = {finding.rule for finding in find_in([Span("parse", "lru_cache", last, last)])}

    assert found <= {rule, *BY_SETUP}


def test_a_full_cache_that_mostly_hits_does_not_thrash() -> None:
    last = EMPTY._replace(hits=10_000, misses=200, evictions=190, entries=10, capacity=10)

    assert find_in([Span("parse", "lru_cache", EMPTY, last)]) == ()


def test_the_capacity_that_would_help_is_told_where_it_is_known() -> None:
    first = EMPTY._replace(capacity=10, returning=0)
    last = first._replace(hits=40, misses=200, evictions=190, entries=10, returning=150)

    [finding] = find_in([Span("parse", "counted", first, last)])

    assert finding == CacheFinding(
        name="parse",
        kind="counted",
        rule="thrashing",
        message="dropped 190 entries in 200 misses at its capacity of 10 (hits: 40); "
        "150 of the misses asked for what it had dropped shortly before",
        advice="a capacity of 20 would have kept these",
        evidence={
            "evictions": 190,
            "misses": 200,
            "hits": 40,
            "capacity": 10,
            "returning": 150,
            "twice": 20,
        },
    )


@given(
    st.lists(st.builds(CacheReading, amounts, amounts, amounts, amounts, amounts, amounts, amounts))
)
def test_the_rules_take_any_readings(readings: list[CacheReading]) -> None:
    for first in readings:
        for last in readings:
            for finding in find_in([Span("any", "any", first, last)]):
                assert all(getattr(finding, field.name) is not None for field in fields(finding))
