"""Times as people say them: how long ago an instant of the past was. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from otel_codomon._platform.bounds import LONGEST_SECONDS

ACCEPTED: Final = "use 90s, 15m, 2d or 1w, a time such as 14:30, a date, ISO 8601, or yesterday"

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_DAY: Final = timedelta(days=1)
# The largest unit alone: how long ago something was need not be told more exactly.
_AGES: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def seconds_ago(text: str, *, now: datetime) -> float | None:
    """How long before *now* the instant was that *text* names, seconds.

    >>> noon = datetime.fromisoformat("2026-03-02T12:00:00+00:00")
    >>> [seconds_ago(text, now=noon) for text in ("90s", "2h", "11:59", "13:00", "yesterday")]
    [90.0, 7200.0, 60.0, 82800.0, 129600.0]

    Args:
        text: A span (``15m``), a time of the last 24 hours (``14:30``), a date or
            an instant of ISO 8601, ``today`` or ``yesterday``.
        now: With its time zone, in which times and dates are meant.

    Returns:
        None where it names no instant of the last thirty years.
    """
    words = text.strip().lower()
    span = _SPAN.fullmatch(words)
    if span is not None:
        found: float | None = float(span[1]) * _UNITS[span[2]]
    else:
        instant = _instant(words, now)
        found = None if instant is None else (now - instant).total_seconds()
    return found if found is not None and 0 < found <= LONGEST_SECONDS else None


def _instant(words: str, now: datetime) -> datetime | None:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if words in ("today", "yesterday"):
        return midnight - (_DAY if words == "yesterday" else timedelta())
    clock = _CLOCK.fullmatch(words)
    if clock is not None:
        at = midnight.replace(hour=int(clock[1]), minute=int(clock[2]), second=int(clock[3] or 0))
        return at if at < now else at - _DAY
    try:
        found = datetime.fromisoformat(words.upper().replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=now.tzinfo)


def in_age(seconds: float) -> str:
    """How long ago, for people: ``45s ago``, ``3h ago``; ``now`` below a second."""
    for size, unit in _AGES:
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return "now"
