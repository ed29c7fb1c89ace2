"""Executions of one name counted together, without keeping them: 100,000 fit in 10 MiB."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from otel_codomon import names
from otel_codomon.values.distribution import Distribution
from otel_codomon.values.execution import Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_codomon.values.execution import ExecutionRecord, Labels


def _ratio(part: float | None, whole: object) -> float | None:
    if part is None or not isinstance(whole, (int, float)) or whole <= 0:
        return None
    return part / whole


def _disk_bytes(record: ExecutionRecord) -> float | None:
    read, written = record.usage.disk_read_bytes, record.usage.disk_write_bytes
    return None if read is None and written is None else (read or 0) + (written or 0)


def _share_of(limit: str, used: Callable[[ExecutionRecord], float | None]) -> Any:  # noqa: ANN401 - a row's function
    return lambda record: _ratio(used(record), record.attributes.get(limit))


def _limit(key: str) -> Any:  # noqa: ANN401 - as above
    def read(record: ExecutionRecord) -> float | None:
        value = record.attributes.get(key)
        return value if isinstance(value, (int, float)) else None

    return read


# Name of each figure, and where in an execution it is; None is not known.
FIGURES: Final[Mapping[str, Callable[[ExecutionRecord], float | None]]] = {
    "duration_seconds": lambda record: record.duration_seconds,
    "cpu_seconds": lambda record: record.usage.cpu_seconds,
    "peak_memory_bytes": lambda record: record.usage.peak_memory_bytes,
    "disk_bytes": _disk_bytes,
    "processes": lambda record: record.usage.processes,
    "cores": lambda record: _ratio(record.usage.cpu_seconds, record.duration_seconds),
    "throttled_share": lambda record: _ratio(
        record.usage.cpu_throttled_seconds, record.duration_seconds
    ),
    "processes_per_second": lambda record: _ratio(record.usage.processes, record.duration_seconds),
    "memory_limit_bytes": _limit(names.LIMIT_MEMORY),
    "timeout_limit_seconds": _limit(names.EXECUTION_TIMEOUT),
    "memory_limit_share": _share_of(names.LIMIT_MEMORY, lambda r: r.usage.peak_memory_bytes),
    "cpu_limit_share": _share_of(names.LIMIT_CPU, lambda r: r.usage.cpu_seconds),
    "timeout_limit_share": _share_of(names.EXECUTION_TIMEOUT, lambda r: r.duration_seconds),
}

# Of these the executions with the largest are remembered, as examples.
RANKED: Final = ("duration_seconds", "cpu_seconds", "peak_memory_bytes", "processes")
EXAMPLES: Final = 3
# A process that begins has something to load; a command is always a first one.
_LASTING_HOSTS: Final = frozenset({Kind.FUNCTION, Kind.SNIPPET, Kind.CELL, Kind.TASK})
# Chosen by untrusted code: an error type may be anything.
_MAX_ERROR_TYPES: Final = 100


class Tally:
    """What the finished executions of one name, kind, language and sandbox add up to.

    Args:
        labels: What they have in common.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.count = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.error_types: Counter[str] = Counter()
        self._figures: dict[str, array[float]] = {name: array("d") for name in FIGURES}
        self._ranked: dict[str, list[tuple[float, str]]] = {name: [] for name in RANKED}
        self._ids: dict[Outcome, list[str]] = {}
        self._firsts: dict[int, tuple[int, float]] = {}
        self._distributions: dict[str, Distribution | None] = {}

    def add(self, record: ExecutionRecord) -> None:
        """Count one finished execution."""
        self.count += 1
        self._distributions.clear()
        if record.outcome is not None:
            self._add_outcome(record, record.outcome)
        for name, read in FIGURES.items():
            value = read(record)
            if value is not None:
                self._figures[name].append(value)
                if name in self._ranked:
                    self._rank(self._ranked[name], value, record.execution_id)
        if record.labels.kind in _LASTING_HOSTS and record.host_pid is not None:
            self._add_first(record.host_pid, record)

    def _add_outcome(self, record: ExecutionRecord, outcome: Outcome) -> None:
        self.outcomes[outcome] += 1
        ids = self._ids.setdefault(outcome, [])
        if len(ids) < EXAMPLES:
            ids.append(record.execution_id)
        error = record.attributes.get(names.ERROR_TYPE)
        if isinstance(error, str):
            is_known = error in self.error_types or len(self.error_types) < _MAX_ERROR_TYPES
            self.error_types[error if is_known else "others"] += 1

    def _rank(self, ranked: list[tuple[float, str]], value: float, execution_id: str) -> None:
        if len(ranked) < EXAMPLES or value > ranked[-1][0]:
            ranked.append((value, execution_id))
            ranked.sort(reverse=True)
            del ranked[EXAMPLES:]

    def _add_first(self, pid: int, record: ExecutionRecord) -> None:
        seconds = record.duration_seconds
        found = self._firsts.get(pid)
        if seconds is not None and (found is None or record.started_unix_ns < found[0]):
            self._firsts[pid] = (record.started_unix_ns, seconds)

    # --- what they add up to ---

    @property
    def failures(self) -> int:
        """How many did not end well."""
        return self.count - self.outcomes[Outcome.SUCCESS]

    def numbers(self, figure: str) -> array[float]:
        """All known values of a figure, in no order."""
        return self._figures[figure]

    def distribution(self, figure: str) -> Distribution | None:
        """The distribution of a figure; None where no execution tells it."""
        if figure not in self._distributions:
            self._distributions[figure] = Distribution.of(self._figures[figure])
        return self._distributions[figure]

    def histogram(self, figure: str, boundaries: tuple[float, ...]) -> tuple[int, ...]:
        """How many values lie in each bucket, as a histogram of these boundaries would count."""
        counts = [0] * (len(boundaries) + 1)
        for value in self._figures[figure]:
            counts[bisect_left(boundaries, value)] += 1
        return tuple(counts)

    def first_seconds(self) -> list[float]:
        """Duration of the first execution in each process, seconds."""
        return [seconds for _, seconds in self._firsts.values()]

    def examples(self, *outcomes: Outcome) -> tuple[str, ...]:
        """Ids of a few executions that ended like this."""
        return tuple(id_ for outcome in outcomes for id_ in self._ids.get(outcome, ()))[:EXAMPLES]

    def largest(self, figure: str) -> tuple[str, ...]:
        """Ids of the executions with the largest values of a figure in `RANKED`."""
        return tuple(id_ for _, id_ in self._ranked[figure])
