"""How a cache was set up, as far as its object shows: before anything was looked up in it."""

from __future__ import annotations

import inspect
from typing import Final

from otel_codomon.caches.statistics import CacheSetup

# What libraries call the seconds that an entry lives.
_LIFETIMES: Final = ("ttl", "default_timeout")
_LOCAL: Final = "<locals>."


def read_setup(cache: object) -> CacheSetup:
    """What is known of how *cache*, or the one that a decorated function has, was set up."""
    try:
        inner = getattr(cache, "cache", None)
        return CacheSetup(
            lifetime_seconds=_lifetime(cache) if inner is None else _lifetime(inner),
            is_on_a_method=_is_on_a_method(cache),
            has_one_key=_has_one_key(cache),
        )
    except Exception:  # noqa: BLE001 - an object of any library: any failure at all
        return CacheSetup()


def _lifetime(cache: object) -> float | None:
    told = getattr(cache, "cache_parameters", None)
    parameters = told() if callable(told) else {}
    for name in _LIFETIMES:
        seconds = getattr(cache, name, parameters.get(name))
        if isinstance(seconds, (int, float)) and not isinstance(seconds, bool):
            return float(seconds)
    return None


def _is_on_a_method(cache: object) -> bool:
    """Whether its keys hold the instances of a class: a method's first argument is ``self``.

    Only where functions keep the arguments themselves as keys, as functools does.
    """
    name = getattr(cache, "__qualname__", "").rpartition(_LOCAL)[2]
    return "." in name and next(iter(_parameters(cache)), None) == "self"


def _has_one_key(cache: object) -> bool:
    """Whether a function takes no arguments, so that it can have one result only."""
    return callable(cache) and hasattr(cache, "__wrapped__") and not _parameters(cache)


def _parameters(cache: object) -> list[str]:
    function = getattr(cache, "__wrapped__", None)
    return list(inspect.signature(function).parameters) if callable(function) else []
