"""What `configure` has set up, for who wants to flush it or shut it down."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from otel_codomon._platform.otlp_variables import METRICS, TRACES
from otel_codomon.executions import log_records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_codomon.journal.pipeline import JournalPipeline
    from otel_codomon.settings import Setting


@dataclass(frozen=True, slots=True)
class Configuration:
    """What `configure` has set up.

    Attributes:
        settings: Each setting with its value and origin.
        made: The signals whose provider was made here; the others had one.
        tracer_provider: The provider that spans go to.
        meter_provider: The provider that measurements go to.
        journal: What keeps records on this machine's disk; None for the plain
            SDK pipeline.
    """

    settings: Mapping[str, Setting[Any]]
    made: frozenset[str] = frozenset()
    tracer_provider: trace.TracerProvider = field(default_factory=trace.get_tracer_provider)
    meter_provider: metrics.MeterProvider = field(default_factory=metrics.get_meter_provider)
    journal: JournalPipeline | None = None

    def force_flush(self, timeout_seconds: float = 10.0) -> bool:
        """Hand over all that is queued; True when it was, False when time ran out."""
        millis = int(timeout_seconds * 1000)
        flushed = [
            provider.force_flush(millis)
            for provider in (self.tracer_provider, self.meter_provider, *_logger_providers())
            if hasattr(provider, "force_flush")  # the SDK's have it, the API's do not
        ]
        if self.journal is not None:
            flushed.append(self.journal.flush(timeout_seconds))
        return all(flushed)

    def shutdown(self) -> None:
        """Shut down the providers that were made here; others are their makers' business."""
        for name, provider in (
            (TRACES, self.tracer_provider),
            (METRICS, self.meter_provider),
        ):
            if name in self.made and isinstance(provider, (TracerProvider, MeterProvider)):
                provider.shutdown()
        if self.journal is not None:
            self.journal.close()


def _logger_providers() -> tuple[Any, ...]:
    """The provider of log records, if there is one: it is made when it is needed."""
    api = sys.modules.get("opentelemetry._logs")
    return (api.get_logger_provider(),) if api is not None and log_records.has_provider() else ()
