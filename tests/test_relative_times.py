from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from otel_codomon._platform.relative_times import in_age, seconds_ago

ZONE = timezone(timedelta(hours=2))
NOON = datetime(2026, 3, 2, 12, tzinfo=ZONE)
HOUR = 3600.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90),
        ("1.5h", 1.5 * HOUR),
        (" 2D ", 48 * HOUR),
        ("1w", 7 * 24 * HOUR),
        ("11:30", 0.5 * HOUR),
        ("11:59:30", 30),
        ("13:00", 23 * HOUR),
        ("today", 12 * HOUR),
        ("yesterday", 36 * HOUR),
        ("2026-03-01", 36 * HOUR),
        ("2026-03-02T09:00:00Z", 1 * HOUR),
        ("2026-03-02T11:00", 1 * HOUR),
    ],
)
def test_a_time_is_taken_as_people_say_it(text: str, expected: float) -> None:
    assert seconds_ago(text, now=NOON) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "-5m",
        "0s",
        "m",
        "25:00",
        "12:60",
        "tomorrow",
        "2030-01-01",
        "31y",
        "9999999d",
        "1e5s",
    ],
)
def test_what_names_no_time_of_the_past_is_none(text: str) -> None:
    assert seconds_ago(text, now=NOON) is None


@given(st.text(max_size=30))
def test_any_text_is_a_time_of_the_past_or_none(text: str) -> None:
    found = seconds_ago(text, now=NOON)

    assert found is None or found > 0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "now"), (59, "59s ago"), (61, "1m ago"), (7300, "2h ago"), (200_000, "2d ago")],
)
def test_an_age_has_one_unit(seconds: float, expected: str) -> None:
    assert in_age(seconds) == expected
