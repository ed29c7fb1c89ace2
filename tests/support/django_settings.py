"""Django's caches, as its ``CACHES`` setting describes them."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from itertools import count
from platform import machine
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = count()
_BACKENDS = "django.core.cache.backends"
_CLIENTS = {"pymemcache": "PyMemcacheCache", "pylibmc": "PyLibMCCache"}

# pylibmc is built for these alone; elsewhere it needs a compiler and a C library.
_HAS_PYLIBMC = sys.version_info < (3, 12) and sys.platform == "linux" and machine() == "x86_64"
MEMCACHED_CLIENTS = ("pymemcache", "pylibmc") if _HAS_PYLIBMC else ("pymemcache",)


def django_local_memory(entries: int) -> dict[str, object]:
    """In the memory of this process, for so many entries at most; empty."""
    return {
        "BACKEND": f"{_BACKENDS}.locmem.LocMemCache",
        "LOCATION": str(next(_numbers)),  # caches of one location are one cache
        "OPTIONS": {"MAX_ENTRIES": entries},
    }


def django_redis(port: int) -> dict[str, object]:
    """On the Redis server on *port*."""
    return {"BACKEND": f"{_BACKENDS}.redis.RedisCache", "LOCATION": f"redis://127.0.0.1:{port}"}


def django_memcached(client: str, *ports: int) -> dict[str, object]:
    """On the memcached servers on *ports*, through the library called *client*."""
    return {
        "BACKEND": f"{_BACKENDS}.memcached.{_CLIENTS[client]}",
        "LOCATION": [f"127.0.0.1:{port}" for port in ports],
    }


@contextmanager
def django_caches(**settings: object) -> Iterator[Any]:
    """Django's handler of caches with these *settings*; all are closed afterwards."""
    conf: Any = pytest.importorskip("django.conf", reason="pip install django")
    if not conf.settings.configured:
        conf.settings.configure()
    conf.settings.CACHES = settings
    handler = pytest.importorskip("django.core.cache").CacheHandler(settings)
    yield handler
    handler.close_all()
