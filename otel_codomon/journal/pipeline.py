"""Everything of the journal that one process has: its writers, its sender, its end."""

from __future__ import annotations

import atexit
import os
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.metrics import CallbackOptions, Observation, get_meter

from otel_codomon import names
from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.otlp_variables import LOGS, METRICS, TRACES
from otel_codomon.journal import announcing, folder as folders
from otel_codomon.journal.collecting import SoonCollector
from otel_codomon.journal.delivery.sender import Sender
from otel_codomon.journal.direct_export import PlainExport, export_metrics, export_spans
from otel_codomon.journal.heartbeats import HeartbeatWriter
from otel_codomon.journal.metric_reader import JournalMetricReader
from otel_codomon.journal.metrics import JournalMetricExporter
from otel_codomon.journal.processor import JournalSpanProcessor
from otel_codomon.journal.trouble import TroubleReport
from otel_codomon.journal.writer import Writer
from otel_codomon.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader

    from otel_codomon.journal.delivery.endpoints import Endpoint
    from otel_codomon.journal.heartbeats import Source
    from otel_codomon.journal.log_processor import JournalLogProcessor
    from otel_codomon.journal.processor import MetricsBy
    from otel_codomon.words import Durability

_NOT_SAFE: Final = (
    "until it can be used executions are exported directly, and lost if the receiver does not "
    "accept them"
)
_NOT_KEPT: Final = "until it can be used executions are not recorded"


class JournalPipeline:
    """Writes to a journal, and ships it to *endpoints* where there are any.

    At the end of the process it waits for delivery for *exit_timeout_seconds*
    at most, all waits together. Make it before the providers it serves, so
    that it ends after them.

    Args:
        folder: Path of the journal.
        endpoints: Where to, by signal; without any the journal is history only.
        durability: ``process``, ``power`` or ``strict``.
        exit_timeout_seconds: How long the end may take, seconds.
        heartbeats: Tells what the executions of this process have used so far.
        exporters: Makes the stock exporter of a signal, for what the journal
            cannot take.

    Raises:
        JournalUnavailableError: The folder cannot be used.
    """

    def __init__(
        self,
        folder: str,
        *,
        endpoints: Mapping[str, Endpoint],
        durability: Durability = "process",
        exit_timeout_seconds: float = 2.0,
        heartbeats: Source | None = None,
        exporters: Mapping[str, Callable[[], Any]] = MappingProxyType({}),
    ) -> None:
        self.folder = folder
        self._beat = None if heartbeats is None else HeartbeatWriter(folder, heartbeats).beat
        self._plain_spans: PlainExport[Any] | None = None
        self._plain_metrics: PlainExport[Any] | None = None
        self._plain_logs: PlainExport[Any] | None = None
        if TRACES in exporters and TRACES in endpoints:
            self._plain_spans = PlainExport(
                exporters[TRACES], export_spans, wait_seconds=exit_timeout_seconds
            )
        if METRICS in exporters and METRICS in endpoints:
            self._plain_metrics = PlainExport(exporters[METRICS], export_metrics)
        if LOGS in exporters and LOGS in endpoints:
            self._plain_logs = PlainExport(exporters[LOGS], export_spans)
        report = TroubleReport(folder, _NOT_KEPT if self._plain_spans is None else _NOT_SAFE)
        self._spans = Writer(folder, durability=durability, report=report)
        self._metrics = Writer(folder, stream=folders.METRICS, durability=durability, report=report)
        self._logs = Writer(folder, stream=folders.LOGS, durability=durability, report=report)
        self.sender = (
            Sender(folder, endpoints, writer=self._spans, report=report) if endpoints else None
        )
        self._processors: list[JournalSpanProcessor] = []
        self._log_processors: list[JournalLogProcessor] = []
        self._guest_logs: list[JournalLogProcessor] = []
        self._guests: list[MetricReader] = []
        # By identity: Logfire's provider can be neither hashed nor compared.
        self._joined: dict[int, tuple[Any, JournalSpanProcessor]] = {}
        self._left_seconds = exit_timeout_seconds
        self._closing = threading.RLock()
        self._pid = os.getpid()
        atexit.register(self.close)

    def span_processor(
        self, *, deliver: bool, metrics_by: MetricsBy = "instruments"
    ) -> JournalSpanProcessor:
        """A span processor for any SDK provider.

        Args:
            deliver: Whether the journal delivers its spans; if not, executions
                are kept as this machine's history.
            metrics_by: What the metrics of its executions are made from.
        """
        sender = self.sender
        processor = JournalSpanProcessor(
            self._spans,
            deliver=deliver,
            metrics_by=metrics_by,
            on_write=_nothing if sender is None else sender.notice,
            on_flush=None if sender is None or not deliver else sender.flush,
            beat=self._beat,
            plain=self._plain_spans,
            before_end=self._write_logs,
        )
        if sender is not None:
            sender.start()  # others' records may wait, and the dead be found
        self._processors.append(processor)
        return processor

    def join(self, provider: Any, *, deliver: bool) -> None:  # noqa: ANN401 - an SDK's provider
        """Add a span processor to somebody else's provider; one at most.

        Args:
            provider: Takes span processors.
            deliver: Whether the journal delivers its spans; its own exporters do otherwise.
        """
        joined = self._joined.get(id(provider))
        if joined is not None:
            joined[1].deliver = joined[1].deliver or deliver
            return
        processor = self.span_processor(deliver=deliver)
        self._joined[id(provider)] = (provider, processor)
        provider.add_span_processor(processor)

    def leave(self) -> None:
        """Take back every processor that `join` added."""
        for provider, processor in tuple(self._joined.values()):
            processor.shutdown()
            processor.deliver = processor.is_on = False
            _take_out(provider, processor)
            self._processors.remove(processor)
        self._joined.clear()
        for log_processor in self._guest_logs:  # the SDK has no call to take one out
            log_processor.shutdown()
            log_processor.is_on = False
            self._log_processors.remove(log_processor)
        self._guest_logs.clear()

    def log_processor(self, *, deliver: bool, is_guest: bool = False) -> JournalLogProcessor:
        """A log record processor for any SDK provider.

        Args:
            deliver: Whether the journal delivers its log records; if not, those of
                executions are kept as this machine's history.
            is_guest: Whether the provider is somebody else's.
        """
        from otel_codomon.journal.log_processor import JournalLogProcessor  # noqa: PLC0415 - 7 ms of the SDK, wanted by few

        sender = self.sender
        processor = JournalLogProcessor(
            self._logs,
            deliver=deliver,
            on_write=_nothing if sender is None else sender.notice,
            plain=self._plain_logs if deliver else None,
        )
        if sender is not None:
            sender.start()
        self._log_processors.append(processor)
        if is_guest:
            self._guest_logs.append(processor)
        return processor

    def _write_logs(self) -> None:
        for processor in tuple(self._log_processors):
            processor.write_pending()

    def metric_reader(self, *, deliver: bool = True, is_guest: bool = False) -> MetricReader:
        """A reader for any SDK provider, that collects into the journal.

        Args:
            deliver: Whether the journal delivers what it collects; if not, it
                is kept for the commands that show it.
            is_guest: Whether the provider is somebody else's, which may end
                after us: then we collect for the last time before it does.
        """
        sender = self.sender
        exporter = JournalMetricExporter(
            self._metrics,
            deliver=deliver,
            on_write=_nothing if sender is None else sender.notice,
            plain=self._plain_metrics if deliver else None,
        )
        reader = JournalMetricReader(exporter)
        announcing.on_new(SoonCollector(reader).ask)
        if is_guest:
            self._guests.append(reader)
        return reader

    def observe(self, meter_provider: MeterProvider | None = None) -> None:
        """Report the journal's own metrics to *meter_provider*; None for the global one."""
        meter = get_meter(names.SCOPE, __version__, meter_provider, names.SCHEMA_URL)
        for row, create, read in (
            (names.JOURNAL_RECORDS, meter.create_observable_counter, self.fates),
            (names.JOURNAL_BACKLOG, meter.create_observable_gauge, self.backlog_bytes),
        ):
            create(
                row.name,
                [_callback(row.attributes[0], read)],
                unit=row.unit,
                description=row.description,
            )

    def fates(self) -> dict[str, int]:
        """How many records of this process had which fate."""
        found = {
            "written": self._spans.written + self._metrics.written + self._logs.written,
            "unwritten": self._spans.unwritten + self._metrics.unwritten + self._logs.unwritten,
            "evicted": self._spans.evicted + self._metrics.evicted + self._logs.evicted,
        }
        if self.sender is not None:
            counts = self.sender.counts
            found["delivered"] = counts.delivered
            found["rejected"] = counts.rejected
            found["evicted"] += counts.evicted
            found["quarantined"] = counts.quarantined
        return found

    def backlog_bytes(self) -> dict[str, int]:
        """What waits to be delivered, by signal, bytes."""
        return {} if self.sender is None else self.sender.backlog_bytes()

    def flush(self, timeout_seconds: float) -> bool:
        """Write everything, and wait until it is delivered; whether it is."""
        deadline = time.monotonic() + timeout_seconds
        self._write_logs()
        for processor in tuple(self._processors):
            processor.write_pending()
        is_exported = self._flush_plain(deadline)
        if self.sender is None:
            return True
        return self.sender.flush(max(0.0, deadline - time.monotonic())) and is_exported

    def _flush_plain(self, deadline: float) -> bool:
        """Wait for what is exported directly until *deadline*; whether all was taken."""
        is_exported = True
        for plain in (self._plain_spans, self._plain_metrics, self._plain_logs):
            if plain is not None:
                is_exported &= plain.flush(deadline - time.monotonic())
        return is_exported

    @never_raises("closing the journal", default=None)
    def close(self) -> None:
        """Write everything, and send what can be sent in the time that is left for that."""
        with self._closing:
            begin = time.monotonic()
            for reader in self._guests:
                reader.force_flush()
            self._write_logs()
            for processor in tuple(self._processors):
                processor.write_pending()
            self._flush_plain(begin + self._left_seconds)
            if self.sender is not None:
                self.sender.finish(max(0.0, begin + self._left_seconds - time.monotonic()))
            if os.getpid() == self._pid:
                self._left_seconds = max(0.0, self._left_seconds - (time.monotonic() - begin))


def _nothing() -> None:
    return


def _take_out(provider: Any, processor: JournalSpanProcessor) -> None:  # noqa: ANN401 - as above
    """Remove *processor*, which the SDK has no call for; one that stays does nothing."""
    chain: Any = getattr(provider, "_active_span_processor", None)
    lock, processors = getattr(chain, "_lock", None), getattr(chain, "_span_processors", None)
    if lock is not None and isinstance(processors, tuple):
        with lock:
            chain._span_processors = tuple(p for p in processors if p is not processor)  # noqa: SLF001 - see above


def _callback(key: str, read: Any) -> Any:  # noqa: ANN401 - as the API takes them
    @never_raises("reporting the metrics of the journal", default=())
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, {key: word}) for word, value in read().items()]

    return observe


_pipelines: Final[dict[str, JournalPipeline]] = {}
_making: Final = threading.RLock()


def open_pipeline(
    folder: str,
    *,
    endpoints: Mapping[str, Endpoint],
    durability: Durability = "process",
    exit_timeout_seconds: float = 2.0,
    heartbeats: Source | None = None,
    exporters: Mapping[str, Callable[[], Any]] = MappingProxyType({}),
) -> JournalPipeline:
    """The pipeline of this process for *folder*, made if there is none.

    One for each folder: two senders in one process would both be elected. The
    first one's settings stand.

    Raises:
        JournalUnavailableError: The folder cannot be used.
    """
    with _making:
        found = _pipelines.get(folder)
        if found is None:
            found = _pipelines[folder] = JournalPipeline(
                folder,
                endpoints=endpoints,
                durability=durability,
                exit_timeout_seconds=exit_timeout_seconds,
                heartbeats=heartbeats,
                exporters=exporters,
            )
        return found


def leave_providers() -> None:
    """Take back every processor that was added to somebody else's provider."""
    for pipeline in tuple(_pipelines.values()):
        pipeline.leave()
