"""Find the caches that the namespace of a module holds, without touching anything else in it."""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Final

from otel_codomon.caches.adapters.django_caches import DjangoAdapter
from otel_codomon.caches.adapters.info_caches import CacheInfoAdapter, ReadingAdapter
from otel_codomon.caches.adapters.lookup import DEFAULT_ADAPTERS
from otel_codomon.caches.adapters.redis_caches import RedisAdapter
from otel_codomon.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_codomon.caches.adapters.adapter import CacheAdapter

# Not looked for: what is recognised by asking an object for an attribute (lazy
# objects would be woken, mocks have every attribute), and what a module holds
# in order to talk to a server, which need not be a cache.
_ON_REQUEST: Final = (DjangoAdapter, RedisAdapter, ReadingAdapter, CacheInfoAdapter)
SCAN_ADAPTERS: Final[tuple[CacheAdapter, ...]] = tuple(
    adapter for adapter in DEFAULT_ADAPTERS if not isinstance(adapter, _ON_REQUEST)
)
# A class within a class within a class: deeper ones are not looked into.
_DEPTH: Final = 3


def caches_in(
    module: ModuleType, adapters: tuple[CacheAdapter, ...] = SCAN_ADAPTERS
) -> Iterator[tuple[str, object]]:
    """The caches that *module* defines, in its classes too, each with ``module:path``.

    A function that was imported from elsewhere is its own module's.
    """
    for path, value in _values(vars(module), module.__name__, prefix="", depth=_DEPTH):
        if any(adapter.recognises(value) for adapter in adapters):
            yield f"{module.__name__}:{path}", value


def _values(
    namespace: Mapping[str, object], module: str, *, prefix: str, depth: int
) -> Iterator[tuple[str, object]]:
    for name, found in tuple(namespace.items()):
        value = found.__func__ if isinstance(found, (staticmethod, classmethod)) else found
        if not _is_defined_in(value, module):
            continue
        if isinstance(value, type):
            if depth:
                yield from _values(vars(value), module, prefix=f"{prefix}{name}.", depth=depth - 1)
        else:
            yield prefix + name, value


def _is_defined_in(value: object, module: str) -> bool:
    """Whether *value* was made by *module*: by its own word, if it has one to say."""
    if isinstance(value, (type, FunctionType)):
        return value.__module__ == module
    try:
        # Not `vars`, nor any attribute by name: a lazy object would wake up.
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return True
    return bool(own.get("__module__", module) == module)


def loaded_modules(packages: Sequence[str | ModuleType]) -> list[ModuleType]:
    """The modules of *packages* that are imported. None is imported to find out.

    Raises:
        InvalidArgumentError: A package is not imported.
    """
    names = [package if isinstance(package, str) else package.__name__ for package in packages]
    for name in names:
        if name not in sys.modules:
            raise InvalidArgumentError(
                "packages",
                f"cannot observe the caches of {name!r}: it is not imported; import it first",
            )
    return [
        module
        for name, module in tuple(sys.modules.items())
        if any(name == package or name.startswith(f"{package}.") for package in names)
    ]
