"""The sums of all executions of a journal: per service, per metric, per series.

Pure: no clock, no file. `state` writes them, `points` makes OTLP of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_codomon import names
from otel_codomon._platform.cleaning import MAX_NAME, clean_text
from otel_codomon.journal.execution_metrics.aggregates import (
    Aggregate,
    Exemplar,
    aggregate_for,
    aggregate_of,
)
from otel_codomon.journal.execution_metrics.measurements import measurements_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_codomon.journal.execution_metrics.measurements import Attributes
    from otel_codomon.journal.span_data import SpanData

METRICS: Final[Mapping[str, names.Metric]] = {
    row.name: row
    for row in (
        names.EXECUTION_DURATION,
        names.EXECUTION_CPU_TIME,
        names.EXECUTION_MEMORY_PEAK,
        names.EXECUTION_DISK_IO,
        names.EXECUTION_LIMIT_REACHED,
    )
}
"""The metrics that are made from ends."""

MAX_SERIES: Final = 1000
"""Of one metric of one service; what is beyond goes under `OTHER`, and is counted there."""

MAX_SERVICES: Final = 100
"""Of one journal; what is beyond is one service more, called `OTHER`."""

MAX_ERROR_TYPES: Final = 100
"""Of one service: code can make up classes."""

OTHER: Final = "_OTHER"  # what the conventions call a value beyond the known ones

_OPEN: Final = frozenset({names.EXECUTION_NAME, names.EXECUTION_LANGUAGE, names.ERROR_TYPE})
"""Attributes that can have any value; the others are closed sets."""

_RESOURCE: Final = ("service.", "deployment.", "host.")
_INSTANCE: Final = "service.instance.id"
_MAX_RESOURCE: Final = 64

SeriesKey = tuple[str, "Attributes"]
ServiceKey = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Service:
    """The sums of one service.

    Attributes:
        resource: Attributes of its resource, the instance left out.
        started_unix_ns: Since when its executions are added up, nanoseconds since the epoch.
        added_unix_ns: When one was added last.
        series: The sums, by metric and attributes.
        exemplars: Of what was added since the last export, by series and bucket.
        before: What changed since the last export, as it was then; None for what is new.
    """

    resource: Mapping[str, Any]
    started_unix_ns: int
    added_unix_ns: int = 0
    series: dict[SeriesKey, Aggregate] = field(default_factory=dict)
    exemplars: dict[SeriesKey, dict[object, Exemplar]] = field(default_factory=dict)
    before: dict[SeriesKey, Aggregate | None] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _errors: set[str] = field(default_factory=set)

    def put(self, key: SeriesKey, aggregate: Aggregate) -> None:
        """Have *aggregate* as the series *key*, which is new."""
        self.series[key] = aggregate
        self._counts[key[0]] = self._counts.get(key[0], 0) + 1
        self._errors.update(value for name, value in key[1] if name == names.ERROR_TYPE)

    def key_of(self, metric: str, attributes: Attributes) -> SeriesKey:
        """The series of these attributes, or the one for all that are too many."""
        key = (metric, tuple(map(self._known, attributes)))
        if key in self.series or self._counts.get(metric, 0) < MAX_SERIES:
            return key
        bounded = ((name, OTHER if name in _OPEN else value) for name, value in attributes)
        return metric, tuple(bounded)

    def _known(self, attribute: tuple[str, str]) -> tuple[str, str]:
        name, value = attribute
        if name != names.ERROR_TYPE or value in self._errors:
            return attribute
        return attribute if len(self._errors) < MAX_ERROR_TYPES else (name, OTHER)


class Sums:
    """What all executions of a journal add up to.

    Args:
        is_exponential: Whether histograms have exponential buckets.

    Attributes:
        services: The sums, by resource.
        is_changed: Whether something was added since the last export.
    """

    def __init__(self, *, is_exponential: bool = False) -> None:
        self.is_exponential = is_exponential
        self.services: dict[ServiceKey, Service] = {}
        self.is_changed = False

    def add(
        self,
        span: SpanData,
        resource: Mapping[str, Any],
        *,
        since_unix_ns: int,
        now_unix_ns: int,
        is_sampled: bool = True,
    ) -> None:
        """Add one execution that has ended.

        Args:
            span: Its span.
            resource: Attributes of its resource.
            since_unix_ns: Where its service is new, since when it is added up.
            now_unix_ns: When it is added.
            is_sampled: Whether its span is delivered, so that it can be an exemplar.
        """
        service = self._service(resource, since_unix_ns)
        ended = span.ended_unix_ns or span.started_unix_ns
        service.added_unix_ns = now_unix_ns
        self.is_changed = True
        for metric, attributes, value in measurements_of(span):
            key = service.key_of(metric, attributes)
            aggregate = service.series.get(key)
            if key not in service.before:
                service.before[key] = None if aggregate is None else aggregate.copy()
            if aggregate is None:
                aggregate = aggregate_for(
                    METRICS[metric].boundaries, is_exponential=self.is_exponential
                )
                service.put(key, aggregate)
            bucket = aggregate.add(value)
            if is_sampled:
                exemplar = Exemplar(value, ended, span.trace_id, span.span_id)
                service.exemplars.setdefault(key, {})[bucket] = exemplar

    def _service(self, resource: Mapping[str, Any], since_unix_ns: int) -> Service:
        told = shared_resource(resource)
        key = _service_key(told)
        found = self.services.get(key)
        if found is None and len(self.services) >= MAX_SERVICES:
            told = {"service.name": OTHER}
            key = _service_key(told)
            found = self.services.get(key)
        if found is None:
            found = self.services[key] = Service(told, since_unix_ns)
        return found

    def exported(self) -> None:
        """Note that everything so far was exported."""
        self.is_changed = False
        for service in self.services.values():
            service.before.clear()
            service.exemplars.clear()

    def forget(self, key: ServiceKey, taken: Iterable[SeriesKey], unix_ns: int) -> None:
        """Drop growth that was taken; once all of a service's was, it begins again at *unix_ns*."""
        service = self.services.get(key)
        if service is None:
            return
        gone = set(taken)
        fresh = Service(service.resource, service.started_unix_ns, service.added_unix_ns)
        for kept in service.series.keys() - gone:
            fresh.put(kept, service.series[kept])
        fresh.exemplars = {
            kept: service.exemplars[kept] for kept in service.exemplars.keys() - gone
        }
        fresh.before = {kept: service.before[kept] for kept in service.before.keys() - gone}
        if not fresh.series:
            fresh.started_unix_ns = unix_ns
        self.services[key] = fresh

    def forget_idle(self, since_unix_ns: int) -> None:
        """Drop the services of which no execution ended since then."""
        for key, service in tuple(self.services.items()):
            if service.added_unix_ns < since_unix_ns:
                del self.services[key]

    # --- JSON ---

    def to_json(self) -> list[object]:
        """What `add_json` takes."""
        return [
            {
                "resource": service.resource,
                "started": service.started_unix_ns,
                "added": service.added_unix_ns,
                "series": [
                    [metric, attributes, aggregate.to_json()]
                    for (metric, attributes), aggregate in service.series.items()
                ],
            }
            for service in self.services.values()
        ]

    def add_json(self, told: Iterable[Any]) -> None:
        """Take over what `to_json` gave.

        Raises:
            ValueError: It is something else.
            TypeError: As above.
            KeyError: As above.
            AttributeError: As above.
        """
        for one in told:
            resource = shared_resource(one["resource"])
            started, added = int(one["started"]), int(one["added"])
            service = self.services[_service_key(resource)] = Service(resource, started, added)
            for metric, attributes, aggregate in one["series"]:
                key = (str(metric), tuple((str(name), str(value)) for name, value in attributes))
                boundaries = METRICS[metric].boundaries
                is_exponential = self.is_exponential
                service.put(key, aggregate_of(aggregate, boundaries, is_exponential=is_exponential))


def shared_resource(resource: Mapping[str, Any]) -> dict[str, Any]:
    """What of *resource* all processes of a service on a host have in common."""
    wanted = sorted(key for key in resource if key.startswith(_RESOURCE) and key != _INSTANCE)
    return {clean_text(key, limit=MAX_NAME): resource[key] for key in wanted[:_MAX_RESOURCE]}


def _service_key(resource: Mapping[str, Any]) -> ServiceKey:
    return tuple((key, repr(value)) for key, value in resource.items())
