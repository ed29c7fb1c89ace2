"""How many of the last executions a limit would have stopped. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otel_codomon.report.tally import Tally

LAST: Final = 100
# Fewer show nothing about the next one.
_ENOUGH: Final = 20
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What a limit would have done.

    Attributes:
        name: Name of the executions.
        limit: The limit, by its name in `Limits`, or ``timeout_seconds``.
        value: Its value, in the unit that its name ends with.
        executions: Of how many it is known what they used: the last 100 at most.
        failed: How many of them used as much or more. One that was stopped
            by a lower limit counts with what it had used until then.
    """

    name: str
    limit: str
    value: float
    executions: int
    failed: int


def _bytes_step(largest: float) -> float:
    """The smallest power of two above it, and 1 MiB at least."""
    return math.ldexp(_MIB, max(0, math.floor(math.log2(max(largest, 1) / _MIB)) + 1))


def _seconds_step(largest: float) -> float:
    """The smallest power of two above it, and 1 second at least."""
    return math.ldexp(1, max(0, math.floor(math.log2(max(largest, 0.5))) + 1))


_LIMITS: Final[tuple[tuple[str, str, Callable[[float], float]], ...]] = (
    ("memory_bytes", "peak_memory_bytes", _bytes_step),
    ("timeout_seconds", "duration_seconds", _seconds_step),
)


def what_if(tallies: Iterable[Tally]) -> Iterator[WhatIf]:
    """For each name: a limit that stops none, and the two halvings of it."""
    for tally in tallies:
        for limit, figure, step in _LIMITS:
            # The newest executions are added first.
            values = tally.numbers(figure)[:LAST]
            if len(values) >= _ENOUGH:
                yield from _rows(tally.labels.name, limit, values, step(max(values)))


def _rows(name: str, limit: str, values: Sequence[float], largest: float) -> Iterator[WhatIf]:
    for value in (largest, largest / 2, largest / 4):
        failed = sum(1 for used in values if used >= value)
        yield WhatIf(
            name=name, limit=limit, value=float(value), executions=len(values), failed=failed
        )
        if failed == len(values):
            return
