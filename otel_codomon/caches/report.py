"""The caches of the running processes as lines, and what became of emptying them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon.caches.operation import cache_info, clear_caches
from otel_codomon.journal.location import find_journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.caches.operation import CacheState, ClearOutcome

# Kinds that are caches of a function's results; the others are objects that hold entries.
_OF_FUNCTIONS: Final = frozenset({"lru_cache", "async_lru", "cache_info", "joblib"})

WHAT: Final = ("function", "module", "all")
# A process takes a request at its next collection, a minute after the last one by default.
CLEAR_TIMEOUT_SECONDS: Final = 70.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFindingLine:
    """One thing that is wrong with a cache.

    Attributes:
        rule: Which rule found it.
        message: What was found, with its numbers.
        advice: What to do about it.
        evidence: The numbers it rests on.
    """

    rule: str
    message: str
    advice: str
    evidence: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLine:
    """One cache of one running process, as of its last collection. None is not known.

    Attributes:
        name: Its name.
        kind: The adapter that read it.
        pid: The process it is in.
        service: The name of that process's service.
        taken_unix_ns: When it was read, nanoseconds since the epoch.
        hits: Lookups that found their key.
        misses: Lookups that did not.
        hit_share: Hits of all lookups; None also before the first one.
        entries: Entries held.
        capacity: Most entries it will hold.
        size_bytes: What the entries take, bytes.
        evictions: Entries dropped to make room.
        expirations: Entries dropped because they were too old.
        clears: Times it was emptied.
        estimated: Which of these are bounds or estimates.
        findings: What is wrong with it.
    """

    name: str
    kind: str
    pid: int | None
    service: str | None
    taken_unix_ns: int
    hits: int | None
    misses: int | None
    hit_share: float | None
    entries: int | None
    capacity: int | None
    size_bytes: int | None
    evictions: int | None
    expirations: int | None
    clears: int | None
    estimated: tuple[str, ...]
    findings: tuple[CacheFindingLine, ...]

    @classmethod
    def of(cls, state: CacheState) -> CacheLine:
        """The line of *state*."""
        reading = state.reading
        lookups = reading.lookups
        return cls(
            name=state.name,
            kind=state.kind,
            pid=state.pid,
            service=state.service,
            taken_unix_ns=state.taken_unix_ns,
            hits=reading.hits,
            misses=reading.misses,
            hit_share=(reading.hits or 0) / lookups if lookups else None,
            entries=reading.entries,
            capacity=reading.capacity,
            size_bytes=reading.size_bytes,
            evictions=reading.evictions,
            expirations=reading.expirations,
            clears=reading.clears,
            estimated=tuple(sorted(reading.estimated)),
            findings=tuple(
                CacheFindingLine(
                    rule=found.rule,
                    message=found.message,
                    advice=found.advice,
                    evidence=found.evidence,
                )
                for found in state.findings
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReport:
    """The caches of the running processes of this machine.

    Attributes:
        journal: The journal that tells of them.
        caches: One line for each, by name.
    """

    journal: str
    caches: tuple[CacheLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearLine:
    """What became of the request to empty one cache.

    Attributes:
        name: Its name.
        pid: The process it is in: the one that emptied it.
        freed_entries: Entries it held when it was last read; None if not known.
        freed_bytes: What they took, bytes; None if not known.
        failure: Why it was not emptied; None when it was.
    """

    name: str
    pid: int | None
    freed_entries: int | None
    freed_bytes: int | None
    failure: str | None

    @classmethod
    def of(cls, outcome: ClearOutcome) -> ClearLine:
        """The line of *outcome*."""
        reading = outcome.cache.reading
        return cls(
            name=outcome.cache.name,
            pid=outcome.cache.pid,
            freed_entries=None if outcome.failure else reading.entries,
            freed_bytes=None if outcome.failure else reading.size_bytes,
            failure=outcome.failure,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearReport:
    """What became of the request to empty some caches.

    Attributes:
        caches: One line for each.
    """

    caches: tuple[ClearLine, ...]


def report_caches(
    *,
    journal: str | None = None,
    what: str = "all",
    name: str | None = None,
    pid: int | None = None,
) -> CacheReport:
    """The caches that the running processes of this user report.

    Args:
        journal: Folder of the journal; None for what the environment says.
        what: ``function`` for caches of functions, ``module`` for cache
            objects, ``all``.
        name: Only caches whose names contain this.
        pid: Only those of this process.
    """
    folder = find_journal(journal)
    states = _chosen(folder, what=what, name=name, pid=pid)
    return CacheReport(journal=folder, caches=tuple(CacheLine.of(state) for state in states))


def empty_caches(
    *,
    journal: str | None = None,
    what: str = "all",
    name: str | None = None,
    pid: int | None = None,
    timeout_seconds: float = CLEAR_TIMEOUT_SECONDS,
) -> ClearReport:
    """Ask the processes that own these caches to empty them, and wait for their answers.

    Args:
        journal: As in `report_caches`, and so the rest.
        what: As in `report_caches`.
        name: As in `report_caches`.
        pid: As in `report_caches`.
        timeout_seconds: How long to wait for all of them together, seconds.
    """
    folder = find_journal(journal)
    states = tuple(_chosen(folder, what=what, name=name, pid=pid))
    outcomes = clear_caches(folder, states, timeout_seconds=timeout_seconds)
    return ClearReport(caches=tuple(ClearLine.of(outcome) for outcome in outcomes))


def _chosen(folder: str, *, what: str, name: str | None, pid: int | None) -> Iterator[CacheState]:
    for state in cache_info(folder, name=name):
        is_function = state.kind in _OF_FUNCTIONS
        if pid in (None, state.pid) and what in ("all", "function" if is_function else "module"):
            yield state
