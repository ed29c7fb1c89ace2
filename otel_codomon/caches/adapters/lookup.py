"""Find the adapter that knows a cache, and read it."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Final

from otel_codomon.caches.adapters.aiocache_caches import AiocacheAdapter
from otel_codomon.caches.adapters.async_lru_caches import AsyncLruAdapter
from otel_codomon.caches.adapters.cachetools_caches import CachetoolsAdapter
from otel_codomon.caches.adapters.diskcache_caches import DiskcacheAdapter
from otel_codomon.caches.adapters.django_caches import DjangoAdapter
from otel_codomon.caches.adapters.functools_caches import LruCacheAdapter
from otel_codomon.caches.adapters.info_caches import CacheInfoAdapter, ReadingAdapter
from otel_codomon.caches.adapters.joblib_caches import JoblibAdapter
from otel_codomon.caches.adapters.redis_caches import RedisAdapter
from otel_codomon.caches.counting import CountedAdapter
from otel_codomon.errors import UnknownCacheError

if TYPE_CHECKING:
    from otel_codomon.caches.adapters.adapter import CacheAdapter
    from otel_codomon.caches.statistics import CacheReading

# The first that recognises an object reads it: what was made for one library
# stands before what takes anything that has the method.
DEFAULT_ADAPTERS: Final[tuple[CacheAdapter, ...]] = (
    CountedAdapter(),
    LruCacheAdapter(),
    CachetoolsAdapter(),
    AsyncLruAdapter(),
    DiskcacheAdapter(),
    JoblibAdapter(),
    AiocacheAdapter(),
    DjangoAdapter(),
    RedisAdapter(),
    ReadingAdapter(),
    CacheInfoAdapter(),
)


def find_adapter(
    cache: object, adapters: tuple[CacheAdapter, ...] = DEFAULT_ADAPTERS
) -> CacheAdapter:
    """Return the first of *adapters* that recognises *cache*.

    Raises:
        UnknownCacheError: None of them does.
    """
    for adapter in adapters:
        if adapter.recognises(cache):
            return adapter
    raise UnknownCacheError(type(cache), tuple(adapter.name for adapter in adapters))


def owner_of(cache: object) -> object:
    """The object that a cache lives as long as.

    A bound method is made anew each time it is asked for. What it caches is in
    its function, or, with ``cachetools.cachedmethod`` before version 7, in a
    mapping that its object has.
    """
    if not isinstance(cache, MethodType):
        return cache
    find_store = getattr(cache.__func__, "cache", None)
    if callable(find_store) and hasattr(cache.__func__, "cache_key"):
        return find_store(cache.__self__)
    return cache.__func__


def read_cache(
    cache: object, adapters: tuple[CacheAdapter, ...] = DEFAULT_ADAPTERS
) -> CacheReading:
    """Read *cache* through the first adapter that recognises it.

    Raises:
        UnknownCacheError: None of *adapters* recognises it.

    >>> from functools import lru_cache
    >>> @lru_cache(maxsize=8)
    ... def square(n: int) -> int:
    ...     return n * n
    >>> _ = square(3), square(3)
    >>> read_cache(square).counts
    Counts(hits=1, misses=1, evictions=0, expirations=None, clears=0)
    """
    owner = owner_of(cache)
    return find_adapter(owner, adapters).read(owner)
