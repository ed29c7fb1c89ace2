"""The executions of a period as marks on a timeline: each, or cells where there are many. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.journal.execution_record import ExecutionRecord

MOST: Final = 2000
"""Marks: what a page can draw and a reader can see."""
LANES: Final = 12
OTHERS: Final = "other names"
_CELLS: Final = MOST // LANES

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One execution on a timeline, or several that began close together. None is not known.

    Attributes:
        name: Its name, or ``other names`` in the lane that has the names without their own.
        started_unix_ns: Its start, or that of the part of the period, nanoseconds since the
            epoch.
        outcome: How it ended; None while it runs. Of several, of the last that failed.
        executions: How many they are.
        failures: How many of them failed.
        duration_seconds: How long it took, seconds; None while it runs. The longest of several.
        peak_memory_bytes: Most memory in use at one instant, bytes. The largest of several.
        execution_id: Its id; of several that of the one whose outcome is told.
    """

    name: str
    started_unix_ns: int
    outcome: str | None
    executions: int
    failures: int
    duration_seconds: float | None
    peak_memory_bytes: int | None
    execution_id: str


class Timeline:
    """Takes in executions, the newest first, and keeps a bounded number of marks.

    Args:
        since_unix_ns: Begin of the period, nanoseconds since the epoch.
        until_unix_ns: Its end.
    """

    def __init__(self, since_unix_ns: int, until_unix_ns: int) -> None:
        self._since = since_unix_ns
        self._length = max(1, until_unix_ns - since_unix_ns)
        self._marks: list[Mark] | None = []
        self._cells: dict[tuple[str, int], Mark] = {}

    def add(self, record: ExecutionRecord) -> None:
        """Take in one execution of the period."""
        mark = _mark_of(record)
        if self._marks is None:
            self._merge(mark)
            return
        self._marks.append(mark)
        if len(self._marks) > MOST:
            marks, self._marks = self._marks, None
            for each in marks:
                self._merge(each)

    def _merge(self, mark: Mark) -> None:
        cell = (mark.name, self._cell_of(mark.started_unix_ns))
        before = self._cells.get(cell)
        self._cells[cell] = mark if before is None else _together(before, mark)

    def _cell_of(self, started_unix_ns: int) -> int:
        return min(_CELLS - 1, (started_unix_ns - self._since) * _CELLS // self._length)

    def marks(self, names: tuple[str, ...]) -> tuple[Mark, ...]:
        """The marks, oldest first.

        Args:
            names: The names that get a lane of their own first, while there is room; the
                executions of names without one are in one lane together.
        """
        seen = self._cells if self._marks is None else ((mark.name, 0) for mark in self._marks)
        there = {name for name, _ in seen}
        ordered = [*(name for name in names if name in there), *sorted(there - set(names))]
        own = frozenset(ordered[: LANES - 1] if len(ordered) > LANES else ordered)
        if self._marks is not None:
            found = [
                each if each.name in own else replace(each, name=OTHERS) for each in self._marks
            ]
        else:
            found = list(self._in_lanes(own))
        return tuple(sorted(found, key=lambda mark: mark.started_unix_ns))

    def _in_lanes(self, own: frozenset[str]) -> Iterator[Mark]:
        others: dict[int, Mark] = {}
        for (name, cell), mark in self._cells.items():
            started = self._since + cell * self._length // _CELLS
            placed = replace(mark, started_unix_ns=started)
            if name in own:
                yield placed
            else:
                other = replace(placed, name=OTHERS)
                others[cell] = _together(others[cell], other) if cell in others else other
        yield from others.values()


def _mark_of(record: ExecutionRecord) -> Mark:
    outcome = record.outcome
    return Mark(
        name=record.labels.name,
        started_unix_ns=record.started_unix_ns,
        outcome=None if outcome is None else outcome.value,
        executions=1,
        failures=int(outcome is not None and outcome.is_failure),
        duration_seconds=record.duration_seconds,
        peak_memory_bytes=record.usage.peak_memory_bytes,
        execution_id=record.execution_id,
    )


def _together(one: Mark, other: Mark) -> Mark:
    told = other if other.failures and not one.failures else one
    return Mark(
        name=one.name,
        started_unix_ns=min(one.started_unix_ns, other.started_unix_ns),
        outcome=told.outcome,
        executions=one.executions + other.executions,
        failures=one.failures + other.failures,
        duration_seconds=_largest(one.duration_seconds, other.duration_seconds),
        peak_memory_bytes=_largest(one.peak_memory_bytes, other.peak_memory_bytes),
        execution_id=told.execution_id,
    )


def _largest(one: N | None, other: N | None) -> N | None:
    known = [value for value in (one, other) if value is not None]
    return max(known) if known else None
