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

Under pytest the fixture ``execution_recorder`` is such a recorder, opened for one
test (`otel_codomon.pytest_plugin`).
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NoOpTracer, format_span_id, format_trace_id

from otel_codomon import names
from otel_codomon._platform.refused_values import shown
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.executions import providers
from otel_codomon.journal.execution_record import ExecutionRecord, Outcome
from otel_codomon.resources.labels import Kind, Labels, SandboxType
from otel_codomon.resources.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from opentelemetry.sdk.metrics.export import DataPointT
    from opentelemetry.sdk.trace import ReadableSpan
    from typing_extensions import Self

    from otel_codomon.words import OutcomeWord

_MOST_LISTED: Final = 20  # executions in the message of a failed assertion


class Recorder:
    """Keeps the spans and metrics of executions that start within its block.

    It keeps every execution, whatever samplers decide: also one below a span that
    is not sampled. It is a child of that span all the same.

    Attributes:
        tracer_provider: Its own tracer provider; spans of other scopes may go
            there too.
        meter_provider: Its own meter provider.
    """

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
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

    def assert_execution(
        self,
        name: str | None = None,
        *,
        outcome: Outcome | OutcomeWord | None = None,
        exit_code: int | None = None,
    ) -> ExecutionRecord:
        """The first execution that has ended and is as described; whatever is None may be anything.

        Args:
            name: Its whole name.
            outcome: How it ended.
            exit_code: Exit code of its command; 128+n for signal n.

        Raises:
            AssertionError: There is none; the message lists those that there are.
            InvalidArgumentError: There is no such outcome.
        """
        __tracebackhide__ = True  # pytest shows the line of the test, not this one
        expected = {"name": name, "outcome": _outcome(outcome), "exit_code": exit_code}
        recorded = self.executions()
        for record in recorded:
            facts = _facts(record)
            if all(facts[key] == value for key, value in expected.items() if value is not None):
                return record
        raise AssertionError(f"no execution has {_described(expected)}; {self._listed(recorded)}")

    def _listed(self, recorded: tuple[ExecutionRecord, ...]) -> str:
        if recorded:
            lines = [f"\n  {_described(_facts(record))}" for record in recorded[:_MOST_LISTED]]
            more = len(recorded) - len(lines)
            rest = f"\n  and {more} more" if more else ""
            return f"{len(recorded)} recorded:{''.join(lines)}{rest}"
        if isinstance(self.tracer_provider.get_tracer(__name__), NoOpTracer):
            return "nothing can be recorded while OTEL_SDK_DISABLED is true; unset it for this test"
        return "none has ended yet"

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


def _outcome(value: Outcome | OutcomeWord | None) -> Outcome | None:
    try:
        return None if value is None else Outcome(value)
    except ValueError:
        known = ", ".join(outcome.value for outcome in Outcome)
        raise InvalidArgumentError(
            "outcome", f"invalid outcome {shown(value)}: use one of {known}"
        ) from None


def _facts(record: ExecutionRecord) -> dict[str, object]:
    """What `Recorder.assert_execution` compares; None where nothing is known."""
    return {
        "name": record.labels.name,
        "outcome": record.outcome,
        "exit_code": record.attributes.get(names.PROCESS_EXIT_CODE),
    }


def _described(facts: Mapping[str, object]) -> str:
    said = {
        key: value.value if isinstance(value, Outcome) else value
        for key, value in facts.items()
        if value is not None
    }
    return ", ".join(f"{key}={shown(value)}" for key, value in said.items()) or "ended"


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
