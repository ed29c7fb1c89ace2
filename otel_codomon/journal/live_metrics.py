"""Takes metric points back out of the journal: those of the processes that run now."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from otel_codomon import names
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.index import MAX_READ_BYTES, is_locked, pid_in, read_from
from otel_codomon.journal.segments import Record, decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DELTA: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA


class Point(NamedTuple):
    """One number of one collection.

    Attributes:
        metric: Name of the metric.
        attributes: Its attributes.
        value: The number.
        time_unix_ns: When it was taken, nanoseconds since the epoch.
        is_delta: Whether it is what was added since the collection before.
    """

    metric: str
    attributes: Mapping[str, Any]
    value: float
    time_unix_ns: int
    is_delta: bool


@dataclass(slots=True)
class Collected:
    """What one running process has collected, oldest collection first.

    Attributes:
        session: The process, by its id in the journal.
        pid: Its process id; None where the record that told is damaged.
        requests: OTLP requests as they were written.
    """

    session: bytes
    pid: int | None
    requests: list[bytes] = field(default_factory=list)


def running(folder: str) -> list[Collected]:
    """What the running processes have collected, as far back as the journal goes."""
    try:
        folder_fd = folders.find_folder(folder)
    except OSError:  # reported by what reads the rest of it
        return []
    if folder_fd is None:  # no journal, so nothing is known
        return []
    try:
        return _running(folder_fd)
    finally:
        os.close(folder_fd)


def _running(folder_fd: int) -> list[Collected]:
    """A session may reach over several segments; it runs if the last of one is locked by it."""
    found: dict[bytes, Collected] = {}
    alive: set[bytes] = set()
    for name in folders.segment_names(folder_fd, folders.METRICS):
        session = _read_segment(folder_fd, name, found)
        if session is not None and is_locked(folder_fd, name):
            alive.add(session)
    return [collected for session, collected in found.items() if session in alive]


def _read_segment(folder_fd: int, name: str, found: dict[bytes, Collected]) -> bytes | None:
    """Add what a segment holds to *found*; the session that wrote last, if any."""
    try:
        descriptor = folders.open_file(folder_fd, name, os.O_RDONLY)
    except OSError:  # evicted since it was listed, or not ours
        return None
    try:
        segment = read_from(descriptor, 0, MAX_READ_BYTES)
    finally:
        os.close(descriptor)
    session = None
    for item in decode(segment):
        if not isinstance(item, Record):
            continue
        if item.signal == segments.SESSION:
            session = item.key
            found.setdefault(session, Collected(session, pid_in(item.payload)))
        elif item.signal == segments.METRICS and session is not None:
            found[session].requests.append(item.payload)
    return session


def points_of(request: bytes, *, prefix: str) -> Iterator[Point]:
    """The points of our own counters and gauges whose names begin with *prefix*."""
    for scope in _scopes(request):
        for metric in scope.metrics:
            kind = metric.WhichOneof("data")
            if metric.name.startswith(prefix) and kind in {"sum", "gauge"}:
                data = getattr(metric, kind)
                is_delta = kind == "sum" and data.aggregation_temporality == _DELTA
                for point in data.data_points:
                    yield Point(
                        metric.name,
                        _attributes(point.attributes),
                        getattr(point, point.WhichOneof("value") or "as_int"),
                        point.time_unix_nano,
                        is_delta,
                    )


def resource_of(request: bytes) -> Mapping[str, Any]:
    """The attributes of the resource of a request."""
    for resource_metrics in _decoded(request).resource_metrics:
        return _attributes(resource_metrics.resource.attributes)
    return {}


def _scopes(request: bytes) -> Iterator[Any]:
    for resource_metrics in _decoded(request).resource_metrics:
        for scope in resource_metrics.scope_metrics:
            if scope.scope.name == names.SCOPE:
                yield scope


def _decoded(request: bytes) -> ExportMetricsServiceRequest:
    decoded = ExportMetricsServiceRequest()
    try:
        decoded.ParseFromString(request)
    except DecodeError:  # written by a later version, or damaged twice over
        return ExportMetricsServiceRequest()
    return decoded


def _attributes(pairs: Any) -> dict[str, Any]:  # noqa: ANN401 - protobuf's own containers
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
        for pair in pairs
    }
