"""What executions used over a stretch of the past, as curves with a trend."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

from otel_codomon import names
from otel_codomon.journal.location import find_journal
from otel_codomon.journal.reader import JournalReader
from otel_codomon.report.distribution import Trend, find_trend
from otel_codomon.report.name_patterns import fits

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.journal.execution_record import ExecutionRecord

STEPS: Final = 60
# Longer than any execution is likely to run: what began before the stretch may reach into it.
_BEFORE_SECONDS: Final = 3600.0
_PROGRESS_STEP: Final = 1000
_KEYS: Final = frozenset({names.USAGE_CPU_TIME, names.USAGE_MEMORY_PEAK})


@dataclass(frozen=True, slots=True, kw_only=True)
class PastFigure:
    """One figure over the stretch.

    Attributes:
        values: One value for each step, oldest first.
        trend: Where it is going; None with too little to tell.
    """

    values: tuple[float, ...]
    trend: Trend | None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the executions of a stretch of time used together.

    The figures are spread evenly over each execution's life: the totals are
    exact, their place within one execution's life is not.

    Attributes:
        journal: The journal it was read from.
        since_unix_ns: Begin of the stretch, nanoseconds since the epoch.
        until_unix_ns: Its end.
        step_seconds: Length of one step, seconds.
        executions: Executions that ran in it.
        unreadable: Records of the journal that could not be understood.
        figures: ``running`` (executions at once, on average), ``cores`` (cores
            in use) and ``memory_bytes`` (sum of the peaks of what ran, an upper
            bound), for each step.
    """

    journal: str
    since_unix_ns: int
    until_unix_ns: int
    step_seconds: float
    executions: int
    unreadable: int
    figures: Mapping[str, PastFigure]


def make_history(
    *,
    journal: str | None = None,
    since_seconds: float,
    name: str | None = None,
    now_unix_ns: int | None = None,
    on_progress: Callable[[int], object] = lambda _: None,
) -> History:
    """Read what executions used from the journal.

    Args:
        journal: Folder of the journal; None for what the environment says.
        since_seconds: Length of the stretch up to now, seconds.
        name: Only executions of this name, or of names like ``thumb*``; None for all.
        now_unix_ns: End of the stretch, nanoseconds since the epoch; None for now.
        on_progress: Called with the number of executions read, now and then.
    """
    folder = find_journal(journal)
    until = time.time_ns() if now_unix_ns is None else now_unix_ns
    steps = _Steps(until / 1e9 - since_seconds, since_seconds / STEPS)
    reader = JournalReader(folder)
    earliest = until - int((since_seconds + _BEFORE_SECONDS) * 1e9)
    records = reader.executions(since_unix_ns=earliest, keys=_KEYS)
    for count, record in enumerate(records, 1):
        if name is None or fits(record.labels.name, name):
            steps.add(record, until)
        if count % _PROGRESS_STEP == 0:
            on_progress(count)
    return History(
        journal=folder,
        since_unix_ns=until - int(since_seconds * 1e9),
        until_unix_ns=until,
        step_seconds=steps.length,
        executions=steps.executions,
        unreadable=reader.unreadable,
        figures=steps.figures(),
    )


class _Steps:
    """Adds up executions in steps of equal length."""

    def __init__(self, begin: float, length: float) -> None:
        self._begin = begin
        self.length = length
        self.executions = 0
        self._running = [0.0] * STEPS
        self._cores = [0.0] * STEPS
        self._memory = [0.0] * STEPS

    def add(self, record: ExecutionRecord, now_unix_ns: int) -> None:
        """Add one execution to the steps it ran in."""
        begin = record.started_unix_ns / 1e9 - self._begin
        end = (record.ended_unix_ns or now_unix_ns) / 1e9 - self._begin
        if end < 0 or begin >= self.length * STEPS:
            return
        self.executions += 1
        cores = (record.usage.cpu_seconds or 0) / max(end - begin, 1e-9)
        memory = record.usage.peak_memory_bytes or 0
        first, last = max(0, int(begin / self.length)), min(STEPS - 1, int(end / self.length))
        for step in range(first, last + 1):
            low, high = step * self.length, (step + 1) * self.length
            share = max(0.0, min(end, high) - max(begin, low)) / self.length
            self._running[step] += share
            self._cores[step] += cores * share
            self._memory[step] += memory * share

    def figures(self) -> dict[str, PastFigure]:
        """The steps with their trends."""
        seconds = [(step + 0.5) * self.length for step in range(STEPS)]
        limits = {
            "running": None,
            "cores": float(psutil.cpu_count() or 1),
            "memory_bytes": float(psutil.virtual_memory().total),
        }
        columns = zip(limits, (self._running, self._cores, self._memory), strict=True)
        return {
            name: PastFigure(
                values=tuple(values), trend=find_trend(seconds, values, limit=limits[name])
            )
            for name, values in columns
        }
