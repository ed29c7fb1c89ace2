"""The caches of the processes that run on this machine, and how to empty them."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from otel_codomon import names
from otel_codomon.caches.findings import CacheFinding, Span, find_in
from otel_codomon.caches.metrics import ROWS
from otel_codomon.caches.statistics import NO_COUNTS, CacheReading, Counts
from otel_codomon.journal import control_files, live_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otel_codomon.journal.live_metrics import Collected, Point

_PREFIX: Final = "codomon.cache."
_FIELDS: Final = {(row.metric.name, row.result): row.field for row in ROWS}
_POLL_SECONDS: Final = 0.1
# Kinds that have no limit where they tell none.
_TELL_THEIR_LIMIT: Final = frozenset({"lru_cache", "async_lru", "cache_info"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheState:
    """One cache of one running process, as of its last collection.

    Attributes:
        session: The process, by its id in the journal.
        pid: Its process id; None where it is not known.
        service: The name of its service; None where it has none.
        name: Name of the cache.
        kind: Adapter that read it.
        reading: Its totals in that process.
        taken_unix_ns: When, nanoseconds since the epoch.
        findings: What is wrong with it, from its first collection that the
            journal has to its last.
    """

    session: bytes
    pid: int | None
    service: str | None
    name: str
    kind: str
    reading: CacheReading
    taken_unix_ns: int
    findings: tuple[CacheFinding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearOutcome:
    """What became of the request to empty one cache.

    Attributes:
        cache: The cache, as it was when asked.
        failure: Why it was not emptied, in a few words; None when it was.
    """

    cache: CacheState
    failure: str | None


def cache_info(folder: str, *, name: str | None = None) -> tuple[CacheState, ...]:
    """The caches that the running processes of this user report.

    Args:
        folder: Path of the journal.
        name: Only caches whose names contain this.
    """
    found = [state for collected in live_metrics.running(folder) for state in _states(collected)]
    return tuple(
        sorted(
            (state for state in found if name is None or name in state.name),
            key=lambda state: (state.name, state.pid or 0),
        )
    )


def by_module(states: Iterable[CacheState]) -> tuple[CacheState, ...]:
    """Sum the caches of each module in each process.

    The module is what comes before the colon of a name; a cache with a name of
    its own stands for itself. What is not known of one is not known of the sum.
    """
    groups: dict[tuple[bytes, str], list[CacheState]] = defaultdict(list)
    for state in states:
        groups[state.session, state.name.partition(":")[0]].append(state)
    return tuple(
        replace(
            members[0],
            name=module,
            kind=", ".join(sorted({state.kind for state in members})),
            reading=_sum(state.reading for state in members),
            taken_unix_ns=max(state.taken_unix_ns for state in members),
            findings=tuple(finding for state in members for finding in state.findings),
        )
        for (_, module), members in groups.items()
    )


def clear_caches(
    folder: str,
    states: Sequence[CacheState],
    *,
    timeout_seconds: float,
    wait: Callable[[float], object] = time.sleep,
) -> tuple[ClearOutcome, ...]:
    """Ask the processes that own *states* to empty these caches, and wait for their answers.

    A process takes a request at its next collection, and only if it was
    started with ``OTEL_PYTHON_CODOMON_CONTROL=clear``.

    Args:
        folder: Path of the journal.
        states: The caches, as `cache_info` tells them.
        timeout_seconds: How long to wait for all answers together.
        wait: Passes the time between two looks for answers.

    Raises:
        JournalUnavailableError: The folder cannot be used.
    """
    wanted: dict[bytes, list[str]] = defaultdict(list)
    for state in states:
        wanted[state.session].append(state.name)
    open_requests = {
        session: control_files.post(folder, session, {"action": "clear", "caches": caches})
        for session, caches in wanted.items()
    }
    answers: dict[bytes, dict[str, Any]] = {}
    deadline = time.monotonic() + timeout_seconds
    while True:
        for session, address in open_requests.items():
            if (
                session not in answers
                and (told := control_files.fetch(folder, address)) is not None
            ):
                answers[session] = told
        if len(answers) == len(open_requests) or time.monotonic() >= deadline:
            break
        wait(_POLL_SECONDS)
    for session, address in open_requests.items():
        if session not in answers:
            control_files.withdraw(folder, address)
    return tuple(
        ClearOutcome(cache=state, failure=_failure(answers.get(state.session), state.name))
        for state in states
    )


def _failure(answer: dict[str, Any] | None, name: str) -> str | None:
    if answer is None:
        return (
            "its process did not answer: it takes requests at its next collection, and only if "
            "it was started with OTEL_PYTHON_CODOMON_CONTROL=clear"
        )
    caches = answer.get("caches")
    if isinstance(caches, dict) and name in caches:
        failure = caches[name]
        return None if failure is None else str(failure)
    return str(answer.get("refused", "its process has no such cache"))


# --- from points to readings ---


def _states(collected: Collected) -> Iterator[CacheState]:
    """The caches in the last collection of a process that tells of any."""
    collections = [
        found
        for request in collected.requests
        if (found := tuple(live_metrics.points_of(request, prefix=_PREFIX)))
    ]
    if not collections:
        return
    service = live_metrics.resource_of(collected.requests[-1]).get("service.name")
    first: dict[tuple[str, str], CacheReading] = {}
    last: dict[tuple[str, str], CacheReading] = {}
    for collection in collections:
        last = dict(_readings(collection, last))
        for cache, reading in last.items():
            first.setdefault(cache, reading)
    taken = max(point.time_unix_ns for point in collections[-1])
    for (name, kind), reading in last.items():
        yield CacheState(
            session=collected.session,
            pid=collected.pid,
            service=service if isinstance(service, str) else None,
            name=name,
            kind=kind,
            reading=reading,
            taken_unix_ns=taken,
            findings=find_in([Span(name, kind, first[name, kind], reading)]),
        )


def _readings(
    collection: Iterable[Point], before: dict[tuple[str, str], CacheReading]
) -> Iterator[tuple[tuple[str, str], CacheReading]]:
    """Put the points of one collection together again, what was added on top of *before*."""
    values: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    estimated: dict[tuple[str, str], set[str]] = defaultdict(set)
    for point in collection:
        attributes = point.attributes
        cache = str(attributes.get(names.CACHE_NAME)), str(attributes.get(names.CACHE_KIND))
        field = _FIELDS.get((point.metric, attributes.get(names.CACHE_RESULT)))
        if field is None:
            continue
        base = getattr(before[cache], field) if point.is_delta and cache in before else None
        values[cache][field] = int(point.value) + (base or 0)
        if attributes.get(names.CACHE_ESTIMATED):
            estimated[cache].add(field)
    for cache, fields in values.items():
        unbounded = cache[1] in _TELL_THEIR_LIMIT and "capacity" not in fields
        yield (
            cache,
            CacheReading(**fields, unbounded=unbounded, estimated=frozenset(estimated[cache])),
        )


def _sum(readings: Iterable[CacheReading]) -> CacheReading:
    members = list(readings)
    counts = Counts(*[_total(getattr(m, name) for m in members) for name in NO_COUNTS._fields])
    return CacheReading(
        *counts,
        entries=_total(m.entries for m in members),
        capacity=_total(m.capacity for m in members),
        size_bytes=_total(m.size_bytes for m in members),
        unbounded=any(m.unbounded for m in members),
        estimated=frozenset().union(*(m.estimated for m in members)),
    )


def _total(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)
