"""Assert on executions in tests: private providers and a recorder.

Nothing global is changed for longer than a ``with`` block, nothing is sent,
and no thread is started::

    def test_a_failing_job_is_reported() -> None:
        with Recorder() as recorder:
            with pytest.raises(ValueError):
                my_decorated_job("bad input")

        [run] = recorder.executions()
        assert run.outcome is Outcome.ERROR
        assert run.attributes["error.type"] == "ValueError"
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_span_id, format_trace_id

from otel_codomon import names
from otel_codomon.executions import providers
from otel_codomon.journal.execution_record import ExecutionRecord, Outcome
from otel_codomon.resources.labels import Kind, Labels, SandboxType
from otel_codomon.resources.usage import Usage

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.sdk.metrics.export import DataPointT
    from opentelemetry.sdk.trace import ReadableSpan
    from typing_extensions import Self


class Recorder:
    """Keeps the spans and metrics of executions that start within its block.

    Attributes:
        tracer_provider: Its own tracer provider; spans of other scopes may go
            there too.
        meter_provider: Its own meter provider.
    """

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self._entered = ExitStack()

    def __enter__(self) -> Self:
        self._entered.enter_context(providers.providers(self.tracer_provider, self.meter_provider))
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered.close()

    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended, in that order."""
        return self._spans.get_finished_spans()

    def executions(self) -> tuple[ExecutionRecord, ...]:
        """The executions that have ended, in that order."""
        return tuple(
            _record(span) for span in self.spans() if names.EXECUTION_ID in (span.attributes or {})
        )

    def metrics(self) -> dict[str, list[DataPointT]]:
        """Collect now: the points of each metric, by its name; one with no point is absent."""
        data = self._reader.get_metrics_data()
        found: dict[str, list[DataPointT]] = {}
        for resource in [] if data is None else data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.data.data_points:
                        found[metric.name] = list(metric.data.data_points)
        return found

    def clear(self) -> None:
        """Forget the spans so far; metrics go on."""
        self._spans.clear()


def _record(span: ReadableSpan) -> ExecutionRecord:
    attributes = dict(span.attributes or {})
    context = span.get_span_context()
    outcome = attributes.get(names.EXECUTION_OUTCOME)
    language = attributes.get(names.EXECUTION_LANGUAGE)
    return ExecutionRecord(
        execution_id=str(attributes[names.EXECUTION_ID]),
        labels=Labels(
            str(attributes[names.EXECUTION_NAME]),
            Kind(attributes[names.EXECUTION_KIND]),
            None if language is None else str(language),
            SandboxType(attributes[names.SANDBOX_TYPE]),
        ),
        trace_id="" if context is None else format_trace_id(context.trace_id),
        span_id="" if context is None else format_span_id(context.span_id),
        parent_span_id=None if span.parent is None else format_span_id(span.parent.span_id),
        started_unix_ns=span.start_time or 0,
        ended_unix_ns=span.end_time,
        outcome=None if outcome is None else Outcome(outcome),
        usage=Usage.of_attributes(attributes),
        attributes=attributes,
    )
