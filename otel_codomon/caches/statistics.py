"""What a look at a cache finds, and the arithmetic that makes counters of it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Counts(NamedTuple):
    """What a cache has counted. None means that nobody counts it, never zero.

    Attributes:
        hits: Lookups that found their key.
        misses: Lookups that did not.
        evictions: Entries dropped to make room.
        expirations: Entries dropped because they were too old.
        clears: Times the cache was emptied.
    """

    hits: int | None = None
    misses: int | None = None
    evictions: int | None = None
    expirations: int | None = None
    clears: int | None = None

    def plus(self, other: Counts) -> Counts:
        """Add, field by field; what is not known adds nothing."""
        return Counts(*[(a or 0) + (b or 0) for a, b in zip(self, other, strict=True)])

    def minus(self, other: Counts) -> Counts:
        """Subtract, field by field; what either does not know is not known."""
        return Counts(
            *[None if a is None or b is None else a - b for a, b in zip(self, other, strict=True)]
        )

    def at_least(self, other: Counts) -> Counts:
        """The larger of the two, field by field; what self does not know stays unknown."""
        return Counts(
            *[
                a if a is None or b is None or a >= b else b
                for a, b in zip(self, other, strict=True)
            ]
        )


NO_COUNTS: Final = Counts(0, 0, 0, 0, 0)
"""Nothing has been counted yet: where sums begin."""

# What telemetry can carry is less than this, and so is anything that was counted.
_TOO_MANY: Final = 2**63


class CacheReading(NamedTuple):
    """One look at a cache's statistics. None means not known, never zero.

    A named tuple and not a dataclass: one is made for every cache at every
    collection, and a frozen dataclass of this size takes five times as long
    to make (1.6 µs against 0.3 µs).

    Attributes:
        hits: As in `Counts`, since the cache began to count.
        misses: As in `Counts`.
        evictions: As in `Counts`.
        expirations: As in `Counts`.
        clears: As in `Counts`. An adapter whose library forgets its counts when
            the cache is emptied says 0: the clears are then seen from outside.
        entries: Entries held now.
        capacity: Most entries it will hold; None also where the library's limit
            is not a number of entries.
        size_bytes: Memory or storage the entries take, bytes.
        estimated: Names of the fields that are bounds or estimates.
        epoch: Changes when the library's counts have begun again at zero; None
            where the adapter cannot know, and only falling counts tell.
        unbounded: Whether it is known to have no limit.
        returning: Misses of keys that were evicted a short while ago: those
            that a cache of twice the capacity would have answered.
    """

    hits: int | None = None
    misses: int | None = None
    evictions: int | None = None
    expirations: int | None = None
    clears: int | None = None
    entries: int | None = None
    capacity: int | None = None
    size_bytes: int | None = None
    estimated: frozenset[str] = frozenset()
    epoch: int | str | None = None
    unbounded: bool = False
    returning: int | None = None

    @property
    def counts(self) -> Counts:
        """The fields that only grow."""
        return Counts(self.hits, self.misses, self.evictions, self.expirations, self.clears)

    def with_counts(self, counts: Counts) -> CacheReading:
        """The same look, with other counts."""
        return _make_reading((*counts, *self[len(counts) :]))

    def on_top_of(self, base: Counts) -> CacheReading:
        """The same look, with *base* added to its counts; what is not known stays so."""
        hits, misses, evictions, expirations, clears, *rest = self
        return _make_reading(
            (
                None if hits is None else hits + (base[0] or 0),
                None if misses is None else misses + (base[1] or 0),
                None if evictions is None else evictions + (base[2] or 0),
                None if expirations is None else expirations + (base[3] or 0),
                None if clears is None else clears + (base[4] or 0),
                *rest,
            )
        )

    def follows(self, before: CacheReading) -> bool:
        """Whether it is a next look that needs no thought: as much known, nothing fallen.

        Written out, and in comparisons that are false for NaN, because every
        cache is asked at every collection: 0.7 µs, a loop takes three times that.
        """
        now: tuple[Any, ...] = self
        old: tuple[Any, ...] = before
        hits, misses, evictions, expirations, clears, entries, capacity, size, _, epoch, *_ = now
        try:
            return bool(
                (hits is old[0] or (None is not old[0] <= hits < _TOO_MANY))
                and (misses is old[1] or (None is not old[1] <= misses < _TOO_MANY))
                and (evictions is old[2] or (None is not old[2] <= evictions < _TOO_MANY))
                and (expirations is old[3] or (None is not old[3] <= expirations < _TOO_MANY))
                and (clears is old[4] or (None is not old[4] <= clears < _TOO_MANY))
                and (entries is old[5] or 0 <= entries < _TOO_MANY)
                and (capacity is old[6] or 0 <= capacity < _TOO_MANY)
                and (size is old[7] or 0 <= size < _TOO_MANY)
                and epoch == old[9]
            )
        except TypeError:  # what was known is not, or is no number
            return False

    @property
    def lookups(self) -> int | None:
        """Hits and misses together; None unless both are known."""
        return None if self.hits is None or self.misses is None else self.hits + self.misses

    @property
    def hit_ratio(self) -> float | None:
        """Hits divided by lookups; None before the first lookup."""
        return self.hits / self.lookups if self.lookups and self.hits is not None else None

    def has_restarted_since(self, earlier: CacheReading) -> bool:
        """Whether the library's counts began again at zero after *earlier*.

        Exact where the adapter tells an epoch. Elsewhere a restart shows only
        when hits or misses have fallen: one that has since been overtaken is
        not seen, and the lookups before it are then missing from the sums.
        """
        return self.epoch != earlier.epoch or any(
            now is not None and before is not None and now < before
            for now, before in ((self.hits, earlier.hits), (self.misses, earlier.misses))
        )

    def since(self, earlier: CacheReading) -> Counts:
        """What was counted after *earlier*: never negative.

        After a restart that is everything counted since the restart.
        """
        if self.has_restarted_since(earlier):
            return self.counts
        return self.counts.minus(earlier.counts).at_least(NO_COUNTS)


_make_reading = CacheReading._make  # looked up once: half a microsecond for each cache


class NamedReading(NamedTuple):
    """A reading, and whose it is.

    Attributes:
        name: Name of the cache, one of its kind in the process.
        kind: Name of the adapter that read it.
        reading: What was found; its counts never go back in one process.
    """

    name: str
    kind: str
    reading: CacheReading


_NUMBERS: Final = (*Counts._fields, "entries", "capacity", "size_bytes")


def _is_number(value: object) -> bool:
    return value is None or (value.__class__ is int and value >= 0)


def _whole(value: object) -> int | None:
    """Take *value* as a whole number that is not negative, or as not known."""
    if isinstance(value, (int, float)) and value >= 0 and value != float("inf"):
        return int(value)
    return None


def without_nonsense(reading: CacheReading) -> tuple[CacheReading, tuple[str, ...]]:
    """Take out the numbers that cannot be: negative ones, NaN, text.

    Returns:
        The reading with these fields not known, and their names.
    """
    if all(map(_is_number, reading[: len(_NUMBERS)])):
        return reading, ()
    fixed = {name: _whole(getattr(reading, name)) for name in _NUMBERS}
    refused = tuple(
        name
        for name, value in fixed.items()
        if value is None and getattr(reading, name) is not None
    )
    return reading._replace(**fixed), refused  # type: ignore[arg-type] # its own fields


class CacheSetup(NamedTuple):
    """How a cache was set up.

    Attributes:
        lifetime_seconds: How long an entry lives, seconds; None where that is
            not known or not limited.
        is_on_a_method: Whether its keys hold the instances of a class.
        has_one_key: Whether it can have one entry only.
    """

    lifetime_seconds: float | None = None
    is_on_a_method: bool = False
    has_one_key: bool = False
