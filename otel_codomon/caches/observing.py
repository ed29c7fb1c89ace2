"""`observe_cache` and its like: put caches under observation and report them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from otel_codomon._platform.logs import get_logger
from otel_codomon._platform.refused_values import shown
from otel_codomon._platform.threads_and_forks import on_fork
from otel_codomon.caches.adapters.lookup import DEFAULT_ADAPTERS
from otel_codomon.caches.control import ClearRequests
from otel_codomon.caches.metrics import CacheMetrics
from otel_codomon.caches.registry import CAPACITY, CacheRegistry, default_name
from otel_codomon.caches.scanning import SCAN_ADAPTERS, caches_in, loaded_modules
from otel_codomon.caches.site import Site, calling_site
from otel_codomon.errors import CacheNameTakenError, CodomonError, InvalidArgumentError
from otel_codomon.journal.announcing import announce

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from opentelemetry.metrics import MeterProvider

    from otel_codomon.caches.adapters.adapter import CacheAdapter
    from otel_codomon.caches.findings import CacheFinding
    from otel_codomon.caches.statistics import NamedReading

C = TypeVar("C")
_log = get_logger(__name__)


class CacheObserver:
    """A registry of caches, and the metrics that report it.

    The process has one, `process_caches`; tests make their own.

    Attributes:
        registry: The caches.
    """

    def __init__(self) -> None:
        self.registry = CacheRegistry()
        self._requests = ClearRequests(self.registry.clear, self.registry.names)
        self._lock = threading.Lock()
        self._sites: dict[str, Site] = {}
        self._global: CacheMetrics | None = None
        self._chosen: CacheMetrics | None = None

    def report(self) -> None:
        """Report to the global meter provider, unless another was chosen."""
        with self._lock:
            if self._global is None and self._chosen is None:
                self._global = CacheMetrics(self.readings)
        announce()

    def use_meter_provider(self, meter_provider: MeterProvider | None) -> None:
        """Report to *meter_provider* from now on; None for the global one."""
        self.forget_meter_provider()
        if meter_provider is None:
            self.report()
            return
        with self._lock:
            self._chosen = CacheMetrics(self.readings, meter_provider)
            if self._global is not None:
                self._global.is_on = False

    def forget_meter_provider(self) -> None:
        """Undo `use_meter_provider`."""
        with self._lock:
            if self._chosen is not None:
                self._chosen.is_on = False
                self._chosen = None
            if self._global is not None:
                self._global.is_on = True

    def observe_at(
        self, site: Site, cache: object, *, name: str | None, **options: Any
    ) -> str | None:
        """Observe *cache*, in the place of the one that the same call observed before."""

        def replaces(taken: str) -> bool:
            before = self._sites.get(taken)
            return before is not None and site.repeats(before)

        found = self.registry.observe(cache, name=name, replaces=replaces, **options)
        if found is not None:
            self._sites[found] = site
        while len(self._sites) > CAPACITY:
            del self._sites[next(iter(self._sites))]
        return found

    def readings(self) -> tuple[NamedReading, ...]:
        """Do what other processes have asked for, then look at every cache."""
        self._requests.take()
        return self.registry.readings()

    def observe_found(
        self, module: ModuleType, adapters: tuple[CacheAdapter, ...]
    ) -> tuple[str, ...]:
        """Observe the caches that *module* defines; one that cannot be is logged and left out."""
        found = (
            self._observe_one(path, cache, adapters)
            for path, cache in caches_in(module, adapters)
            if not self.registry.is_observed(cache)
        )
        return tuple(name for name in found if name is not None)

    def _observe_one(
        self, path: str, cache: object, adapters: tuple[CacheAdapter, ...]
    ) -> str | None:
        try:
            try:
                return self.registry.observe(
                    cache, name=default_name(cache) or path, adapters=adapters
                )
            except CacheNameTakenError:  # two functions made by one piece of code
                return self.registry.observe(cache, name=path, adapters=adapters)
        except CodomonError:
            _log.warning("cannot observe the cache at %s", path, exc_info=True)
            return None

    def after_fork(self) -> None:
        """Go on in a child process: another thread may have been at it in the parent."""
        self._lock = threading.Lock()
        for cache_metrics in (self._global, self._chosen):
            if cache_metrics is not None:
                cache_metrics.after_fork()


process_caches: Final = CacheObserver()
"""What `observe_cache` adds to."""


@overload
def observe_cache(
    cache: C,
    /,
    *,
    name: str | None = None,
    adapters: tuple[CacheAdapter, ...] = DEFAULT_ADAPTERS,
    watch_clears: bool = True,
    statistics: bool = False,
    size: bool = False,
) -> C: ...


@overload
def observe_cache(
    *,
    name: str | None = None,
    adapters: tuple[CacheAdapter, ...] = DEFAULT_ADAPTERS,
    watch_clears: bool = True,
    statistics: bool = False,
    size: bool = False,
) -> Callable[[C], C]: ...


def observe_cache(
    cache: C | None = None,
    /,
    *,
    name: str | None = None,
    adapters: tuple[CacheAdapter, ...] = DEFAULT_ADAPTERS,
    watch_clears: bool = True,
    statistics: bool = False,
    size: bool = False,
) -> C | Callable[[C], C]:
    """Report the statistics of a cache at each collection, as long as it lives.

    Where a notebook's cell is run again or a module is loaded again, the new
    cache takes the place of the one before, and goes on from its counts.

    A call, or a decorator above the one that caches::

        @observe_cache
        @lru_cache(maxsize=1000)
        def parse(text): ...

        observe_cache(sessions, name="sessions")

    Args:
        cache: A cached function or a cache. It is referred to weakly, and
            nothing is put in the way of its lookups.
        name: What it is called, one name for one cache; ``module:qualname`` of
            a function if not given.
        adapters: Who may read it, the first that recognises it does.
        watch_clears: Whether to stand in front of its ``cache_clear``, so that
            what was counted before a clear is not forgotten with it.
        statistics: Whether to make a library count that does not unless it is
            told to: diskcache, for which each hit then costs a write.
        size: Whether to estimate the memory its entries take, where that can
            be done without changing it.

    Returns:
        *cache* itself, or a decorator if none was given.

    Raises:
        UnknownCacheError: None of *adapters* recognises it.
        CacheNameTakenError: Another cache has that name.
        InvalidArgumentError: It has no name and none was given, or it cannot
            be referred to weakly; or an argument cannot mean anything.
    """
    if name is not None and not isinstance(name, str):
        raise InvalidArgumentError(
            "name",
            f"invalid name {shown(name)}: must be a string; leave it out for the default",
        )
    if not isinstance(adapters, Sequence):
        raise InvalidArgumentError(
            "adapters",
            f"invalid adapters {shown(adapters)}: must be a sequence of adapters, "
            "such as (YourAdapter(), *DEFAULT_ADAPTERS)",
        )

    def observe(cache: C) -> C:
        process_caches.observe_at(
            calling_site(),
            cache,
            name=name,
            adapters=adapters,
            watch_clears=watch_clears,
            statistics=statistics,
            size=size,
        )
        process_caches.report()
        return cache

    return observe if cache is None else observe(cache)


def observe_module(
    module: ModuleType, *, adapters: tuple[CacheAdapter, ...] = SCAN_ADAPTERS
) -> tuple[str, ...]:
    """Observe every cached function and known cache that *module* defines, in its classes too.

    What it imported from elsewhere is left to its own module. Clients of
    servers, such as redis, are not taken for caches: observe these by name.

    Returns:
        The names of what is observed now and was not before.
    """
    found = process_caches.observe_found(module, adapters)
    process_caches.report()
    return found


def observe_all(
    packages: Sequence[str | ModuleType], *, adapters: tuple[CacheAdapter, ...] = SCAN_ADAPTERS
) -> tuple[str, ...]:
    """`observe_module` for each module of *packages* that is imported by now.

    Returns:
        The names of what is observed now and was not before.

    Raises:
        InvalidArgumentError: A package is not imported.
    """
    modules = loaded_modules(packages)
    found = [name for module in modules for name in process_caches.observe_found(module, adapters)]
    process_caches.report()
    return tuple(found)


def cache_findings() -> tuple[CacheFinding, ...]:
    """Look at the observed caches, and say which of them do nothing, and why.

    Judges by how each cache was set up, and by what was counted since it was
    first looked at.
    """
    return process_caches.registry.findings()


on_fork("cache metrics", in_child=process_caches.after_fork)
