"""What one collection of host and own process costs, against contrib's system-metrics.

The connection scan of contrib's, most of its cost, is switched off. Both go
through the same SDK, which takes its part for each point: the whole is told,
and what each of the two does itself.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from opentelemetry.instrumentation.system_metrics import (
    _DEFAULT_CONFIG,  # the only way to say "all but one"
    SystemMetricsInstrumentor,
)
from opentelemetry.metrics import CallbackOptions, NoOpMeter, NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from benchmarks.measure import Row, in_turn, print_table
from otel_codomon.host.metrics import HostMetrics
from otel_codomon.host.reader import read_host, read_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.metrics import Meter, MeterProvider as AnyProvider, Observation

    Callback = Callable[[CallbackOptions], Iterable[Observation]]

_MICRO = 1e6
_CALLS = 20
_CONFIG = {
    name: parts for name, parts in _DEFAULT_CONFIG.items() if name != "system.network.connections"
}


class _Drain(NoOpMeter):
    """A meter that keeps the callbacks, so that a collection is what they do and no more."""

    def __init__(self) -> None:
        super().__init__("drain")
        self.callbacks: list[Callback] = []

    def _keep(self, name: str, callbacks: Iterable[Callback] = (), **_texts: str) -> None:
        del name
        self.callbacks += callbacks

    create_observable_counter = _keep  # type: ignore[assignment] # nothing is to be made
    create_observable_gauge = _keep  # type: ignore[assignment] # as above
    create_observable_up_down_counter = _keep  # type: ignore[assignment] # as above

    def collect(self) -> int:
        """Call everything; how many points that makes."""
        options = CallbackOptions()
        return sum(len(list(callback(options))) for callback in self.callbacks)


class _DrainProvider(NoOpMeterProvider):
    def __init__(self, meter: _Drain) -> None:
        self._meter = meter

    def get_meter(self, *_args: object, **_rest: object) -> Meter:
        return self._meter


@contextmanager
def _ours(provider: AnyProvider) -> Iterator[None]:
    metrics = HostMetrics()
    metrics.register(provider.get_meter("ours"))
    metrics.begin(lambda: True)
    yield
    metrics.end()


def _contrib(provider: AnyProvider) -> None:
    # Not `instrument`, which does nothing the second time: there is one instrumentor a process.
    SystemMetricsInstrumentor(config=_CONFIG)._instrument(  # noqa: SLF001 - as above
        meter_provider=provider
    )


def whole() -> Iterator[Row]:
    """A collection as the SDK does it: callbacks, aggregation, points."""
    ours, theirs = InMemoryMetricReader(), InMemoryMetricReader()
    our_provider, their_provider = MeterProvider([ours]), MeterProvider([theirs])
    with _ours(our_provider):
        _contrib(their_provider)
        our_time, their_time = in_turn(ours.get_metrics_data, theirs.get_metrics_data, calls=_CALLS)
        our_points, their_points = _points(ours), _points(theirs)
    yield Row(
        "one collection through the SDK",
        our_time * _MICRO,
        their_time * _MICRO,
        "us",
        1.0,
        f"contrib system-metrics without connections; {our_points} points, theirs {their_points}",
    )
    yield Row(
        "the same, for each point",
        our_time * _MICRO / our_points,
        their_time * _MICRO / their_points,
        "us",
        None,
        "the same",
    )


def _points(reader: InMemoryMetricReader) -> int:
    data = reader.get_metrics_data()
    scopes = data.resource_metrics[0].scope_metrics if data else ()
    return sum(len(metric.data.data_points) for scope in scopes for metric in scope.metrics)


def own_part() -> Iterator[Row]:
    """The same without the SDK: what is looked at, and the observations made of it."""
    ours, theirs = _Drain(), _Drain()
    with _ours(_DrainProvider(ours)):
        _contrib(_DrainProvider(theirs))
        our_time, their_time = in_turn(ours.collect, theirs.collect, calls=_CALLS)
    yield Row(
        "all callbacks of one collection",
        our_time * _MICRO,
        their_time * _MICRO,
        "us",
        None,
        "contrib's callbacks",
    )


def _hand_out(points: list[Observation], _options: CallbackOptions) -> list[Observation]:
    return points


def sdk_part() -> Iterator[Row]:
    """What the SDK alone takes for our points, made beforehand: below it no callback can come."""
    drain, ours, theirs = _Drain(), InMemoryMetricReader(), InMemoryMetricReader()
    with _ours(_DrainProvider(drain)):
        options = CallbackOptions()
        made = [list(callback(options)) for callback in drain.callbacks]
    meter = MeterProvider([ours]).get_meter("made")
    for number, points in enumerate(made):
        meter.create_observable_gauge(f"made.{number}", [partial(_hand_out, points)])
    _contrib(MeterProvider([theirs]))
    our_time, their_time = in_turn(ours.get_metrics_data, theirs.get_metrics_data, calls=_CALLS)
    yield Row(
        "the SDK's part of ours alone",
        our_time * _MICRO,
        their_time * _MICRO,
        "us",
        None,
        "the whole of contrib's collection",
    )


def samples() -> Iterator[Row]:
    """One sample of the host and of this process, without metrics."""

    def sample() -> None:
        read_host(each_core=False)
        read_own()

    ours, with_cores = in_turn(sample, read_host, calls=_CALLS)
    yield Row(
        "one sample of host and process",
        ours * _MICRO,
        with_cores * _MICRO,
        "us",
        None,
        "one of the host with each core",
    )


if __name__ == "__main__":
    print_table("Host and own process", (*whole(), *own_part(), *sdk_part(), *samples()))
