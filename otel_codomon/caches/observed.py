"""One cache under observation: what it had counted before, and the look at it now."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.logs import get_logger
from otel_codomon.caches.adapters.adapter import traits_of
from otel_codomon.caches.clear_tracker import ClearTracker
from otel_codomon.caches.setup import read_setup
from otel_codomon.caches.sizes import estimate_size_bytes
from otel_codomon.caches.statistics import NO_COUNTS, CacheReading, Counts, without_nonsense
from otel_codomon.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.caches.adapters.adapter import CacheAdapter

_log = get_logger(__name__)

# A look is made again when the cache was emptied during it. A thread that
# empties it all the time cannot hold the look up for ever.
_TRIES: Final = 3
_SIZE_IS_ESTIMATED: Final = frozenset({"size_bytes"})
_CLEARS_ARE_ESTIMATED: Final = frozenset({"clears"})
_ONE_CLEAR: Final = Counts(clears=1)


class ObservedCache:
    """One cache under observation, referred to weakly.

    Its counts are a base and what the library counts now. The base takes up
    what the library forgets: the counts of before a clear, of before a fork
    (negative: they were the parent's), of an earlier cache of this name.

    Args:
        cache: The cache.
        name: What it is called.
        adapter: Reads it.
        base: What caches of this name had counted before.
        watch_clears: Whether to stand in front of the method that empties it.
        size: Whether to estimate the size of its entries at each look.

    Attributes:
        first: The first look, or None before it.
        latest: The last look that succeeded, or None before it.
        reading: What the last look found; None when it failed.
        setup: How it was set up.

    Raises:
        InvalidArgumentError: The object cannot be referred to weakly.
    """

    def __init__(
        self,
        cache: object,
        *,
        name: str,
        adapter: CacheAdapter,
        base: Counts = NO_COUNTS,
        watch_clears: bool = True,
        size: bool = False,
    ) -> None:
        try:
            self.reference = weakref.ref(cache)
        except TypeError:
            raise InvalidArgumentError(
                "cache",
                f"cannot observe a cache of type {type(cache).__qualname__}: it does "
                "not support weak references; add '__weakref__' to its __slots__, or "
                "observe an object that holds it",
            ) from None
        self.name = name
        self.kind = adapter.name
        self.traits = traits_of(adapter, cache)
        self.setup = read_setup(cache)
        self.first: CacheReading | None = None
        self.latest: CacheReading | None = None
        self.reading: CacheReading | None = None
        self._read = adapter.read
        self._size = size
        self._base = base
        self._raw: CacheReading | None = None
        self._without_base = self.traits.shared
        self._emptying = ClearTracker(adapter.read)
        self._emptied = self._emptying.state
        self._complained = False
        self._put_back: Callable[[], None] | None = None
        if watch_clears and self.traits.resets is not None:
            self._put_back = self._emptying.watch(cache, self.traits.resets)
        # Clears that are only seen by their effect may be missed.
        self._misses_clears = self.traits.resets is not None and self._put_back is None
        self._is_plain = not (size or self._misses_clears)

    @property
    def gone(self) -> bool:
        """Whether nobody has the cache any more."""
        return self.reference() is None

    @property
    def counts(self) -> Counts:
        """What caches of this name have counted up to the last look."""
        return NO_COUNTS if self.latest is None else self.latest.counts

    def read(self) -> CacheReading | None:
        """Read the cache. Never raises: a look that fails is one log record and None."""
        cache = self.reference()
        if cache is None:
            self.reading = None
            return None
        try:
            self.reading = self._read_and_account(cache)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an adapter may be anybody's code
            self.reading = None
            self.complain(error)
        return self.reading

    def complain(self, error: BaseException) -> None:
        """Log why there is no reading, the first time only."""
        if not self._complained:
            self._complained = True
            _log.warning(
                "cannot read cache %r (%s): its values are missing until it can be read; "
                "this is logged once",
                self.name,
                self.kind,
                exc_info=error,
            )

    def release(self) -> None:
        """Stop observing: leave the cache as it was found."""
        if self._put_back is not None:
            self._put_back()

    def after_fork(self) -> None:
        """Begin again at nothing in a child process: what was counted is the parent's.

        A cache that may block is not read here, but at the first look.
        """
        self._emptying.forget()
        self._emptied = self._emptying.state
        self._base = NO_COUNTS
        self.first = self.latest = self.reading = self._raw = None
        self._without_base = True
        if not self.traits.blocks:
            self.read()

    def _read_and_account(self, cache: object) -> CacheReading | None:
        for _ in range(_TRIES):
            emptied = self._emptying.state
            raw = self._read(cache)
            if self._emptying.state is emptied and not emptied[1]:
                return self._account(cache, raw, emptied)
        return self.latest

    def _account(
        self, cache: object, raw: CacheReading, emptied: tuple[Counts, bool]
    ) -> CacheReading:
        """Add to what the library counts now what it has forgotten."""
        before = self._raw
        if before is not None and emptied is self._emptied and self._is_plain:
            if raw == before and self.latest is not None:
                return self.latest
            if raw.follows(before):
                self._raw = raw
                self.latest = raw if self._base is NO_COUNTS else raw.on_top_of(self._base)
                return self.latest
        return self._account_with_care(self._completed(cache, raw), emptied)

    def _account_with_care(self, raw: CacheReading, emptied: tuple[Counts, bool]) -> CacheReading:
        """Do so for a first look, and after anything that is not plain growth."""
        raw, refused = without_nonsense(raw)
        if refused:
            self.complain(ValueError(f"its statistics are impossible: {', '.join(refused)}"))
        self._move_base(raw, emptied)
        reading = raw.on_top_of(self._base)
        if self.latest is not None:
            reading = reading.with_counts(reading.counts.at_least(self.latest.counts))
        self.latest = reading
        self.first = self.first or reading
        return reading

    def _move_base(self, raw: CacheReading, emptied: tuple[Counts, bool]) -> None:
        before, self._raw = self._raw, raw
        if emptied is not self._emptied:
            self._base = self._base.plus(emptied[0].minus(self._emptied[0]))
            self._emptied = emptied
        elif before is not None and raw.has_restarted_since(before):
            self._base = self._base.plus(before.counts).plus(_ONE_CLEAR)
        if self._without_base:
            self._without_base = False
            self._base = self._base.plus(NO_COUNTS.minus(raw.counts))

    def _completed(self, cache: object, raw: CacheReading) -> CacheReading:
        """Add what was asked for and mark what is estimated."""
        estimated = raw.estimated
        if raw.clears is not None and self._misses_clears:
            estimated |= _CLEARS_ARE_ESTIMATED
        entries = self.traits.entries(cache) if self._size and self.traits.entries else None
        if entries is None:
            return raw._replace(estimated=estimated)
        return raw._replace(
            size_bytes=estimate_size_bytes(entries), estimated=estimated | _SIZE_IS_ESTIMATED
        )
