"""The latest samples of running executions become gauges.

The callbacks add up what the sampler has left behind: they read no file of the
kernel, and take no lock.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import CallbackOptions, Observation

from otel_codomon import names
from otel_codomon._platform.never_raises import never_raises

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter

    from otel_codomon.resources.labels import Labels
    from otel_codomon.resources.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A running execution, as its gauges need it.

    Attributes:
        execution_id: Identifies it; decides its slot and is on no metric.
        labels: What it is summed by.
        sample: Its latest sample.
        context: The context of its span, for exemplars.
        memory_limit_bytes: A memory limit of its own; None without one.
        cores_limit: Cores that it alone may use; None without such a limit.
    """

    execution_id: str
    labels: Labels
    sample: Sample
    context: Context
    memory_limit_bytes: int | None = None
    cores_limit: float | None = None


@dataclass(frozen=True, slots=True)
class Available:
    """What all executions share where none has a limit of its own.

    Attributes:
        memory_bytes: Memory of the container, or of the machine.
        cores: Cores of the container, or of the machine.
    """

    memory_bytes: int | None
    cores: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: a metric and where in a sample its value is.

    Attributes:
        metric: The metric.
        field: The field of a `Sample` that is summed.
        direction: Which way, for the metric that is told apart by it.
        limit: The field of a `Live`, and of `Available` without ``_limit``, that the
            sum is a share of; None for a sum that is told as it is.
    """

    metric: names.Metric
    field: str
    direction: str | None = None
    limit: tuple[str, str] | None = None


_CORES: Final = ("cores_limit", "cores")
_MEMORY: Final = ("memory_limit_bytes", "memory_bytes")
ROWS: Final = (
    Row(names.EXECUTION_CPU_USAGE, "cores"),
    Row(names.EXECUTION_CPU_UTILIZATION, "cores", limit=_CORES),
    Row(names.EXECUTION_MEMORY_USAGE, "memory_bytes"),
    Row(names.EXECUTION_MEMORY_UTILIZATION, "memory_bytes", limit=_MEMORY),
    Row(names.EXECUTION_PROCESS_COUNT, "processes"),
    Row(names.EXECUTION_THREAD_COUNT, "threads"),
    Row(names.EXECUTION_FILE_DESCRIPTOR_COUNT, "file_descriptors"),
    Row(names.EXECUTION_DISK_RATE, "disk_read_bytes_per_second", "read"),
    Row(names.EXECUTION_DISK_RATE, "disk_write_bytes_per_second", "write"),
)
# The SDK stops exporting for good at an integer that does not fit.
_MOST: Final = 2**63 - 1


class Slots:
    """Small numbers for running executions, used again when one ends.

    So there are never more series than executions at once, however many ids
    come by.
    """

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def assign(self, execution_ids: Iterable[str]) -> Mapping[str, int]:
        """The slot of each of these, who are all that run; the slots of others are free again."""
        running = tuple(execution_ids)
        self._taken = {id_: self._taken[id_] for id_ in running if id_ in self._taken}
        used = set(self._taken.values())
        free = iter(n for n in range(len(used) + len(running)) if n not in used)
        for id_ in running:
            if id_ not in self._taken:
                self._taken[id_] = next(free)
        return self._taken


def observe_gauges(
    meter: Meter,
    live: Callable[[], tuple[Live, ...]],
    available: Available,
    *,
    by_slot: Callable[[], bool] = lambda: False,
) -> None:
    """Register the table's gauges on *meter*, fed by what *live* returns.

    Args:
        meter: Where they are registered.
        live: The running executions that have a sample. No sample is not zero.
        available: What they share.
        by_slot: Whether each execution has a series of its own now.
    """
    slots = Slots()
    by_metric: dict[str, list[Row]] = defaultdict(list)
    for row in ROWS:
        by_metric[row.metric.name].append(row)

    def register(metric: names.Metric, rows: list[Row]) -> None:
        @never_raises(f"observing {metric.name}", default=())
        def callback(_options: CallbackOptions) -> Iterable[Observation]:
            now = live()
            if by_slot():
                numbers = slots.assign(one.execution_id for one in now)
                return [
                    observation
                    for one in now
                    for observation in _of_one(one, rows, available, numbers[one.execution_id])
                ]
            return list(_of_all(now, rows, available))

        meter.create_observable_gauge(
            metric.name, [callback], unit=metric.unit, description=metric.description
        )

    for rows in by_metric.values():
        register(rows[0].metric, rows)


def _of_one(one: Live, rows: list[Row], available: Available, slot: int) -> Iterable[Observation]:
    """The values of one execution; the context makes an exemplar that leads to its trace."""
    attributes: dict[str, str | int] = {**one.labels.attributes()}
    attributes[names.EXECUTION_SLOT] = slot
    for row in rows:
        value = value_of(row, (one,), available)
        if value is not None:
            yield Observation(value, _with_direction(attributes, row), one.context)


def _of_all(now: tuple[Live, ...], rows: list[Row], available: Available) -> Iterable[Observation]:
    """The values of all executions, summed by their labels."""
    by_labels: dict[Labels, list[Live]] = defaultdict(list)
    for one in now:
        by_labels[one.labels].append(one)
    for labels, group in by_labels.items():
        for row in rows:
            value = value_of(row, tuple(group), available)
            if value is not None:
                yield Observation(value, _with_direction(labels.attributes(), row))


def _with_direction(attributes: Mapping[str, str | int], row: Row) -> dict[str, str | int]:
    if row.direction is None:
        return dict(attributes)
    return {**attributes, names.DISK_IO_DIRECTION: row.direction}


def value_of(row: Row, group: tuple[Live, ...], available: Available) -> int | float | None:
    """The value of *row* for a group of executions; None where nobody knows it."""
    known = [value for one in group if (value := getattr(one.sample, row.field)) is not None]
    if not known:
        return None
    total: int | float = sum(known)
    if row.limit is None:
        return _fitting(total)
    own, shared = row.limit
    limits = [getattr(one, own) for one in group]
    limit = sum(limits) if all(limits) else getattr(available, shared)
    return _fitting(total / limit) if limit else None


def _fitting(value: float) -> int | float | None:
    """*value* as the SDK can carry it; None for what is no number."""
    if isinstance(value, int):
        return min(value, _MOST)
    return value if math.isfinite(value) else None
