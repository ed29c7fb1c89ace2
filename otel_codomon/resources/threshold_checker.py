"""The marks of one execution, and who is told when it is beyond one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_codomon._platform.never_raises import before_forks

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from otel_codomon.resources.sample import Sample
    from otel_codomon.resources.thresholds import Crossing, Thresholds

    class Notify(Protocol):
        """Is told of each mark that is crossed, and when the execution is ended for it.

        The end may come at a later look than the first, once there is something to end.
        """

        def __call__(self, crossing: Crossing, *, is_first: bool, is_end: bool) -> None:
            """Take note of it."""


class ThresholdChecker:
    """Compares samples with thresholds, and tells of each crossing once, and of the end.

    Args:
        thresholds: The marks.
        notify: Who is told.
    """

    __slots__ = ("_crossed", "_notify", "_thresholds")

    def __init__(self, thresholds: Thresholds, notify: Notify) -> None:
        self._thresholds = thresholds
        self._notify = notify
        self._crossed: set[str] = set()

    def compare(self, sample: Sample, *, elapsed_seconds: float, end: Callable[[], bool]) -> None:
        """Tell of the marks that *sample* is beyond, so long after the start.

        Args:
            sample: What was seen.
            elapsed_seconds: Time since the start.
            end: Ends what may be ended; whether there was something to end.
        """
        crossings = self._thresholds.crossed(sample, elapsed_seconds=elapsed_seconds)
        is_end = bool(crossings) and self._thresholds.end and end()
        for crossing in crossings:
            is_first = crossing.kind not in self._crossed
            if is_first or is_end:
                self._crossed.add(crossing.kind)
                with before_forks():
                    self._notify(crossing, is_first=is_first, is_end=is_end)
