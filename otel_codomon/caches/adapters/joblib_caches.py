"""``joblib.Memory``, and the functions it caches."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_codomon.caches.adapters.adapter import CacheTraits, is_made_by
from otel_codomon.caches.statistics import CacheReading

if TYPE_CHECKING:
    from collections.abc import Iterator


class JoblibAdapter:
    """Results in a folder: how many, and how large.

    joblib counts no hits and no misses, and evicts only when
    ``Memory.reduce_size()`` is called, so these are not known.
    """

    name = "joblib"

    def recognises(self, cache: object, /) -> bool:
        """Whether *cache* is a ``Memory`` or a function that one caches in a folder."""
        return is_made_by(cache, "joblib", "Memory", "MemorizedFunc")

    def read(self, cache: object, /) -> CacheReading:
        """Walk the folder, one ``stat`` for each file."""
        sizes_bytes = [sum(files) for files in _results(cache)]
        return CacheReading(entries=len(sizes_bytes), size_bytes=sum(sizes_bytes), unbounded=True)

    def traits(self, cache: object, /) -> CacheTraits:
        """A folder, on a disk that may be far away."""
        del cache
        return _TRAITS


# joblib names the folder of a result by the MD5 of the arguments.
_RESULT: Final = frozenset("0123456789abcdef")
_RESULT_DIGITS: Final = 32


def _results(cache: Any) -> Iterator[list[int]]:  # noqa: ANN401 - a Memory or a MemorizedFunc
    """The sizes of the files of each result. A folder that goes away meanwhile is none."""
    store = getattr(cache, "store_backend", None)
    if store is None:
        return  # a Memory of location None caches nothing
    folder = Path(store.location, _function_folder(cache))
    for path, _, files in os.walk(folder):
        name = Path(path).name
        if len(name) == _RESULT_DIGITS and _RESULT.issuperset(name):
            yield [_size_bytes(Path(path, file)) for file in files]


def _function_folder(cache: Any) -> str:  # noqa: ANN401 - a Memory or a MemorizedFunc
    """Where below the store the results of a function are; the store itself for a Memory."""
    if not hasattr(cache, "func"):
        return ""
    if hasattr(cache, "func_id"):
        return str(cache.func_id)
    memory: Any = sys.modules["joblib.memory"]  # before joblib 1.4: worked out at each call
    return str(memory._build_func_identifier(cache.func))  # noqa: SLF001 - as joblib does


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # removed since it was listed
        return 0


def _clear(cache: Any) -> None:  # noqa: ANN401 - a Memory or a MemorizedFunc
    cache.clear(warn=False)


_TRAITS: Final = CacheTraits(shared=True, clear=_clear)
