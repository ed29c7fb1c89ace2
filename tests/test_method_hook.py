"""Hooks on a method of a function, as older decorators of caches attach it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

from otel_codomon.caches.method_hook import hook_method

if TYPE_CHECKING:
    from collections.abc import Callable


def cached() -> Any:  # noqa: ANN401 - a function with attributes
    """A function as cachetools 5 makes it: what empties its cache is an attribute."""
    store = {1: "one"}

    def look_up(key: int) -> str | None:
        return store.get(key)

    def cache_clear() -> str:
        """Empty it."""
        store.clear()
        return "emptied"

    look_up.cache_clear = cache_clear  # type: ignore[attr-defined] # as the decorator does
    return look_up


@pytest.fixture
def seen() -> list[object]:
    return []


def noting(seen: list[object]) -> Callable[[object, Callable[[], object]], object]:
    def around(target: object, call: Callable[[], object]) -> object:
        seen.append(target)
        return call()

    return around


def test_the_hook_is_called_with_the_function_and_returns_what_the_method_does(
    seen: list[object],
) -> None:
    function = cached()

    put_back = hook_method(function, "cache_clear", noting(seen))
    result = function.cache_clear()

    assert (result, seen) == ("emptied", [function])
    assert function(1) is None
    assert function.cache_clear.__doc__ == "Empty it."
    assert put_back is not None


def test_put_back_the_method_is_as_it_was(seen: list[object]) -> None:
    function = cached()
    before = function.cache_clear

    put_back = hook_method(function, "cache_clear", noting(seen))
    assert put_back is not None
    put_back()

    assert function.cache_clear is before
    function.cache_clear()
    assert seen == []


def test_a_method_that_was_replaced_since_is_left_alone(seen: list[object]) -> None:
    function = cached()
    put_back = hook_method(function, "cache_clear", noting(seen))
    assert put_back is not None
    function.cache_clear = len

    put_back()

    assert function.cache_clear is len


def test_a_method_kept_longer_than_its_function_works_without_the_hook(seen: list[object]) -> None:
    function = cached()
    put_back = hook_method(function, "cache_clear", noting(seen))
    assert put_back is not None
    kept = function.cache_clear
    del function
    gc.collect()

    result = kept()
    put_back()  # nothing to put back

    assert (result, seen) == ("emptied", [])


def test_a_function_without_the_method_has_no_hook(seen: list[object]) -> None:
    assert hook_method(cached(), "cache_reset", noting(seen)) is None
