"""Marks that an execution may cross, and what happens then."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_codomon._platform.refused_values import shown
from otel_codomon._platform.untrusted_arguments import plain_number
from otel_codomon.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.resources.sample import Sample


class Crossing(NamedTuple):
    """A mark that was crossed.

    Attributes:
        kind: ``memory``, ``cpu``, ``processes`` or ``wall``.
        threshold: Where the mark was.
        seen: What was seen when it was noticed.
    """

    kind: str
    threshold: float
    seen: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Marks whose crossing is told by an event on the span. None is no mark.

    They are noticed by sampling: what comes and goes between two looks is not
    seen, and an end comes up to one interval late. `Limits` are held by the kernel.

    Attributes:
        memory_bytes: Memory in use, bytes.
        cpu_seconds: CPU time of the whole execution, seconds.
        processes: Living processes.
        wall_seconds: Time since its start, seconds.
        end: Whether the first crossing ends it, with outcome ``limit_exceeded``:
            every process of it is killed. What runs in this process itself
            cannot be ended, and is only told of.

    Raises:
        InvalidArgumentError: A mark is not a positive, finite number.
    """

    memory_bytes: int | None = None
    cpu_seconds: float | None = None
    processes: int | None = None
    wall_seconds: float | None = None
    end: bool = False

    def __post_init__(self) -> None:
        for _, field, _ in _MARKS:
            value = getattr(self, field)
            number = plain_number(value)
            if value is not None and not (number and 0 < number <= sys.float_info.max):
                raise InvalidArgumentError(
                    field,
                    f"cannot set the threshold {field} to {shown(value)}: it is not a positive "
                    "number; leave it out for none",
                )

    def crossed(self, sample: Sample, *, elapsed_seconds: float) -> tuple[Crossing, ...]:
        """The marks that *sample*, taken so long after the start, is beyond."""
        found = []
        for kind, field, seen_in in _MARKS:
            mark = getattr(self, field)
            seen = seen_in(sample, elapsed_seconds)
            if mark is not None and seen is not None and seen > mark:
                found.append(Crossing(kind, mark, seen))
        return tuple(found)


# Kind, where the mark is, where what it is compared with is.
_MARKS: Final[tuple[tuple[str, str, Callable[[Sample, float], float | None]], ...]] = (
    ("memory", "memory_bytes", lambda sample, _elapsed: sample.memory_bytes),
    ("cpu", "cpu_seconds", lambda sample, _elapsed: sample.cpu_seconds),
    ("processes", "processes", lambda sample, _elapsed: sample.processes),
    ("wall", "wall_seconds", lambda _sample, elapsed: elapsed),
)
