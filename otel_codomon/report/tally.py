"""Executions of one name counted together, without keeping them: 100,000 fit in 10 MiB."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_codomon import names
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.report.distribution import Distribution
from otel_codomon.resources.labels import Kind

if TYPE_CHECKING:
    from otel_codomon.journal.execution_record import ExecutionRecord
    from otel_codomon.resources.labels import Labels
    from otel_codomon.resources.usage import Curve


def _ratio(part: float | None, whole: object) -> float | None:
    if part is None or not isinstance(whole, (int, float)) or whole <= 0:
        return None
    return part / whole


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) else None


FIGURES: Final = (
    *("duration_seconds", "cpu_seconds", "peak_memory_bytes", "disk_bytes", "processes"),
    *("cores", "throttled_share", "processes_per_second"),
    *("memory_limit_bytes", "timeout_limit_seconds", "timeout_reached_seconds"),
    *("memory_limit_share", "cpu_limit_share", "timeout_limit_share", "timeout_used_share"),
)
"""Names of the figures, in the order of `figures_of`; the end of a name is the unit."""

TALLIED: Final = frozenset(
    {
        names.ERROR_TYPE,
        names.EXECUTION_TIMEOUT,
        names.LIMIT_CPU,
        names.LIMIT_MEMORY,
        names.USAGE_CPU_THROTTLED_TIME,
        names.USAGE_CPU_TIME,
        names.USAGE_DISK_READ,
        names.USAGE_DISK_WRITE,
        names.USAGE_MEMORY_PEAK,
        names.USAGE_PROCESSES,
    }
)
"""The attributes that a tally is made of."""


def figures_of(record: ExecutionRecord) -> tuple[float | None, ...]:
    """The figures of an execution; None for what is not known.

    Straight on and not a table of functions: 100,000 executions ask for all
    of them, and the calls took a second.
    """
    usage, get = record.usage, record.attributes.get
    seconds, memory_limit = record.duration_seconds, _number(get(names.LIMIT_MEMORY))
    timeout = _number(get(names.EXECUTION_TIMEOUT))
    read, written = usage.disk_read_bytes, usage.disk_write_bytes
    return (
        seconds,
        usage.cpu_seconds,
        usage.peak_memory_bytes,
        None if read is None and written is None else (read or 0) + (written or 0),
        usage.processes,
        _ratio(usage.cpu_seconds, seconds),
        _ratio(usage.cpu_throttled_seconds, seconds),
        _ratio(usage.processes, seconds),
        memory_limit,
        timeout,
        # A timeout of a part of it, such as a request's, leaves its own unreached.
        timeout if timeout is not None and seconds is not None and seconds >= timeout else None,
        _ratio(usage.peak_memory_bytes, memory_limit),
        _ratio(usage.cpu_seconds, get(names.LIMIT_CPU)),
        _ratio(seconds, timeout),
        # Of those that ended in time: how close they came.
        None if record.outcome is Outcome.TIMEOUT else _ratio(seconds, timeout),
    )


# Of these the executions with the largest are remembered, as examples.
RANKED: Final = ("duration_seconds", "cpu_seconds", "peak_memory_bytes", "processes")
_RANKED_AT: Final = tuple((name, FIGURES.index(name)) for name in RANKED)
EXAMPLES: Final = 3
# Outcomes of which a report says which limit was reached.
_APART: Final = frozenset({Outcome.OOM_KILLED, Outcome.TIMEOUT})
# A process that begins has something to load; a command is always a first one.
_LASTING_HOSTS: Final = frozenset({Kind.FUNCTION, Kind.SNIPPET, Kind.CELL, Kind.TASK})
# Chosen by untrusted code: an error type may be anything.
_MAX_ERROR_TYPES: Final = 100


class Example(NamedTuple):
    """An execution that shows something.

    Attributes:
        execution_id: Its id.
        span_id: Its span, 16 hexadecimal digits, by which the journal finds it.
    """

    execution_id: str
    span_id: str


class Figures:
    """The figures of executions, each by itself: all known values, in the order added."""

    def __init__(self) -> None:
        self._numbers: dict[str, array[float]] = {name: array("d") for name in FIGURES}
        self._distributions: dict[str, Distribution | None] = {}

    def add(self, values: tuple[float | None, ...]) -> None:
        """Add the figures of one execution, in the order of `FIGURES`."""
        self._distributions.clear()
        for numbers, value in zip(self._numbers.values(), values, strict=True):
            if value is not None:
                numbers.append(value)

    def numbers(self, figure: str) -> array[float]:
        """All known values of a figure, in the order in which they were added."""
        return self._numbers[figure]

    def distribution(self, figure: str) -> Distribution | None:
        """The distribution of a figure; None where no execution tells it."""
        if figure not in self._distributions:
            self._distributions[figure] = Distribution.of(self._numbers[figure])
        return self._distributions[figure]

    def most_common(self, figure: str) -> float | None:
        """The most frequent value of a figure; None where no execution tells it."""
        counts = Counter(self._numbers[figure]).most_common(1)
        return counts[0][0] if counts else None


class Tally:
    """What the finished executions of one name, kind, language and sandbox add up to.

    Args:
        labels: What they have in common.

    Attributes:
        curves: Those of the executions with the largest peaks, where they were fetched.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.count = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.error_types: Counter[str] = Counter()
        self._figures = Figures()
        self._apart: dict[Outcome, Figures] = {}
        self._ranked: dict[str, list[tuple[float, Example]]] = {name: [] for name in RANKED}
        self._examples: dict[Outcome, list[Example]] = {}
        self._firsts: dict[int, tuple[int, float]] = {}
        self._periods: dict[Outcome, tuple[int, int]] = {}
        self.curves: tuple[Curve, ...] = ()

    def add(self, record: ExecutionRecord) -> None:
        """Count one finished execution."""
        self.count += 1
        values = figures_of(record)
        self._figures.add(values)
        if record.outcome is not None:
            self._add_outcome(record, record.outcome)
        if record.outcome in _APART:
            self._apart.setdefault(record.outcome, Figures()).add(values)
        for name, at in _RANKED_AT:
            value = values[at]
            if value is not None:
                self._rank(self._ranked[name], value, record)
        if record.labels.kind in _LASTING_HOSTS and record.host_pid is not None:
            self._add_first(record.host_pid, record)

    def _add_outcome(self, record: ExecutionRecord, outcome: Outcome) -> None:
        self.outcomes[outcome] += 1
        started = record.started_unix_ns
        first, last = self._periods.get(outcome, (started, started))
        self._periods[outcome] = (min(first, started), max(last, started))
        examples = self._examples.setdefault(outcome, [])
        if len(examples) < EXAMPLES:
            examples.append(Example(record.execution_id, record.span_id))
        error = record.attributes.get(names.ERROR_TYPE)
        if isinstance(error, str):
            is_known = error in self.error_types or len(self.error_types) < _MAX_ERROR_TYPES
            self.error_types[error if is_known else "others"] += 1

    def _rank(
        self, ranked: list[tuple[float, Example]], value: float, record: ExecutionRecord
    ) -> None:
        if len(ranked) < EXAMPLES or value > ranked[-1][0]:
            ranked.append((value, Example(record.execution_id, record.span_id)))
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
        """How many are known not to have ended well."""
        return self.known - self.outcomes[Outcome.SUCCESS]

    @property
    def known(self) -> int:
        """Of how many it is known how they ended: what a share of failures is a share of."""
        return self.count - self.outcomes[Outcome.UNKNOWN]

    def numbers(self, figure: str) -> array[float]:
        """All known values of a figure, in the order in which they were added."""
        return self._figures.numbers(figure)

    def distribution(self, figure: str) -> Distribution | None:
        """The distribution of a figure; None where no execution tells it."""
        return self._figures.distribution(figure)

    def of_outcome(self, outcome: Outcome) -> Figures:
        """The figures of those alone that ran out of memory, or of time."""
        return self._apart.get(outcome) or Figures()

    def first_seconds(self) -> list[float]:
        """Duration of the first execution in each process, seconds."""
        return [seconds for _, seconds in self._firsts.values()]

    def examples(self, *outcomes: Outcome) -> tuple[Example, ...]:
        """A few executions that ended like this, the newest first."""
        kept = (one for outcome in outcomes for one in self._examples.get(outcome, ()))
        return tuple(kept)[:EXAMPLES]

    def started_unix_ns(self, *outcomes: Outcome) -> tuple[int, int] | None:
        """Start of the first and of the last that ended like this; of all where none is named."""
        periods = [self._periods[one] for one in outcomes or self._periods if one in self._periods]
        if not periods:
            return None
        return min(first for first, _ in periods), max(last for _, last in periods)

    @property
    def kept(self) -> set[Example]:
        """All executions that can be examples."""
        ranked = (example for row in self._ranked.values() for _, example in row)
        return {*ranked, *(example for row in self._examples.values() for example in row)}

    def largest(self, figure: str) -> tuple[Example, ...]:
        """The executions with the largest values of a figure in `RANKED`."""
        return tuple(example for _, example in self._ranked[figure])
