"""What a decorated call costs, against an SDK span, Logfire and the API's no-op span."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.measure import Row, in_turn, print_table
from otel_codomon import execution
from otel_codomon.executions import providers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

_MICRO = 1e6
_MILLI = 1e3


class _Sink(SpanExporter):
    """Takes spans and forgets them, so that only their making is measured."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        del spans
        return SpanExportResult.SUCCESS


def _providers() -> tuple[TracerProvider, MeterProvider]:
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(_Sink(), max_queue_size=2**20))
    return tracers, MeterProvider([InMemoryMetricReader()])


def _noop() -> None:
    pass


def _sdk_span(tracers: TracerProvider, meters: MeterProvider) -> Callable[[], None]:
    tracer = tracers.get_tracer("peer")
    histogram = meters.get_meter("peer").create_histogram("peer.duration", "s")
    attributes: Mapping[str, str | float] = {"a": "text", "b": "text", "c": 1, "d": 2.0, "e": True}
    labels = {"a": "text", "b": "text", "c": "text"}

    def call() -> None:
        with tracer.start_as_current_span("peer", attributes=attributes):
            _noop()
            histogram.record(0.001, labels)

    return call


def recorded() -> Iterator[Row]:
    """A decorated no-op whose span and measurements are recorded."""
    tracers, meters = _providers()
    decorated = execution(_noop)
    with providers.providers(tracers, meters):
        ours, peer = in_turn(decorated, _sdk_span(*_providers()), calls=2000)
        yield Row(
            "decorated no-op, recorded",
            ours * _MICRO,
            peer * _MICRO,
            "us",
            1.5,
            "SDK span with 5 attributes + one Histogram.record",
        )
        ours, peer = in_turn(decorated, _logfire_call(), calls=2000)
    yield Row(
        "decorated no-op, recorded", ours * _MICRO, peer * _MICRO, "us", 1.0, "@logfire.instrument"
    )
    tracers, meters = _providers()
    providers.prepare(tracers, meters, is_measured=False)
    ours, peer = in_turn(decorated, _sdk_span(*_providers()), calls=2000)
    yield Row(
        "the same, measured by its end in a journal",
        ours * _MICRO,
        peer * _MICRO,
        "us",
        1.4,
        "SDK span with 5 attributes + one Histogram.record",
    )


def _logfire_call() -> Callable[[], None]:
    import logfire

    logfire.configure(
        send_to_logfire=False,
        console=False,
        inspect_arguments=False,
        additional_span_processors=[BatchSpanProcessor(_Sink(), max_queue_size=2**20)],
    )
    call: Callable[[], None] = logfire.instrument("peer", extract_args=False)(_noop)
    return call


class _Native:
    """A C library with threads of its own, which `threading` does not list."""

    _BYTES = 128 * 2**20
    """What each of its threads reads: 4 to 10 ms of CPU time."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._text = ctypes.create_string_buffer(b"x" * self._BYTES)
        self._start(self._libc.pause, None)  # for as long as the process lives

    def _start(self, function: object, argument: object) -> ctypes.c_ulong:
        thread = ctypes.c_ulong()
        code = ctypes.cast(function, ctypes.c_void_p)  # type: ignore[arg-type] # any function of C
        self._libc.pthread_create(ctypes.byref(thread), None, code, argument)
        return thread

    def work(self) -> None:
        """Hand some work to three of them, and wait for it."""
        for thread in [self._start(self._libc.strlen, self._text) for _ in range(3)]:
            self._libc.pthread_join(thread, None)


def beside_threads_of_c() -> Iterator[Row]:
    """A decorated call in which threads that Python does not list use CPU time."""
    native = _Native()
    with providers.providers(*_providers()):
        ours, peer = in_turn(execution(native.work), native.work, calls=10)
    yield Row(
        "decorated call that starts threads in C",
        ours * _MICRO,
        peer * _MICRO,
        "us",
        None,
        "the same, not decorated",
    )


def not_configured() -> Iterator[Row]:
    """A decorated no-op in a program that has configured nothing."""
    tracer = trace.NoOpTracerProvider().get_tracer("peer")
    decorated = execution(_noop)

    def peer_call() -> None:
        with tracer.start_as_current_span("peer"):
            _noop()

    ours, peer = in_turn(decorated, peer_call, calls=20000)
    yield Row(
        "decorated no-op, nothing configured",
        ours * _MICRO,
        peer * _MICRO,
        "us",
        0.5,
        "the API's own no-op span",
    )


def imports() -> Iterator[Row]:
    """Importing the package, in fresh interpreters."""

    def start(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    ours, peer = in_turn(start("import otel_codomon"), start("import opentelemetry.trace"))
    yield Row(
        "import otel_codomon (whole process)",
        ours * _MILLI,
        peer * _MILLI,
        "ms",
        1.3,
        "import opentelemetry.trace",
    )
    ours, peer = in_turn(
        start("from otel_codomon import execution"), start("import opentelemetry.trace")
    )
    yield Row(
        "from otel_codomon import execution (whole process)",
        ours * _MILLI,
        peer * _MILLI,
        "ms",
        None,
        "import opentelemetry.trace",
    )


if __name__ == "__main__":
    # Before the recorded ones: Logfire sets the global providers.
    print_table("An execution that is not configured", not_configured())
    print_table("A recorded execution", recorded())
    print_table("Beside threads that Python does not list", beside_threads_of_c())
    print_table("Imports", imports())
