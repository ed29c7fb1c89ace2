"""Two days of a small service: 488 executions of ten names, and what went wrong in them.

The same in every run. Last night a worker was killed three times for its
memory; an embedding job needs 7.5 times what it needed the day before; an
indexer leaks up to 2.8 GiB; a crawler starts 160 children; a fetcher hangs and
a solver is slow; a renderer crashes; and this morning a command was mistyped.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.resources.labels import Kind
from support.history import MIB, Past

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
GIB: Final = 1024 * MIB
_POINTS: Final = 20
_SEED: Final = 20


def two_days() -> list[Past]:
    """The executions, oldest first."""
    chance = random.Random(_SEED)
    past = [
        *_healthy("thumbnail", 110, chance, seconds=0.4, memory=40 * MIB, cores=0.6),
        *_healthy("grade", 100, chance, seconds=1.2, memory=60 * MIB, cores=0.8),
        *_healthy("invoice", 60, chance, seconds=0.8, memory=50 * MIB, cores=0.3),
        *_worker(chance),
        *_embed(chance),
        *_indexer(chance),
        *_crawler(chance),
        *_timeouts("fetch", 24, chance, cores=0.01),
        *_timeouts("solve", 20, chance, cores=0.99),
        *_renderer(chance),
        _typo(),
    ]
    return sorted(past, key=lambda one: -one.ago_seconds)


def _spread(count: int, chance: random.Random, *, since: float, until: float) -> Iterator[float]:
    """How long ago each of *count* executions began, seconds."""
    for _ in range(count):
        yield chance.uniform(until, since)


def _used(*, seconds: float, memory: int, cores: float, rises: bool = False) -> dict[str, object]:
    """Attributes of an execution that used this, with a curve."""
    at = [seconds * (n + 1) / _POINTS for n in range(_POINTS)]
    share = [(n + 1) / _POINTS if rises else min(1.0, (n + 1) / 3) for n in range(_POINTS)]
    return {
        names.USAGE_SOURCE: "cgroup",
        names.USAGE_CPU_TIME: cores * seconds,
        names.USAGE_MEMORY_PEAK: memory,
        names.USAGE_PROCESSES: 1,
        names.USAGE_CURVE_TIME: at,
        names.USAGE_CURVE_CPU: [cores] * _POINTS,
        names.USAGE_CURVE_MEMORY: [int(memory * part) for part in share],
    }


def _healthy(
    name: str, count: int, chance: random.Random, *, seconds: float, memory: int, cores: float
) -> Iterator[Past]:
    for ago in _spread(count, chance, since=2 * DAY - 60, until=120):
        lasted = seconds * chance.uniform(0.8, 1.3)
        size = int(memory * chance.uniform(0.9, 1.1))
        yield Past(
            name=name,
            ago_seconds=ago,
            seconds=lasted,
            kind=Kind.FUNCTION,
            attributes=_used(seconds=lasted, memory=size, cores=cores),
        )


def _worker(chance: random.Random) -> Iterator[Past]:
    """Forty jobs below 512 MiB; three of last night were killed at it."""
    limit = {names.LIMIT_MEMORY: 512 * MIB}
    for ago in _spread(40, chance, since=2 * DAY - 60, until=120):
        used = _used(seconds=3.0, memory=300 * MIB, cores=0.9)
        yield Past(name="worker", ago_seconds=ago, seconds=3.0, attributes={**used, **limit})
    for ago in (8 * HOUR, 7.6 * HOUR, 7.1 * HOUR):
        used = _used(seconds=2.2, memory=512 * MIB, cores=0.9, rises=True)
        ended = {names.EXECUTION_SIGNAL: "SIGKILL", names.PROCESS_EXIT_CODE: 137}
        yield Past(
            name="worker",
            ago_seconds=ago,
            seconds=2.2,
            outcome=Outcome.OOM_KILLED,
            attributes={**used, **limit, **ended},
        )


def _embed(chance: random.Random) -> Iterator[Past]:
    """7.5 times the memory of the day before."""
    for since, until, memory in ((2 * DAY - 60, DAY + 60, 80 * MIB), (DAY - 60, 120, 600 * MIB)):
        for ago in _spread(25, chance, since=since, until=until):
            size = int(memory * chance.uniform(0.95, 1.05))
            used = _used(seconds=5.0, memory=size, cores=0.9)
            yield Past(name="embed", ago_seconds=ago, seconds=5.0, attributes=used)


def _indexer(chance: random.Random) -> Iterator[Past]:
    """It never lets go of anything: larger with every minute that it runs."""
    for ago in _spread(11, chance, since=DAY - 60, until=HOUR):
        lasted = chance.uniform(400, 560)
        memory = int(2.8 * GIB * lasted / 560)
        used = _used(seconds=lasted, memory=memory, cores=0.4, rises=True)
        yield Past(name="indexer", ago_seconds=ago, seconds=lasted, attributes=used)
    used = _used(seconds=560.0, memory=int(2.8 * GIB), cores=0.4, rises=True)
    yield Past(name="indexer", ago_seconds=3 * HOUR, seconds=560.0, attributes=used)


def _crawler(chance: random.Random) -> Iterator[Past]:
    """A process for each of 160 pages."""
    for ago in _spread(20, chance, since=2 * DAY - 60, until=120):
        used = _used(seconds=9.0, memory=90 * MIB, cores=0.7)
        used[names.USAGE_PROCESSES] = 160
        yield Past(name="crawler", ago_seconds=ago, seconds=9.0, attributes=used)


def _timeouts(name: str, count: int, chance: random.Random, *, cores: float) -> Iterator[Past]:
    """One in four runs into its timeout of 30 s."""
    for number, ago in enumerate(_spread(count, chance, since=2 * DAY - 60, until=120)):
        is_late = number % 4 == 0
        lasted = 30.02 if is_late else chance.uniform(1.0, 6.0)
        used = _used(seconds=lasted, memory=70 * MIB, cores=cores if is_late else 0.5)
        used[names.EXECUTION_TIMEOUT] = 30.0
        outcome = Outcome.TIMEOUT if is_late else Outcome.SUCCESS
        yield Past(name=name, ago_seconds=ago, seconds=lasted, outcome=outcome, attributes=used)


def _renderer(chance: random.Random) -> Iterator[Past]:
    """Four of forty-eight crash."""
    for number, ago in enumerate(_spread(48, chance, since=2 * DAY - 60, until=120)):
        used = _used(seconds=2.0, memory=200 * MIB, cores=1.0)
        crashed = {names.EXECUTION_SIGNAL: "SIGSEGV", names.PROCESS_EXIT_CODE: 139}
        has_crashed = number % 12 == 0
        yield Past(
            name="render",
            ago_seconds=ago,
            seconds=2.0,
            outcome=Outcome.KILLED if has_crashed else Outcome.SUCCESS,
            attributes={**used, **(crashed if has_crashed else {})},
        )


def _typo() -> Past:
    """Typed by hand this morning."""
    reason = "No such file or directory"
    told = {
        names.PROCESS_EXIT_CODE: 127,
        names.ERROR_TYPE: "setup_error",
        names.ERROR_REASON: reason,
    }
    return Past(
        name="pyhton",
        ago_seconds=2 * HOUR,
        seconds=0.01,
        outcome=Outcome.SETUP_ERROR,
        attributes=told,
    )
