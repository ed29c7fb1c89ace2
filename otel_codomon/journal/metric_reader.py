"""Collects metrics into the journal at every interval, in a thread of ours."""

from __future__ import annotations

import math
import os
import weakref
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.threads_and_forks import PausableThread, Wake, on_fork
from otel_codomon.journal.metric_choice import interval_seconds
from otel_codomon.journal.metric_lock import take_turn

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter


class JournalMetricReader(PeriodicExportingMetricReader):
    """The SDK's reader, with a thread that is known to be ours and that no fork finds.

    Args:
        exporter: Writes to the journal.
    """

    def __init__(self, exporter: MetricExporter) -> None:
        super().__init__(exporter, export_interval_millis=math.inf)  # no thread of the SDK's
        self._interval_seconds = interval_seconds(os.environ)
        self._wake = Wake()
        self._own_thread = PausableThread(self._run, name="codomon-metrics", wake=self._wake.set)
        self._own_thread.start()
        _readers.add(self)

    def _run(self) -> None:
        while True:
            self._wake.clear()
            if self._own_thread.is_ending:  # in this order: what wakes us says so first
                return
            if not self._wake.wait(self._interval_seconds):
                self._collect_at_interval()

    @never_raises("collecting metrics for the journal", default=None)
    def _collect_at_interval(self) -> None:
        self.collect()

    def collect(self, timeout_millis: float = 10_000) -> None:  # type: ignore[misc] # final, but nothing else is called for each collection
        """Collect, and have measurements of signal handlers wait for the end of it."""
        with take_turn():
            super().collect(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Collect for the last time, and end."""
        if not self._shutdown:
            self._own_thread.stop()
            self.collect(timeout_millis)
        super().shutdown(timeout_millis, **kwargs)

    def after_fork(self) -> None:
        """In a forked child: have a thread again."""
        if not self._shutdown:
            self._own_thread.forget()
            self._own_thread.start()


_readers: weakref.WeakSet[JournalMetricReader] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for reader in tuple(_readers):
        reader.after_fork()


on_fork("metric reader", in_child=_after_fork_in_child)
