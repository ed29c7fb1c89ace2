"""A child of `multiprocessing` ends without `atexit`: its last measurements are flushed here.

Where the journal delivers, the metrics of executions are made from their ends, and
need no flush. Where instruments report them, to somebody else's exporter, what a
child measured since its last collection would be lost.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.threads_and_forks import on_fork

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

_TIMEOUT_MILLISECONDS: Final = 2000.0
"""How long the end of a child may take: as long as that of a program."""

_MODULE: Final = "multiprocessing.util"

# By identity: some providers can be neither hashed nor compared.
_providers: Final[dict[int, MeterProvider]] = {}
_registered: Final[set[int]] = set()  # the processes that flush at their end


def flush_at_child_end(provider: MeterProvider) -> None:
    """Have *provider* flushed when a child of `multiprocessing` ends: this one, or one of ours."""
    if not hasattr(provider, "force_flush"):
        return
    _providers[id(provider)] = provider
    _prepare()  # in a child whose main module is imported now
    process: Any = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _register()


@never_raises("preparing the end of a child process", default=None)
def _prepare() -> None:
    """Register at the begin of a child, which forgets what was registered before."""
    util: Any = sys.modules.get(_MODULE)
    if util is not None and _providers:
        util.register_after_fork(_flush, lambda _: _register())


def _register() -> None:
    util: Any = sys.modules.get(_MODULE)
    if util is not None and os.getpid() not in _registered:
        _registered.add(os.getpid())
        util.Finalize(None, _flush, exitpriority=0)


@never_raises("flushing the metrics of a child process", default=None)
def _flush() -> None:
    for provider in tuple(_providers.values()):
        provider.force_flush(_TIMEOUT_MILLISECONDS)  # type: ignore[attr-defined] # asked above


on_fork("child flush", in_child=_prepare)
