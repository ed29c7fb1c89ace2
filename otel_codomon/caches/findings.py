"""What the numbers of a cache say about it, in plain words: pure rules over two looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_codomon.caches.statistics import CacheSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_codomon.caches.statistics import CacheReading, Counts


class Span(NamedTuple):
    """Two looks at one cache.

    Attributes:
        name: Name of the cache.
        kind: Adapter that read it.
        first: The earlier look.
        last: The later look; the same where there was one only.
        setup: How it was set up.
    """

    name: str
    kind: str
    first: CacheReading
    last: CacheReading
    setup: CacheSetup = CacheSetup()

    @property
    def growth(self) -> Counts:
        """What was counted between the looks."""
        return self.last.since(self.first)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFinding:
    """One thing that is wrong with a cache, and what to do about it.

    Attributes:
        name: Name of the cache.
        kind: Adapter that read it.
        rule: Which rule found it: ``never_hit``, ``thrashing``,
            ``growing_without_limit``, ``far_too_large``, ``always_cleared``;
            before any use ``no_capacity``, ``no_lifetime``, ``unbounded``,
            ``keeps_instances``.
        message: What was found, with its numbers.
        advice: What to do about it.
        evidence: The numbers it rests on.
    """

    name: str
    kind: str
    rule: str
    message: str
    advice: str
    evidence: Mapping[str, int]

    def __str__(self) -> str:
        return f"cache {self.name!r} {self.message}; {self.advice}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        name: Its name.
        evidence: The numbers that show it, or None when they do not.
        message: Says it, with the evidence as fields.
        advice: What to do about it.
    """

    name: str
    evidence: Callable[[Span], dict[str, int] | None]
    message: str
    advice: str


# Below these a cache has not been used enough to be judged.
_ENOUGH_LOOKUPS: Final = 100
_ENOUGH_ENTRIES: Final = 1000
_ENOUGH_CLEARS: Final = 3
_LOOKUPS_FOR_A_CLEAR: Final = 100
_FAR_TOO_LARGE: Final = 10


def _never_hit(span: Span) -> dict[str, int] | None:
    hits, misses = span.growth.hits, span.growth.misses
    if hits == 0 and misses is not None and misses >= _ENOUGH_LOOKUPS:
        return {"misses": misses}
    return None


def _thrashing(span: Span) -> dict[str, int] | None:
    """Full, turned over twice, most lookups miss, and nine misses in ten evict.

    A full cache that works well evicts at each miss too: it is the misses
    outnumbering the hits that makes it thrash.
    """
    last, growth = span.last, span.growth
    if None in (growth.hits, growth.misses, growth.evictions, last.capacity, last.entries):
        return None
    hits, misses, evictions = growth.hits or 0, growth.misses or 0, growth.evictions or 0
    capacity, entries = last.capacity or 0, last.entries or 0
    is_full = entries >= capacity > 0
    is_turned_over = misses >= max(2 * capacity, _ENOUGH_LOOKUPS)
    if is_full and is_turned_over and misses > hits and evictions * 10 >= misses * 9:
        return {"evictions": evictions, "misses": misses, "hits": hits, "capacity": capacity}
    return None


def _small(span: Span) -> dict[str, int] | None:
    """Thrashing, where it is known that twice the capacity would have answered half the misses."""
    evidence, returning = _thrashing(span), span.last.returning
    if evidence is None or returning is None:
        return None
    returning -= span.first.returning or 0
    if 2 * returning < evidence["misses"]:
        return None
    return {**evidence, "returning": returning, "twice": 2 * evidence["capacity"]}


def _thrashing_unexplained(span: Span) -> dict[str, int] | None:
    return None if _small(span) else _thrashing(span)


def _growing(span: Span) -> dict[str, int] | None:
    before, now = span.first.entries, span.last.entries
    if not span.last.unbounded or before is None or now is None or now < _ENOUGH_ENTRIES:
        return None
    return {"before": before, "entries": now} if now >= before + max(before // 10, 1) else None


def _too_large(span: Span) -> dict[str, int] | None:
    """A tenth of it would do, nothing was ever evicted, and it has stopped growing."""
    first, last = span.first, span.last
    lookups = (span.growth.hits or 0) + (span.growth.misses or 0)
    if last.capacity is None or last.entries is None or first.entries is None or last.evictions:
        return None
    is_settled = last.entries <= first.entries + max(first.entries // 10, 1) or (
        (span.growth.misses or 0) * 10 < lookups
    )
    is_used = last.entries > 0 and lookups >= _ENOUGH_ENTRIES
    if is_settled and is_used and last.entries * _FAR_TOO_LARGE <= last.capacity:
        return {"entries": last.entries, "capacity": last.capacity, "lookups": lookups}
    return None


def _always_cleared(span: Span) -> dict[str, int] | None:
    growth = span.growth
    if growth.clears is None or growth.hits is None or growth.misses is None:
        return None
    lookups = growth.hits + growth.misses
    if growth.clears >= _ENOUGH_CLEARS and lookups < _LOOKUPS_FOR_A_CLEAR * growth.clears:
        return {"clears": growth.clears, "lookups": lookups}
    return None


def _no_capacity(span: Span) -> dict[str, int] | None:
    return {"capacity": 0} if span.last.capacity == 0 else None


def _no_lifetime(span: Span) -> dict[str, int] | None:
    seconds = span.setup.lifetime_seconds
    return {"lifetime_seconds": 0} if seconds is not None and seconds <= 0 else None


def _unbounded(span: Span) -> dict[str, int] | None:
    """No limit, nor does it expire; one that is seen to grow is reported for that."""
    is_limited = span.setup.has_one_key or span.setup.lifetime_seconds is not None
    if is_limited or not span.last.unbounded or _growing(span):
        return None
    return {} if span.last.entries is None else {"entries": span.last.entries}


def _keeps_instances(span: Span) -> dict[str, int] | None:
    """A cache on a method holds each instance as long as its entry."""
    if not span.setup.is_on_a_method:
        return None
    return {} if span.last.entries is None else {"entries": span.last.entries}


RULES: Final = (
    Rule(
        "no_capacity",
        _no_capacity,
        "has a capacity of {capacity}: it keeps nothing",
        "give it a capacity, or remove it",
    ),
    Rule(
        "no_lifetime",
        _no_lifetime,
        "has a lifetime of {lifetime_seconds} s: it keeps nothing",
        "give it a longer lifetime, or remove it",
    ),
    Rule(
        "keeps_instances",
        _keeps_instances,
        "is on a method: each entry keeps its instance alive",
        "cache a function of only what the result depends on, or keep a cache in each instance",
    ),
    Rule(
        "unbounded",
        _unbounded,
        "has no limit",
        "give it a capacity or a lifetime, unless it has few keys",
    ),
    Rule(
        "never_hit",
        _never_hit,
        "was asked {misses} times without a hit",
        "its keys do not repeat: remove it, or make its keys coarser",
    ),
    Rule(
        "thrashing",
        _small,
        "dropped {evictions} entries in {misses} misses at its capacity of {capacity} "
        "(hits: {hits}); {returning} of the misses asked for what it had dropped shortly before",
        "a capacity of {twice} would have kept these",
    ),
    Rule(
        "thrashing",
        _thrashing_unexplained,
        "dropped {evictions} entries in {misses} misses at its capacity of {capacity} "
        "(hits: {hits})",
        "increase its capacity; how far cannot be told from these numbers",
    ),
    Rule(
        "growing_without_limit",
        _growing,
        "has no limit and grew from {before} to {entries} entries",
        "give it a capacity, or clear it when its entries are no longer needed",
    ),
    Rule(
        "far_too_large",
        _too_large,
        "has room for {capacity} entries and holds {entries} after {lookups} lookups",
        "a tenth of this capacity is enough",
    ),
    Rule(
        "always_cleared",
        _always_cleared,
        "was emptied {clears} times in {lookups} lookups",
        "it is emptied before it can help: clear it less often, or only the entries that changed",
    ),
)


def find_in(spans: Iterable[Span], rules: tuple[Rule, ...] = RULES) -> tuple[CacheFinding, ...]:
    """Apply every rule to every cache."""
    return tuple(
        CacheFinding(
            name=span.name,
            kind=span.kind,
            rule=rule.name,
            message=rule.message.format(**evidence),
            advice=rule.advice.format(**evidence),
            evidence=evidence,
        )
        for span in spans
        for rule in rules
        if (evidence := rule.evidence(span)) is not None
    )
