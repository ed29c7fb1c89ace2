"""What one end adds to the metrics of executions."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_codomon import names
from otel_codomon._platform.cleaning import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_codomon.journal.span_data import SpanData

_LABELS: Final = (
    names.EXECUTION_NAME,
    names.EXECUTION_KIND,
    names.EXECUTION_LANGUAGE,
    names.SANDBOX_TYPE,
)
_ENDED: Final = (*_LABELS, names.EXECUTION_OUTCOME)
_FROM_ATTRIBUTES: Final = (
    (names.EXECUTION_CPU_TIME, names.USAGE_CPU_TIME),
    (names.EXECUTION_MEMORY_PEAK, names.USAGE_MEMORY_PEAK),
)
_DISK_IO: Final = (("read", names.USAGE_DISK_READ), ("write", names.USAGE_DISK_WRITE))

WANTED: Final = frozenset(
    {
        *_ENDED,
        names.ERROR_TYPE,
        names.EXECUTION_ID,
        *(key for _, key in (*_FROM_ATTRIBUTES, *_DISK_IO)),
    }
)
"""The attributes of an end that metrics are made from."""

Attributes = tuple[tuple[str, str], ...]


class Measurement(NamedTuple):
    """One value that one execution adds to one metric.

    Attributes:
        metric: Name of the metric.
        attributes: Attributes of its series.
        value: In the unit of the metric.
    """

    metric: str
    attributes: Attributes
    value: float


def measurements_of(span: SpanData) -> Iterator[Measurement]:
    """What the execution of *span*, which has ended, adds."""
    attributes = span.attributes
    ended = _chosen(attributes, _ENDED)
    seconds = max(0, (span.ended_unix_ns or span.started_unix_ns) - span.started_unix_ns) / 1e9
    error = _chosen(attributes, (names.ERROR_TYPE,))
    yield Measurement(names.EXECUTION_DURATION.name, ended + error, seconds)
    for row, key in _FROM_ATTRIBUTES:
        value = attributes.get(key)
        if isinstance(value, (int, float)) and math.isfinite(value) and value >= 0:
            yield Measurement(row.name, ended, float(value))
    labels = _chosen(attributes, _LABELS)
    for direction, key in _DISK_IO:
        value = attributes.get(key)
        if isinstance(value, int) and value >= 0:
            direction_of = (*labels, (names.DISK_IO_DIRECTION, direction))
            yield Measurement(names.EXECUTION_DISK_IO.name, direction_of, value)
    for limit_type, count in _limits(span).items():
        limit = (*labels, (names.LIMIT_TYPE, limit_type))
        yield Measurement(names.EXECUTION_LIMIT_REACHED.name, limit, count)


def _limits(span: SpanData) -> Counter[str]:
    return Counter(
        clean_text(event["attributes"].get(names.LIMIT_TYPE, ""))
        for event in span.events
        if event["name"] == names.EVENT_LIMIT_REACHED
    )


def _chosen(attributes: Mapping[str, Any], keys: tuple[str, ...]) -> Attributes:
    return tuple(
        (key, clean_text(value)) for key in keys if (value := attributes.get(key)) is not None
    )
