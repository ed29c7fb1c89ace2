"""What a report consists of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon.report.distribution import Distribution
from otel_codomon.report.execution_lines import ExampleLine, ExecutionLine
from otel_codomon.report.findings import Finding
from otel_codomon.report.problems import Problem
from otel_codomon.report.timeline import Mark
from otel_codomon.report.what_if import WhatIf

if TYPE_CHECKING:
    from otel_codomon.report.tally import Tally

SPREAD: Final = 100
"""Values of one figure that a picture shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The finished executions of one name, kind, language and sandbox.

    Attributes:
        name: Their name.
        kind: What is executed.
        language: Their language; None where it is not known.
        sandbox_type: What separates them from their host.
        executions: How many there are.
        outcomes: How many ended in each way.
        error_types: How many ended with each class of error.
        duration_seconds: How long they took, seconds.
        cpu_seconds: CPU time, seconds; None where it is not known.
        peak_memory_bytes: Most memory at one instant, bytes; as above.
        durations: The durations themselves, seconds, ascending; of many, as many as can be
            told apart, at equal distances by rank.
        memory_peaks: The peaks of memory, bytes, as above.
    """

    name: str
    kind: str
    language: str | None
    sandbox_type: str
    executions: int
    outcomes: Mapping[str, int]
    error_types: Mapping[str, int]
    duration_seconds: Distribution | None
    cpu_seconds: Distribution | None
    peak_memory_bytes: Distribution | None
    durations: tuple[float, ...]
    memory_peaks: tuple[float, ...]

    @classmethod
    def of(cls, tally: Tally) -> Group:
        """What *tally* has counted."""
        return cls(
            name=tally.labels.name,
            kind=tally.labels.kind.value,
            language=tally.labels.language,
            sandbox_type=tally.labels.sandbox_type.value,
            executions=tally.count,
            outcomes={outcome.value: n for outcome, n in tally.outcomes.most_common()},
            error_types=dict(tally.error_types.most_common()),
            duration_seconds=tally.distribution("duration_seconds"),
            cpu_seconds=tally.distribution("cpu_seconds"),
            peak_memory_bytes=tally.distribution("peak_memory_bytes"),
            durations=spread(tally.numbers("duration_seconds")),
            memory_peaks=spread(tally.numbers("peak_memory_bytes")),
        )


def spread(numbers: Iterable[float]) -> tuple[float, ...]:
    """*numbers* in order; of many the smallest, the largest and those at equal steps between.

    >>> spread([3.0, 1.0, 2.0])
    (1.0, 2.0, 3.0)
    """
    found = sorted(numbers)
    if len(found) <= SPREAD:
        return tuple(found)
    step = (len(found) - 1) / (SPREAD - 1)
    return tuple(found[round(at * step)] for at in range(SPREAD))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A part of the period, all of equal length.

    Attributes:
        started_unix_ns: Its begin, nanoseconds since the epoch.
        executions: How many that began in it have ended.
        failures: How many of those failed.
    """

    started_unix_ns: int
    executions: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheProblem:
    """One thing that is wrong with a cache of a process that runs now.

    Attributes:
        name: Name of the cache.
        pid: The process it is in; None where it is not known.
        rule: Which rule found it.
        message: What was found, with its numbers.
        advice: What to do about it.
        evidence: The numbers it rests on.
    """

    name: str
    pid: int | None
    rule: str
    message: str
    advice: str
    evidence: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryKills:
    """Processes that the kernel killed for want of memory, of this host or of a cgroup.

    Attributes:
        since_unix_ns: When this machine started, nanoseconds since the epoch.
        processes: How many it killed since, ours and others.
        executions: The executions of the period, started since then, that ended so. Each may be
            several processes.
    """

    since_unix_ns: int
    processes: int
    executions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What ran in a period, how it ended, and what is wrong with it.

    Attributes:
        journal: The journal it was read from.
        since_unix_ns: Begin of the period, nanoseconds since the epoch.
        until_unix_ns: Its end.
        executions: Finished executions that began in the period. One within another, as the
            command that a function runs, is the same piece of work and not counted again.
        nested: How many ran within another one.
        running: Executions that began in it and have not ended.
        before: Finished executions of the period before, of equal length.
        unreadable: Records of the journal that could not be understood.
        outcomes: How many ended in each way.
        groups: What ran, by name; what took the most time goes first.
        findings: What is wrong, what matters most first.
        slowest: The executions that took the longest.
        greediest_cpu: Those that used the most CPU time.
        greediest_memory: Those that used the most memory.
        recent: The newest executions of the period, oldest first, at most 200.
        caches: What is wrong with the caches of the processes that run now.
        problems: The findings that matter, merged by name and ranked: the answer.
        examples: The executions that the problems name, with their curves.
        timeline: The period in slots, oldest first.
        what_if: How many of the last executions a limit would have stopped.
        marks: The executions on a timeline, where they were asked for.
        memory_kills: What the kernel killed for want of memory; None where it does not say.
    """

    journal: str
    since_unix_ns: int
    until_unix_ns: int
    executions: int
    running: int
    before: int
    unreadable: int
    outcomes: Mapping[str, int]
    groups: tuple[Group, ...]
    findings: tuple[Finding, ...]
    slowest: tuple[ExecutionLine, ...] = ()
    greediest_cpu: tuple[ExecutionLine, ...] = ()
    greediest_memory: tuple[ExecutionLine, ...] = ()
    recent: tuple[ExecutionLine, ...] = ()
    nested: int = 0
    caches: tuple[CacheProblem, ...] = ()
    problems: tuple[Problem, ...] = ()
    examples: tuple[ExampleLine, ...] = ()
    timeline: tuple[Slot, ...] = ()
    what_if: tuple[WhatIf, ...] = ()
    marks: tuple[Mark, ...] = ()
    memory_kills: MemoryKills | None = None
