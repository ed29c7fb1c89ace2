"""Executions become spans, histograms and counters, through the OpenTelemetry API only."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from otel_codomon import names
from otel_codomon.journal.execution_record import STATUS_WORDS, Outcome
from otel_codomon.journal.metric_lock import in_turn
from otel_codomon.journal.own_attributes import with_own
from otel_codomon.resources.labels import Kind
from otel_codomon.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, Tracer, TracerProvider
    from opentelemetry.util.types import AttributeValue

    from otel_codomon.executions.tool_calls import ToolCall
    from otel_codomon.journal.own_attributes import OwnFacts
    from otel_codomon.resources.labels import Labels
    from otel_codomon.resources.usage import Usage

STATUS: Final[Mapping[Outcome, Status]] = {
    **{outcome: Status(StatusCode.UNSET) for outcome in Outcome if not outcome.is_failure},
    **{outcome: Status(StatusCode.ERROR, words) for outcome, words in STATUS_WORDS.items()},
}
_CHILD_PROCESS: Final = frozenset({Kind.COMMAND, Kind.SNIPPET})
_MAX_ERROR_TYPES: Final = 100
_OTHER_ERROR: Final = "_OTHER"  # what the conventions call a class beyond the known ones


class Telemetry:
    """The tracer and the instruments of one pair of providers.

    Args:
        tracer_provider: Where spans go; None for the global one.
        meter_provider: Where measurements go; None for the global one.
        is_measured: Whether instruments report executions that end; if not, their
            metrics are made from what the journal holds.

    Attributes:
        is_measured: As above.
        meter_provider: As above, the global one looked up.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        is_measured: bool = True,
    ) -> None:
        self.is_measured: Final = is_measured
        self.meter_provider: Final = meter_provider or metrics.get_meter_provider()
        self.tracer: Tracer = trace.get_tracer(
            names.SCOPE, __version__, tracer_provider, names.SCHEMA_URL
        )
        self.meter: Meter = metrics.get_meter(
            names.SCOPE, __version__, meter_provider, names.SCHEMA_URL
        )
        self.sampler_duration = histogram(self.meter, names.SAMPLER_DURATION)
        self._ended = EndInstruments(self.meter) if is_measured else None

    def start_span(
        self,
        labels: Labels,
        own: OwnFacts,
        *,
        start_unix_ns: int,
        attributes: Mapping[str, AttributeValue] | None = None,
        parent: Context | None = None,
        tool: ToolCall | None = None,
    ) -> tuple[Span, Context]:
        """Start the span of an execution; the context with it in is not yet attached.

        Args:
            labels: What its metrics are summed by.
            own: Its attributes that are ours.
            start_unix_ns: Start, nanoseconds since the epoch.
            attributes: More attributes, of the observed program.
            parent: Where its parent is; None for the current context.
            tool: The tool call that it is; its span is called and of the kind as the
                GenAI conventions say. None where it is none.
        """
        is_client = tool is None and labels.kind in _CHILD_PROCESS
        span = self.tracer.start_span(
            labels.name if tool is None else tool.span_name,
            with_own(parent, own),
            SpanKind.CLIENT if is_client else SpanKind.INTERNAL,
            {**(attributes or {}), **own.attributes},
            None,
            start_unix_ns,
        )
        return span, set_span_in_context(span, parent)

    def measure(
        self,
        labels: Labels,
        outcome: Outcome,
        *,
        seconds: float,
        usage: Usage,
        error_type: str | None,
        context: Context,
    ) -> None:
        """Record what an execution took, within its span's *context*: exemplars find it."""
        if self._ended is not None:
            record = partial(self._ended.record, labels, outcome, seconds=seconds, usage=usage)
            in_turn(partial(record, error_type=error_type, context=context))

    def count_limit(self, labels: Labels, limit_type: str) -> None:
        """Count that an execution ran into its limit *limit_type*."""
        if self._ended is not None:
            attributes = {**labels.attributes(), names.LIMIT_TYPE: limit_type}
            in_turn(partial(self._ended.limit_reached.add, 1, attributes))

    def observe_active(self, count: Callable[[], Mapping[Labels, int]]) -> None:
        """Report what *count* returns as the gauge of running executions."""

        def callback(_options: CallbackOptions) -> Iterable[Observation]:
            return [Observation(n, labels.attributes()) for labels, n in count().items()]

        row = names.EXECUTION_ACTIVE
        self.meter.create_observable_gauge(
            row.name, [callback], unit=row.unit, description=row.description
        )


class EndInstruments:
    """The instruments that report executions that end.

    Args:
        meter: Makes them.
    """

    def __init__(self, meter: Meter) -> None:
        self._duration = histogram(meter, names.EXECUTION_DURATION)
        self._cpu_time = histogram(meter, names.EXECUTION_CPU_TIME)
        self._memory_peak = histogram(meter, names.EXECUTION_MEMORY_PEAK)
        self._disk_io = counter(meter, names.EXECUTION_DISK_IO)
        self.limit_reached = counter(meter, names.EXECUTION_LIMIT_REACHED)
        self._error_types: set[str] = set()

    def record(
        self,
        labels: Labels,
        outcome: Outcome,
        *,
        seconds: float,
        usage: Usage,
        error_type: str | None,
        context: Context,
    ) -> None:
        """Record what an execution took: see `Telemetry.measure`."""
        ended: dict[str, AttributeValue] = {**labels.attributes()}
        if usage.disk_read_bytes is not None:
            self._disk_io.add(usage.disk_read_bytes, {**ended, names.DISK_IO_DIRECTION: "read"})
        if usage.disk_write_bytes is not None:
            self._disk_io.add(usage.disk_write_bytes, {**ended, names.DISK_IO_DIRECTION: "write"})
        ended[names.EXECUTION_OUTCOME] = outcome.value
        if usage.cpu_seconds is not None:
            self._cpu_time.record(usage.cpu_seconds, ended, context)
        if usage.peak_memory_bytes is not None:
            self._memory_peak.record(usage.peak_memory_bytes, ended, context)
        if error_type is not None:
            ended[names.ERROR_TYPE] = self._known_error(error_type)
        self._duration.record(seconds, ended, context)

    def _known_error(self, error_type: str) -> str:
        """*error_type*, or one word for all beyond the hundredth: code can make up classes."""
        if error_type in self._error_types or len(self._error_types) < _MAX_ERROR_TYPES:
            self._error_types.add(error_type)
            return error_type
        return _OTHER_ERROR


def histogram(meter: Meter, row: names.Metric) -> Histogram:
    """The histogram of *row*, with its buckets as advice."""
    return meter.create_histogram(
        row.name,
        row.unit,
        row.description,
        explicit_bucket_boundaries_advisory=list(row.boundaries),
    )


def counter(meter: Meter, row: names.Metric) -> metrics.Counter:
    """The counter of *row*."""
    return meter.create_counter(row.name, row.unit, row.description)
