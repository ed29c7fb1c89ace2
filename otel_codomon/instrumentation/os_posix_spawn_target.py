"""Processes that `os.posix_spawn` and `os.posix_spawnp` start."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from otel_codomon.instrumentation import waits
from otel_codomon.instrumentation.observed_processes import begin, caller_of

if TYPE_CHECKING:
    from collections.abc import Callable

_TARGET: Final = "os.posix_spawn"
_NAMES: Final = ("posix_spawn", "posix_spawnp")
_originals: Final[dict[str, Callable[..., int]]] = {}


def enable() -> None:
    """Observe each as one execution."""
    if _originals:
        return
    _originals.update({name: getattr(os, name) for name in _NAMES if hasattr(os, name)})
    for name, original in _originals.items():
        setattr(os, name, _observed(original))
    waits.enable(_TARGET)


def disable() -> None:
    """Undo `enable`."""
    for name, original in _originals.items():
        setattr(os, name, original)
    _originals.clear()
    waits.disable(_TARGET)


def _observed(original: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(original)
    def spawn(path: Any, argv: Any, env: Any, /, **options: Any) -> int:
        module = caller_of(1)
        is_inside = sys._getframe(1).f_globals.get("__name__") == "subprocess"  # noqa: SLF001 - public but for its name
        # `subprocess` has targets of its own; there is no module where the code is ours.
        observed = None if module is None or is_inside else begin(argv, executable=path)
        if observed is None:
            return original(path, argv, env, **options)
        try:
            pid = original(path, argv, env, **options)
        except BaseException as error:
            observed.has_failed(error)
            raise
        observed.has_started(pid)
        return pid

    spawn.__module__ = os.__name__  # where a pickle finds it, in any process
    return spawn
