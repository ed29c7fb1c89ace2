"""Commands that `os.system` has a shell run.

The C library starts the shell and waits for it: its process id stays there. What it
used is what this process has waited for in the meantime, as far as it can be told from
what other threads wait for.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, Final

from otel_codomon.instrumentation.observed_processes import begin, caller_of

if TYPE_CHECKING:
    from collections.abc import Callable

_originals: Final[list[Callable[..., int]]] = []


def enable() -> None:
    """Observe each as one execution."""
    if not _originals and os.name == "posix":
        _originals.append(os.system)
        os.system = _observed(os.system)


def disable() -> None:
    """Undo `enable`."""
    if _originals:
        os.system = _originals.pop()


def _observed(original: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(original)
    def system(command: Any) -> int:
        observed = None if caller_of(1) is None else begin(command, shell=True, in_thread=True)  # noqa: S604 - told, not run
        if observed is None:
            return original(command)
        try:
            status = original(command)
        except BaseException as error:
            observed.has_failed(error)
            raise
        observed.has_returned(status)
        return status

    system.__module__ = os.__name__  # where a pickle finds it, in any process
    return system
