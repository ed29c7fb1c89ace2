"""A collection soon after something new is reported: the next interval may be a minute away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_codomon._platform.never_raises import before_forks, never_raises
from otel_codomon._platform.threads_and_forks import (
    OwnThread,
    Wake,
    pause_at_forks,
    wait_until_gone,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics.export import MetricReader

_SOON_SECONDS: Final = 0.2
"""Long enough for one collection to take in what a module reports while it is imported."""


class SoonCollector:
    """Has *reader* collect once, a moment after it is asked, in a thread that ends then."""

    def __init__(self, reader: MetricReader) -> None:
        self._reader = reader
        self._thread: OwnThread | None = None
        self._pausing = Wake()
        pause_at_forks(self)

    def ask(self) -> None:
        """Collect soon; once for all who ask until then."""
        thread = self._thread
        # One of the parent of a forked process is not alive here.
        if thread is not None and thread.is_alive():
            return
        self._pausing = Wake()
        self._thread = OwnThread(self._run, name="codomon-collect")
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter exits, and collects for the last time itself
            self._thread = None

    def _run(self) -> None:
        if self._pausing.wait(_SOON_SECONDS):
            return
        self._thread = None  # first: what is new from here on needs another
        self._collect()

    @never_raises("collecting metrics for the journal", default=None)
    def _collect(self) -> None:
        with before_forks():
            self._reader.collect()

    def pause_for_fork(self) -> Callable[[], None] | None:
        """End the thread; what starts it again, None where there is none."""
        thread, self._thread = self._thread, None
        if thread is None or not thread.is_alive():
            return None
        self._pausing.set()
        wait_until_gone(thread)
        return self.ask
