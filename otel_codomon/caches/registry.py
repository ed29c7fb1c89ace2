"""The caches of a process that are observed: their names, and looks at all of them."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.known_secrets import known_secrets
from otel_codomon._platform.logs import get_logger
from otel_codomon._platform.refused_values import shown
from otel_codomon._platform.scrubbing import scrub
from otel_codomon._platform.threads_and_forks import on_fork
from otel_codomon.caches.adapters.lookup import DEFAULT_ADAPTERS, find_adapter, owner_of
from otel_codomon.caches.findings import Span, find_in
from otel_codomon.caches.observed import ObservedCache
from otel_codomon.caches.statistics import NO_COUNTS, NamedReading
from otel_codomon.caches.timeout_worker import TimeoutWorker
from otel_codomon.errors import CacheNameTakenError, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.caches.adapters.adapter import CacheAdapter
    from otel_codomon.caches.findings import CacheFinding
    from otel_codomon.caches.statistics import CacheReading, Counts
    from otel_codomon.caches.timeout_worker import Call

_log = get_logger(__name__)

# An SDK instrument has a lifetime budget of 2000 attribute sets, and requests
# take two for each cache: 500 leaves half of it for caches that come and go.
CAPACITY: Final = 500
# A look that may block gets this long, and all of one collection together that
# long. Somebody who answers later is asked again when the answer has come.
LOOK_SECONDS = 0.25
COLLECTION_SECONDS = 1.0
_LONGEST_NAME: Final = 255


class CacheRegistry:
    """The caches that are observed in this process, by name.

    Caches are referred to weakly: one that nobody else has is let go, and is
    no longer reported. Another of the same name goes on from its counts.

    Args:
        capacity: Caches that are observed at most.

    Attributes:
        refused: Caches that were not observed because the registry was full.
    """

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self.refused = 0
        self._capacity = capacity
        self._caches: dict[str, ObservedCache] = {}
        self._retired: dict[tuple[str, str], Counts] = {}
        self._late: dict[str, Call[CacheReading | None]] = {}
        self._begin()
        _REGISTRIES.add(self)

    def _begin(self) -> None:
        """Make what does not survive a fork: another thread may have held it."""
        self._changing = threading.Lock()
        self._looking = threading.Lock()
        self._aside = TimeoutWorker("codomon-caches")

    def observe(
        self,
        cache: object,
        *,
        name: str | None = None,
        adapters: tuple[CacheAdapter, ...] = DEFAULT_ADAPTERS,
        watch_clears: bool = True,
        statistics: bool = False,
        size: bool = False,
        replaces: Callable[[str], bool] = lambda _name: False,
    ) -> str | None:
        """Observe *cache* from now on; the arguments are those of `observe_cache`.

        Args:
            cache: The cache.
            name: As all down to *size*, see `observe_cache`.
            adapters: Who may read it.
            watch_clears: Whether to stand in front of its ``cache_clear``.
            statistics: Whether to make a library count.
            size: Whether to estimate the memory of its entries.
            replaces: Whether it takes the place of another cache of the name
                that it is called with, rather than being in its way.

        Returns:
            The name it has; None when the registry is full.

        Raises:
            UnknownCacheError: None of *adapters* recognises it.
            CacheNameTakenError: Another cache has that name.
            InvalidArgumentError: The name cannot be one, or there is none, or
                the cache cannot be referred to weakly.
        """
        owner = owner_of(cache)
        adapter = find_adapter(owner, adapters)
        name = _checked_name(default_name(owner) if name is None else name, owner)
        with self._changing:
            self._drop_gone()
            if self._is_known(owner, name, replaces):
                return name
            if len(self._caches) >= self._capacity:
                self._refuse(name)
                return None
            observed = ObservedCache(
                owner,
                name=name,
                adapter=adapter,
                base=self._retired.pop((name, adapter.name), NO_COUNTS),
                watch_clears=watch_clears,
                size=size,
            )
            self._caches = {**self._caches, name: observed}
        if statistics and observed.traits.count is not None:
            observed.traits.count(owner)
        if not observed.traits.blocks:
            observed.read()
        return name

    def forget(self, name: str) -> None:
        """Stop observing the cache called *name*, if there is one."""
        with self._changing:
            self._drop(name)

    def close(self) -> None:
        """Stop observing, and leave every cache and the process as they were found."""
        with self._changing:
            for name in self._caches:
                self._drop(name)
        self._aside.stop()

    def is_observed(self, cache: object) -> bool:
        """Whether *cache* is observed, under any name."""
        owner = owner_of(cache)
        return any(observed.reference() is owner for observed in self._caches.values())

    def readings(self) -> tuple[NamedReading, ...]:
        """Look at every cache. One that cannot be read now is left out.

        Takes no longer than a second, whatever the caches do.
        """
        with self._looking:
            deadline = time.monotonic() + COLLECTION_SECONDS
            found = tuple(
                NamedReading(observed.name, observed.kind, reading)
                for observed in self._caches.values()
                if (reading := self._look(observed, deadline)) is not None
            )
        with self._changing:
            self._drop_gone()
        return found

    def findings(self) -> tuple[CacheFinding, ...]:
        """Look at every cache, and say what the looks since the first one show."""
        self.readings()
        return find_in(
            Span(observed.name, observed.kind, observed.first, observed.latest, observed.setup)
            for observed in self._caches.values()
            if observed.first is not None and observed.latest is not None
        )

    def clear(self, name: str) -> str | None:
        """Empty the cache called *name*.

        Returns:
            None when it is empty now; otherwise why it is not, in a few words.
        """
        observed = self._caches.get(name)
        cache = None if observed is None else observed.reference()
        if observed is None or cache is None:
            return "no cache of this name is observed"
        empty = observed.traits.clear
        if empty is None:
            return f"a cache of kind {observed.kind} cannot be cleared here"
        outcome: list[str | None] = []

        def attempt() -> None:
            try:
                empty(cache)
            except Exception as error:  # noqa: BLE001 - the answer says so
                outcome.append(f"{type(error).__name__} was raised")
            else:
                outcome.append(None)

        with self._looking:
            if observed.traits.blocks:
                self._aside.call(attempt, timeout_seconds=COLLECTION_SECONDS)
            else:
                attempt()
        return outcome[0] if outcome else "it has not finished yet"

    def names(self) -> tuple[str, ...]:
        """The names of what is observed."""
        return tuple(self._caches)

    def after_fork(self) -> None:
        """Go on in a child process: what was counted so far is the parent's."""
        self._begin()
        self._retired.clear()
        self._late.clear()
        for observed in self._caches.values():
            observed.after_fork()

    def _look(self, observed: ObservedCache, deadline: float) -> CacheReading | None:
        if not observed.traits.blocks:
            return observed.read()
        late = self._late.get(observed.name)
        if late is not None and not late.done.is_set():
            return None
        remaining = min(LOOK_SECONDS, deadline - time.monotonic())
        if remaining <= 0:
            return None
        call = self._aside.call(observed.read, timeout_seconds=remaining)
        if call.done.is_set():
            return call.result
        self._late[observed.name] = call
        observed.complain(TimeoutError(f"it did not answer in {remaining:.2f} s"))
        return None

    def _is_known(self, owner: object, name: str, replaces: Callable[[str], bool]) -> bool:
        for observed in self._caches.values():
            is_same = observed.reference() is owner
            if is_same and observed.name == name:
                return True
            if is_same:
                raise CacheNameTakenError(name, f"it is already observed as {observed.name!r}")
            if observed.name == name and not replaces(name):
                raise CacheNameTakenError(name, "another cache has this name")
        replaced = self._caches.get(name)
        if replaced is not None and not replaced.traits.blocks:
            replaced.read()  # what it has counted since the last look
        self._drop(name)
        return False

    def _refuse(self, name: str) -> None:
        self.refused += 1
        if self.refused == 1:
            _log.warning(
                "cannot observe cache %r: %d are observed, the most there may be; "
                "this is logged once, and further ones are only counted",
                name,
                self._capacity,
            )

    def _drop_gone(self) -> None:
        for name in [name for name, observed in self._caches.items() if observed.gone]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        """Let go of a cache, and keep what it had counted for the next of its name."""
        observed = self._caches.get(name)
        if observed is None:
            return
        observed.release()
        self._caches = {key: value for key, value in self._caches.items() if key != name}
        self._late.pop(name, None)
        self._retired[name, observed.kind] = observed.counts
        while len(self._retired) > self._capacity:
            del self._retired[next(iter(self._retired))]
        if not any(cache.traits.blocks for cache in self._caches.values()):
            self._aside.stop()


def default_name(cache: object) -> str | None:
    """``module:qualname`` of a function; None for what has no such names of its own."""
    module, qualname = getattr(cache, "__module__", None), getattr(cache, "__qualname__", None)
    if isinstance(module, str) and isinstance(qualname, str):
        return f"{module}:{qualname}"
    return None


def _checked_name(name: str | None, cache: object) -> str:
    if name is None:
        raise InvalidArgumentError(
            "name",
            f"cannot observe a cache of type {type(cache).__qualname__}: it has no name of its "
            "own; give it one, as observe_cache(cache, name='...')",
        )
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise InvalidArgumentError(
            "name",
            f"cannot observe a cache as {shown(name)}: a name must have 1 to {_LONGEST_NAME} "
            "printable characters; choose another",
        )
    return scrub(name, known_secrets())  # it is on metrics


_REGISTRIES: Final[weakref.WeakSet[CacheRegistry]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for registry in tuple(_REGISTRIES):
        registry.after_fork()


on_fork("caches", in_child=_after_fork_in_child)
