from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from otel_codomon.journal.delivery.answers import (
    MAX_DELAY_SECONDS,
    AnswerKind,
    grpc_answer_kind,
    http_answer_kind,
    is_page,
    retry_after_seconds,
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("3", 3),
        (" 0.5 ", 0.5),
        ("0", 0),
        ("-1", None),
        ("86400", MAX_DELAY_SECONDS),
        ("9" * 400, MAX_DELAY_SECONDS),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 30),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_DELAY_SECONDS),
    ],
)
def test_the_wait_that_is_asked_for(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, now=0) == seconds


@given(st.text())
def test_no_wait_is_negative_endless_or_a_complaint(value: str) -> None:
    seconds = retry_after_seconds(value)

    assert seconds is None or (math.isfinite(seconds) and 0 <= seconds <= MAX_DELAY_SECONDS)


@given(st.integers(100, 999))
def test_only_a_success_is_a_delivery(status: int) -> None:
    assert (http_answer_kind(status) is AnswerKind.DELIVERED) == (200 <= status <= 299)


def test_only_a_request_that_is_at_fault_is_refused() -> None:
    refused = [status for status in range(600) if http_answer_kind(status) is AnswerKind.REFUSED]

    assert 400 in refused
    assert 413 in refused
    assert not {401, 403, 404, 408, 429, 500, 502, 503, 504} & set(refused)


def test_exhaustion_is_waited_out_only_where_the_collector_says_so() -> None:
    assert grpc_answer_kind("RESOURCE_EXHAUSTED", has_retry_info=True) is AnswerKind.RETRY
    assert grpc_answer_kind("RESOURCE_EXHAUSTED", has_retry_info=False) is AnswerKind.AMBIGUOUS
    assert grpc_answer_kind("A_CODE_OF_TOMORROW", has_retry_info=False) is AnswerKind.RETRY


def test_a_page_for_people_is_told_from_an_answer() -> None:
    assert is_page("text/HTML; charset=utf-8", b"")
    assert is_page("", b"\n <!doctype html>")
    assert not is_page("application/json", b"{}")
    assert not is_page("", b"")
