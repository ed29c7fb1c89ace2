"""The metric exporter: what is collected is on disk, and no callback waits for a collector."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.metrics.view import Aggregation, ExponentialBucketHistogramAggregation

from otel_codomon._platform.never_raises import never_raises
from otel_codomon.journal import segments
from otel_codomon.journal.encoding import encode_metrics_data
from otel_codomon.journal.metric_choice import choice_of, temporality

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_codomon.journal.direct_export import PlainExport
    from otel_codomon.journal.writer import Writer

# Which instruments report growth instead of totals, for each value of the
# variable. From the specification of the OTLP metrics exporter.
_DELTA: Final[dict[str, tuple[type, ...]]] = {
    "delta": (Counter, Histogram, ObservableCounter),
    "lowmemory": (Counter, Histogram),
}


def preferred_temporality(environ: Mapping[str, str]) -> dict[type, AggregationTemporality]:
    """Temporality of each instrument, as the standard variable says it."""
    preferred = _DELTA.get(temporality(environ), ())
    return dict.fromkeys(preferred, AggregationTemporality.DELTA)


def preferred_aggregation(environ: Mapping[str, str]) -> dict[type, Aggregation]:
    """Aggregation of histograms, as the standard variable says it."""
    if not choice_of(environ).is_exponential:
        return {}
    return {Histogram: ExponentialBucketHistogramAggregation()}


class JournalMetricExporter(MetricExporter):
    """Writes each collection to the journal, with the times its points were taken at.

    Args:
        writer: Where to; of the stream `folder.METRICS`.
        deliver: Whether the journal delivers it, or keeps it as history.
        on_write: Called after a collection was written.
        plain: Exports what cannot be written; None where there is no receiver.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        deliver: bool = True,
        on_write: Callable[[], None] = lambda: None,
        plain: PlainExport[MetricsData] | None = None,
    ) -> None:
        super().__init__(
            preferred_temporality=preferred_temporality(os.environ),
            preferred_aggregation=preferred_aggregation(os.environ),
        )
        self._writer = writer
        self._flags = 0 if deliver else segments.HISTORY
        self._on_write = on_write
        self._plain = plain

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **_options: Any,
    ) -> MetricExportResult:
        """Write *metrics_data*; a success is that it is on disk."""
        del timeout_millis
        return self._export(metrics_data)

    @never_raises("writing metrics to the journal", default=MetricExportResult.FAILURE)
    def _export(self, metrics_data: MetricsData) -> MetricExportResult:
        requests, refused = encode_metrics_data(metrics_data)
        self._writer.unwritten += refused
        if not requests:
            return MetricExportResult.FAILURE
        if not self._writer.append(segments.METRICS, b"".join(requests), flags=self._flags):
            return self._export_plainly(metrics_data)
        self._writer.sync()
        self._on_write()
        return MetricExportResult.SUCCESS

    def _export_plainly(self, metrics_data: MetricsData) -> MetricExportResult:
        if self._plain is None:
            return MetricExportResult.FAILURE
        self._plain.add(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing waits here."""
        del timeout_millis
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_options: Any) -> None:
        """Nothing to do: the segment goes with the process."""
        del timeout_millis
