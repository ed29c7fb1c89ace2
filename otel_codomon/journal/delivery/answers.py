"""What a collector's answer means for the records that were sent: pure tables.

From the OTLP specification, except where that would lose data that can wait
on disk: 408 and 500 are tried again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

MAX_DELAY_SECONDS: Final = 300.0
"""Longest wait a collector can ask for: with a day it would park us by a typo."""


class AnswerKind(Enum):
    """What is to be done with what was sent."""

    DELIVERED = "delivered"
    RETRY = "retry"  # the same bytes again, later
    REFUSED = "refused"  # something in it will never be taken
    AMBIGUOUS = "doubtful"  # either of the two
    BLOCKED = "parked"  # nothing will be taken until somebody mends something


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one request.

    Attributes:
        details: What is to be done.
        reason: A few words for a log: a status, an error's name. Never the
            answer's body.
        delay_seconds: How long the collector asks to wait; None if it does not.
        rejected: Spans or points it says it did not keep, of a request it took.
        is_answer: Whether the collector said anything; if not, it may have taken
            the request all the same.
    """

    kind: AnswerKind
    reason: str = ""
    delay_seconds: float | None = None
    rejected: int = 0
    is_answer: bool = True


_HTTP: Final = {
    400: AnswerKind.REFUSED,
    401: AnswerKind.BLOCKED,
    403: AnswerKind.BLOCKED,
    404: AnswerKind.BLOCKED,
    405: AnswerKind.BLOCKED,
    407: AnswerKind.BLOCKED,
    408: AnswerKind.RETRY,
    413: AnswerKind.REFUSED,
    429: AnswerKind.RETRY,
    500: AnswerKind.AMBIGUOUS,  # also what a collector says to data its exporter refuses
    501: AnswerKind.BLOCKED,
}

_GRPC: Final = {
    "OK": AnswerKind.DELIVERED,
    "CANCELLED": AnswerKind.RETRY,
    "UNKNOWN": AnswerKind.AMBIGUOUS,
    "INVALID_ARGUMENT": AnswerKind.REFUSED,
    "DEADLINE_EXCEEDED": AnswerKind.RETRY,
    "NOT_FOUND": AnswerKind.BLOCKED,
    "ALREADY_EXISTS": AnswerKind.REFUSED,
    "PERMISSION_DENIED": AnswerKind.BLOCKED,
    "RESOURCE_EXHAUSTED": AnswerKind.AMBIGUOUS,  # too large, or too busy: only RetryInfo tells
    "FAILED_PRECONDITION": AnswerKind.REFUSED,
    "ABORTED": AnswerKind.RETRY,
    "OUT_OF_RANGE": AnswerKind.RETRY,
    "UNIMPLEMENTED": AnswerKind.BLOCKED,
    "INTERNAL": AnswerKind.AMBIGUOUS,
    "UNAVAILABLE": AnswerKind.RETRY,
    "DATA_LOSS": AnswerKind.RETRY,
    "UNAUTHENTICATED": AnswerKind.BLOCKED,
}


def http_answer_kind(status: int) -> AnswerKind:
    """What an HTTP status means."""
    if 200 <= status < 300:  # noqa: PLR2004 - the class of successes
        return AnswerKind.DELIVERED
    if 300 <= status < 400:  # noqa: PLR2004 - a redirect is not a delivery, and is not followed
        return AnswerKind.BLOCKED
    if 400 <= status < 500:  # noqa: PLR2004 - the sender's fault
        return _HTTP.get(status, AnswerKind.REFUSED)
    return _HTTP.get(status, AnswerKind.RETRY)


def grpc_answer_kind(code: str, *, has_retry_info: bool) -> AnswerKind:
    """What a gRPC status means.

    Args:
        code: Its name.
        has_retry_info: Whether the answer says when to try again.
    """
    if code == "RESOURCE_EXHAUSTED" and has_retry_info:
        return AnswerKind.RETRY
    return _GRPC.get(code, AnswerKind.RETRY)


def is_page(content_type: str, body: bytes) -> bool:
    """Whether an answer is a page for people: a login, a proxy's greeting; not a delivery."""
    return "html" in content_type.lower() or body[:64].lstrip()[:1] == b"<"


def retry_after_seconds(value: str | None, *, now: float | None = None) -> float | None:
    """What a ``Retry-After`` header asks for, seconds; None where it makes no sense.

    Args:
        value: The header: a number of seconds or a date.
        now: Seconds since the epoch; None for now.
    """
    if value is None:
        return None
    value = value.strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
            seconds = date.timestamp() - (time.time() if now is None else now)
        except (TypeError, ValueError, OverflowError, IndexError):
            return None
    if not seconds >= 0:  # negative, or not a number
        return None
    return min(seconds, MAX_DELAY_SECONDS)
