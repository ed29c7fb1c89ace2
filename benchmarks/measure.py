"""What the benchmarks share: time a thing and its peer in turn, and print the ratio."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: ours against a peer, measured in the same run.

    Attributes:
        what: What was measured.
        ours: Our figure, in *unit*.
        peer: The peer's figure, in *unit*.
        unit: Unit of both.
        bar: The ratio that ours / peer may reach; None where it is only told.
        note: Who the peer is.
    """

    what: str
    ours: float
    peer: float
    unit: str
    bar: float | None
    note: str

    @property
    def ratio(self) -> float:
        """Ours divided by the peer's."""
        return self.ours / self.peer if self.peer else float("inf")

    def __str__(self) -> str:
        bar = "" if self.bar is None else f"<= {self.bar:g}"
        verdict = "" if self.bar is None else ("ok" if self.ratio <= self.bar else "OVER")
        return (
            f"{self.what:<52} {self.ours:>10.2f} {self.peer:>10.2f} {self.unit:<4} "
            f"{self.ratio:>7.3f} {bar:>8} {verdict:<5} {self.note}"
        )


HEADER = f"{'what':<52} {'ours':>10} {'peer':>10} {'':<4} {'ratio':>7} {'bar':>8} {'':<5} peer"


def in_turn(
    ours: Callable[[], object], peer: Callable[[], object], *, rounds: int = 15, calls: int = 1
) -> tuple[float, float]:
    """Median seconds of one call of each, measured alternately so that drift hits both.

    Args:
        ours: What is measured.
        peer: What it is compared with.
        rounds: How often each is timed.
        calls: Calls in one timing, for what takes microseconds.
    """
    figures: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for function, found in zip((ours, peer), figures, strict=True):
            begin = time.perf_counter()
            for _ in range(calls):
                function()
            found.append((time.perf_counter() - begin) / calls)
    return statistics.median(figures[0]), statistics.median(figures[1])


def print_table(title: str, rows: Iterable[Row]) -> None:
    """Print *rows* as they come."""
    print(f"\n{title}\n{HEADER}")
    for row in rows:
        print(row, flush=True)
