"""What ran in a period, how it ended, and what is wrong with it."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_codomon.host.oom_kills import read_oom_kills
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.location import find_journal
from otel_codomon.journal.reader import JournalReader
from otel_codomon.report.evidence import LEAK_BYTES, LEAK_SECONDS
from otel_codomon.report.execution_lines import ExampleLine, ExecutionLine
from otel_codomon.report.name_patterns import fits
from otel_codomon.report.problems import Problem, problems_in
from otel_codomon.report.rules import find_in
from otel_codomon.report.tally import TALLIED, Tally
from otel_codomon.report.timeline import Timeline
from otel_codomon.report.values import CacheProblem, Group, MemoryKills, Report, Slot
from otel_codomon.report.what_if import what_if
from otel_codomon.resources.usage import Curve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otel_codomon.journal.execution_record import ExecutionRecord
    from otel_codomon.report.tally import Example
    from otel_codomon.resources.labels import Labels

DAY_SECONDS: Final = 86400.0
# A page with more bars than this is no picture.
RECENT: Final = 200
LARGEST: Final = 10
PROBLEMS: Final = 20
SLOTS: Final = 48
# The names that took the most time: each costs three curves to read.
_SEARCHED_FOR_LEAKS: Final = 50


def make_report(
    *,
    journal: str | None = None,
    since_seconds: float = DAY_SECONDS,
    name: str | None = None,
    now_unix_ns: int | None = None,
    with_marks: bool = False,
    on_progress: Callable[[int], object] = lambda _: None,
) -> Report:
    """Read the journal and report on a period up to now.

    Args:
        journal: Folder of the journal; None for what the environment says.
        since_seconds: Length of the period. The period before it, of equal
            length, is what regressions are found against.
        name: Only executions of this name, or of names like ``thumb*``; None for all.
        now_unix_ns: End of the period, nanoseconds since the epoch; None for now.
        with_marks: Whether each execution is told, for a timeline.
        on_progress: Called with the number of executions read, now and then.
    """
    folder = find_journal(journal)
    until = time.time_ns() if now_unix_ns is None else now_unix_ns
    since = until - int(since_seconds * 1e9)
    reader = JournalReader(folder)
    opened = reader.opened(since_unix_ns=2 * since - until, until_unix_ns=until, keys=TALLIED)
    with opened as records:
        gathered = _Gathered(since, until, reader, with_marks=with_marks)
        for record in records:
            if name is None or fits(record.labels.name, name):
                gathered.add(record)
                if gathered.read % _PROGRESS_STEP == 0:
                    on_progress(gathered.read)
        return gathered.report(folder)


_PROGRESS_STEP: Final = 1000


class _Largest:
    """The lines of the few records with the largest values, without keeping the rest.

    Args:
        size: How many.
        complete: Fetches the curve of a record that becomes one of them.
    """

    def __init__(self, size: int, complete: Callable[[ExecutionRecord], ExecutionRecord]) -> None:
        self._size = size
        self._complete = complete
        self._heap: list[tuple[float, int, ExecutionLine]] = []
        self._seen = 0

    def add(self, value: float | None, record: ExecutionRecord) -> None:
        """Keep *record* if it is one of them."""
        if value is None:
            return
        is_full = len(self._heap) >= self._size
        if is_full and value <= self._heap[0][0]:
            return
        self._seen += 1
        # The number in the middle keeps equal values apart: lines have no order.
        item = (value, -self._seen, ExecutionLine.of(self._complete(record)))
        if is_full:
            heapq.heapreplace(self._heap, item)
        else:
            heapq.heappush(self._heap, item)

    def lines(self) -> tuple[ExecutionLine, ...]:
        """The lines of those, largest first."""
        return tuple(line for _, _, line in sorted(self._heap, reverse=True))


class _Within(NamedTuple):
    """An execution that has a parent, which may be an execution of this journal.

    Attributes:
        slot: Its part of the period; None for one of the period before.
        outcome: How it ended.
    """

    slot: int | None
    outcome: Outcome


class _Gathered:
    """What one pass over the records leaves in memory."""

    def __init__(
        self, since_unix_ns: int, until_unix_ns: int, reader: JournalReader, *, with_marks: bool
    ) -> None:
        complete = reader.complete
        self._since = since_unix_ns
        self._until = until_unix_ns
        self._reader = reader
        self._marks = Timeline(since_unix_ns, until_unix_ns) if with_marks else None
        self._slots = [[0, 0] for _ in range(SLOTS)]
        self._now: dict[Labels, Tally] = {}
        self._before: dict[Labels, Tally] = {}
        self._slowest = _Largest(LARGEST, complete)
        self._cpu = _Largest(LARGEST, complete)
        self._memory = _Largest(LARGEST, complete)
        self._recent = _Largest(RECENT, complete)
        self._running = 0
        # By the span of what they ran within, while that has not been seen.
        self._within: dict[str, list[_Within]] = {}
        self._nested = self._nested_before = 0
        self._nested_outcomes: Counter[str] = Counter()
        self._memory_killed: list[int] = []
        self.read = 0

    def add(self, record: ExecutionRecord) -> None:
        """Take in one execution, of either period."""
        self.read += 1
        is_before = record.started_unix_ns < self._since
        self._nest(record, None if is_before else self._slot_of(record.started_unix_ns))
        if is_before:
            if record.ended_unix_ns is not None:
                _tally_of(self._before, record.labels).add(record)
            return
        self._recent.add(record.started_unix_ns, record)
        if self._marks is not None:
            self._marks.add(record)
        if record.ended_unix_ns is None:
            self._running += 1
            return
        _tally_of(self._now, record.labels).add(record)
        slot = self._slots[self._slot_of(record.started_unix_ns)]
        slot[0] += 1
        slot[1] += record.outcome is not None and record.outcome.is_failure
        if record.outcome is Outcome.OOM_KILLED:
            self._memory_killed.append(record.started_unix_ns)
        self._slowest.add(record.duration_seconds, record)
        self._cpu.add(record.usage.cpu_seconds, record)
        self._memory.add(record.usage.peak_memory_bytes, record)

    def _nest(self, record: ExecutionRecord, slot: int | None) -> None:
        """Take in which executions ran within *record*, which has begun before them.

        The newest come first, so that those within one come before it.
        """
        for one in self._within.pop(record.span_id, ()):
            if one.slot is None:
                self._nested_before += 1
                continue
            self._nested += 1
            self._nested_outcomes[one.outcome.value] += 1
            self._slots[one.slot][0] -= 1
            self._slots[one.slot][1] -= one.outcome.is_failure
        if record.parent_span_id is not None and record.outcome is not None:
            within = self._within.setdefault(record.parent_span_id, [])
            within.append(_Within(slot, record.outcome))

    def _slot_of(self, started_unix_ns: int) -> int:
        return min(SLOTS - 1, (started_unix_ns - self._since) * SLOTS // self._length())

    def _length(self) -> int:
        return max(1, self._until - self._since)

    def report(self, folder: str) -> Report:
        """Everything that was taken in, summed up; while the journal is still open."""
        tallies = sorted(self._now.values(), key=_total_seconds, reverse=True)
        for tally in filter(_may_leak, tallies[:_SEARCHED_FOR_LEAKS]):
            tally.curves = tuple(self._curves(tally.largest("peak_memory_bytes")))
        pairs = [(tally, self._before.get(tally.labels, Tally(tally.labels))) for tally in tallies]
        findings = find_in(pairs)
        problems = problems_in(
            findings,
            (*tallies, *self._before.values()),
            since_unix_ns=self._since,
            until_unix_ns=self._until,
        )[:PROBLEMS]
        return Report(
            journal=folder,
            since_unix_ns=self._since,
            until_unix_ns=self._until,
            executions=sum(tally.count for tally in tallies) - self._nested,
            nested=self._nested,
            running=self._running,
            before=sum(tally.count for tally in self._before.values()) - self._nested_before,
            unreadable=self._reader.unreadable,
            outcomes=_outcomes(tallies, self._nested_outcomes),
            groups=tuple(Group.of(tally) for tally in tallies),
            findings=findings,
            slowest=self._slowest.lines(),
            greediest_cpu=self._cpu.lines(),
            greediest_memory=self._memory.lines(),
            recent=self._recent.lines()[::-1],
            caches=tuple(_cache_problems(folder)),
            problems=problems,
            examples=tuple(self._examples(tallies, problems)),
            timeline=tuple(self._timeline()),
            what_if=tuple(what_if(tallies)),
            marks=() if self._marks is None else self._marks.marks(_lanes(problems, tallies)),
            memory_kills=self._memory_kills(),
        )

    def _memory_kills(self) -> MemoryKills | None:
        found = read_oom_kills()
        if found is None:
            return None
        started_unix_ns = time.time_ns() - int(found.uptime_seconds * 1e9)
        return MemoryKills(
            since_unix_ns=started_unix_ns,
            processes=found.processes,
            executions=sum(one >= started_unix_ns for one in self._memory_killed),
        )

    def _timeline(self) -> Iterator[Slot]:
        for number, (executions, failures) in enumerate(self._slots):
            started = self._since + number * self._length() // SLOTS
            yield Slot(started_unix_ns=started, executions=executions, failures=failures)

    def _curves(self, examples: Iterable[Example]) -> Iterator[Curve]:
        for example in examples:
            found = self._reader.of_span(example.span_id)
            if found is not None and found.usage.curve is not None:
                yield found.usage.curve

    def _examples(
        self, tallies: Iterable[Tally], problems: Iterable[Problem]
    ) -> Iterator[ExampleLine]:
        wanted = {problem.example for problem in problems}
        kept = {one for tally in tallies for one in tally.kept if one.execution_id in wanted}
        for example in sorted(kept):
            found = self._reader.of_span(example.span_id)
            if found is not None:
                yield ExampleLine.of(found)


def _lanes(problems: Iterable[Problem], tallies: Iterable[Tally]) -> tuple[str, ...]:
    """The names by what matters most: those with problems, then those that took the most time."""
    named = [one.name for one in problems] + [tally.labels.name for tally in tallies]
    return tuple(dict.fromkeys(named))


def _may_leak(tally: Tally) -> bool:
    """Whether its executions are long and large enough for a curve to show a leak."""
    seconds, peaks = (tally.distribution(x) for x in ("duration_seconds", "peak_memory_bytes"))
    return (
        seconds is not None
        and peaks is not None
        and seconds.p50 >= LEAK_SECONDS
        and peaks.maximum >= LEAK_BYTES
    )


def _cache_problems(folder: str) -> Iterator[CacheProblem]:
    # Reads metrics, for which protobuf is imported: 30 ms after the first output.
    from otel_codomon.caches.operation import cache_info  # noqa: PLC0415

    for state in cache_info(folder):
        for found in state.findings:
            yield CacheProblem(
                name=state.name,
                pid=state.pid,
                rule=found.rule,
                message=found.message,
                advice=found.advice,
                evidence=found.evidence,
            )


def _tally_of(tallies: dict[Labels, Tally], labels: Labels) -> Tally:
    found = tallies.get(labels)
    if found is None:
        found = tallies[labels] = Tally(labels)
    return found


def _total_seconds(tally: Tally) -> float:
    found = tally.distribution("duration_seconds")
    return 0.0 if found is None else found.total


def _outcomes(tallies: Iterable[Tally], nested: Counter[str]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for tally in tallies:
        total.update({outcome.value: n for outcome, n in tally.outcomes.items()})
    return dict((total - nested).most_common())
