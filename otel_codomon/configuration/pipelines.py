"""The journal and the exporters, put behind a provider: one of ours, or somebody else's."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_codomon._platform.logs import get_logger
from otel_codomon._platform.otlp_variables import LOGS, METRICS, TRACES, exporters_of
from otel_codomon.configuration.exporters import exporter_names, import_early, make_exporter
from otel_codomon.errors import JournalUnavailableError
from otel_codomon.executions import log_records
from otel_codomon.executions.heartbeats import heartbeats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry import metrics, trace
    from opentelemetry.sdk._logs import LogRecordProcessor
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor

    from otel_codomon.configuration.exporters import Target
    from otel_codomon.journal.pipeline import JournalPipeline
    from otel_codomon.journal.processor import MetricsBy
    from otel_codomon.settings import Setting

_log = get_logger(__name__)


def open_journal(settings: Mapping[str, Setting[Any]], target: Target) -> JournalPipeline | None:
    """The journal, or None, with one warning, where the plain SDK pipeline must do."""
    folder = settings["journal"].value
    if folder is None:
        return None
    try:
        from otel_codomon.journal.delivery.endpoints import endpoints  # noqa: PLC0415 - needs record locks
        from otel_codomon.journal.pipeline import open_pipeline  # noqa: PLC0415 - as above

        named = endpoints(
            os.environ, endpoint=target.endpoint, protocol=target.protocol, headers=target.headers
        )
        if named and os.geteuid() == 0:
            import_early(TRACES, target)
        return open_pipeline(
            folder,
            endpoints=named,
            durability=settings["durability"].value,
            exit_timeout_seconds=settings["exit_timeout"].value,
            heartbeats=heartbeats,
            exporters={
                signal: partial(make_exporter, signal, "otlp", target)
                for signal in (TRACES, METRICS, LOGS)
            },
        )
    except ImportError:
        _log.warning(
            "this system has no record locks, so there is no journal: what is not delivered "
            "when the process ends is lost"
        )
    except JournalUnavailableError as error:
        _log.warning("%s. Until then what is not delivered when the process ends is lost", error)
    return None


def join_provider(
    journal: JournalPipeline, provider: trace.TracerProvider, *, deliver: bool
) -> None:
    """Have *journal* keep the executions of somebody else's provider, and deliver if told."""
    if hasattr(provider, "add_span_processor"):  # the API's own provider takes none
        journal.join(provider, deliver=deliver)


def read_metrics_of(journal: JournalPipeline, provider: metrics.MeterProvider) -> None:
    """Have *journal* deliver the metrics of somebody else's provider."""
    add = getattr(provider, "add_metric_reader", None)
    if add is None:  # SDKs before 1.42, or another implementation
        _log.warning("the meter provider accepts no readers: its own exporters deliver the metrics")
        return
    add(journal.metric_reader(is_guest=True))


def span_processors(
    target: Target, journal: JournalPipeline | None, *, metrics_by: MetricsBy
) -> list[SpanProcessor]:
    """What a tracer provider of ours hands its spans to."""
    names = exporter_names(TRACES, target)
    if journal is None:
        return [BatchSpanProcessor(make_exporter(TRACES, name, target)) for name in names]
    deliver = _delivers(TRACES, names)
    return [
        journal.span_processor(deliver=deliver, metrics_by=metrics_by),
        *(
            BatchSpanProcessor(make_exporter(TRACES, name, target))
            for name in names
            if name != "otlp"
        ),
    ]


def provide_logs(
    target: Target,
    journal: JournalPipeline | None,
    *,
    resource: Resource | None,
    deliver: bool,
) -> None:
    """Have a logger provider ready when the first log record is emitted; at once if any is wanted.

    Args:
        target: Where OTLP goes.
        journal: The journal; None without one.
        resource: Of a provider that is made; None to make none.
        deliver: Whether the journal delivers for somebody else's provider.
    """

    def make() -> None:
        from opentelemetry import _logs  # noqa: PLC0415 - few want logs

        if log_records.has_provider():
            provider: Any = _logs.get_logger_provider()
            add = getattr(provider, "add_log_record_processor", None)
            if journal is not None and add is not None:
                add(journal.log_processor(deliver=deliver, is_guest=True))
        elif resource is not None:
            from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415 - as above

            made = LoggerProvider(resource)
            for processor in _log_processors(target, journal):
                made.add_log_record_processor(processor)
            _logs.set_logger_provider(made)

    log_records.provide(make)
    if log_records.are_wanted():
        log_records.find_logger()


def _log_processors(target: Target, journal: JournalPipeline | None) -> list[LogRecordProcessor]:
    """What a logger provider of ours hands its log records to."""
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor  # noqa: PLC0415 - few want logs

    names = exporter_names(LOGS, target)
    stock = [name for name in names if journal is None or name != "otlp"]
    found: list[LogRecordProcessor] = [
        BatchLogRecordProcessor(make_exporter(LOGS, name, target)) for name in stock
    ]
    if journal is not None:
        found.insert(0, journal.log_processor(deliver=_delivers(LOGS, names)))
    return found


def execution_metrics_by(
    target: Target, journal: JournalPipeline | None, *, is_ours: bool
) -> MetricsBy:
    """What the metrics of executions are made from: never from two things.

    Args:
        target: Where OTLP goes.
        journal: The journal; None without one.
        is_ours: Whether both providers are ours, and nobody else's.
    """
    if os.environ.get(exporters_of(METRICS), "").strip().lower() == "none":
        return "nothing"
    others = set(exporter_names(METRICS, target)) - {"otlp"}
    return "ends" if is_ours and journal is not None and not others else "instruments"


def metric_readers(target: Target, journal: JournalPipeline | None) -> list[MetricReader]:
    """What reads the instruments of a meter provider of ours: the journal in any case."""
    names = exporter_names(METRICS, target)
    if journal is None:
        return [_exporting(name, target) for name in names]
    others = [_exporting(name, target) for name in names if name != "otlp"]
    return [journal.metric_reader(deliver=_delivers(METRICS, names)), *others]


def _exporting(name: str, target: Target) -> MetricReader:
    return PeriodicExportingMetricReader(make_exporter(METRICS, name, target))


def _delivers(signal: str, names: list[str]) -> bool:
    """Whether the journal delivers *signal*.

    With no endpoint yet it is kept for the one that may come; but a variable
    that says that there is no OTLP means it.
    """
    return "otlp" in names or not os.environ.get(exporters_of(signal), "").strip()
