"""Which telemetry executions go to, and whether there is any."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context, trace
from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # private, but what every instrumentation honours
)
from opentelemetry.environment_variables import (
    OTEL_PYTHON_METER_PROVIDER,
    OTEL_PYTHON_TRACER_PROVIDER,
)
from opentelemetry.metrics import NoOpMeterProvider, _internal as metrics_internal
from opentelemetry.trace import NoOpTracerProvider

from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.scrubbing import (
    finding as _finding,  # noqa: F401 - else imported within the first execution: CPython cannot import in a signal handler that interrupts an import
)
from otel_codomon._platform.threads_and_forks import on_fork
from otel_codomon.executions.child_flush import flush_at_child_end
from otel_codomon.executions.running import registry
from otel_codomon.executions.telemetry import Telemetry
from otel_codomon.journal.metric_lock import take_turn
from otel_codomon.resources.available import available_cores, available_memory_bytes
from otel_codomon.resources.gauges import Available, Live, observe_gauges
from otel_codomon.resources.sampler import sampler
from otel_codomon.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from otel_codomon.executions.running import Execution
    from otel_codomon.executions.spec import ExecutionSpec

_lock = threading.RLock()
_is_making = False
_chosen: Telemetry | None = None
_recorders: list[Telemetry] = []
_recorder: ContextVar[Telemetry | None] = ContextVar("otel_codomon_recorder", default=None)
_global: Telemetry | None = None
_by_slot = _is_sampling_chosen = False
# The API loads providers that these name when it is first asked for one.
_named_by_environment = bool(
    os.environ.get(OTEL_PYTHON_TRACER_PROVIDER) or os.environ.get(OTEL_PYTHON_METER_PROVIDER)
)


def active_telemetry() -> Telemetry | None:
    """Where an execution that starts now goes; None while nothing is configured.

    Looked up at each call, since providers may be set at any time; while there
    are none it costs two attribute look-ups.
    """
    telemetry = _recorded() if _recorders else _chosen
    if telemetry is None:
        if not (has_tracer_provider() or has_meter_provider() or registry.is_kept()):
            return None
        telemetry = _global or _global_telemetry()
    if _SUPPRESS_INSTRUMENTATION_KEY in otel_context.get_current():
        return None
    return telemetry


def _recorded() -> Telemetry | None:
    """The recorder of the calling context, or else the one that was opened last."""
    own = _recorder.get()
    recorders = tuple(_recorders)
    if own is not None and any(own is recorder for recorder in recorders):
        return own
    return recorders[-1] if recorders else _chosen


# Whether somebody has set a provider: the API's `get_tracer_provider()` would
# tell too, but loads the environment's choice and costs ten times as much. The
# two module globals have stood since 1.0; where they are missing the answer is yes.


def has_tracer_provider() -> bool:
    """Whether there is a global tracer provider, or the environment names one."""
    return getattr(trace, "_TRACER_PROVIDER", True) is not None or _named_by_environment


def has_meter_provider() -> bool:
    """Whether there is a global meter provider, or the environment names one."""
    return getattr(metrics_internal, "_METER_PROVIDER", True) is not None or _named_by_environment


@never_raises("making the instruments", default=None)
def _global_telemetry() -> Telemetry | None:
    return prepare(None, None)


def prepare(
    tracer_provider: TracerProvider | None,
    meter_provider: MeterProvider | None,
    *,
    is_measured: bool = True,
) -> Telemetry | None:
    """Make what executions go to, once for the process.

    Providers of ours are handed in before they are set, so that a signal
    handler that runs an execution finds everything made. In the middle of it
    the handler's execution goes unobserved: it would wait for its own thread.

    Args:
        tracer_provider: Where spans go; None for the global one.
        meter_provider: Where measurements go; None for the global one.
        is_measured: Whether instruments report executions that end; if not, their
            metrics are made from what the journal holds.
    """
    global _global, _is_making  # noqa: PLW0603 - made once a process, when first needed
    with _lock:
        if _global is None and not _is_making:
            _is_making = True
            try:
                with take_turn():
                    _global = _made(
                        Telemetry(tracer_provider, meter_provider, is_measured=is_measured)
                    )
            finally:
                _is_making = False
        return _global


def _made(telemetry: Telemetry) -> Telemetry:
    """Register what is observed for as long as *telemetry* is in use."""

    def is_in_use() -> bool:
        return telemetry in (_chosen, _global, *_recorders)

    telemetry.observe_active(lambda: registry.count_active() if is_in_use() else {})
    observe_gauges(
        telemetry.meter,
        lambda: _live() if is_in_use() else (),
        Available(available_memory_bytes(), available_cores()),
        by_slot=lambda: _by_slot,
    )
    if telemetry.is_measured:
        flush_at_child_end(telemetry.meter_provider)
    sampler.on_sample = _record_sample_duration
    if not _is_sampling_chosen:
        _sample_as_the_environment_says()
    return telemetry


def _live() -> tuple[Live, ...]:
    """The running executions that have a sample."""
    return tuple(
        Live(
            execution_id=execution.execution_id,
            labels=execution.labels,
            sample=sample,
            context=execution.context,
            memory_limit_bytes=execution.tracker.memory_limit_bytes,
            cores_limit=execution.tracker.cores_limit,
        )
        for execution in registry.running()
        if (sample := execution.tracker.latest) is not None
    )


def _record_sample_duration(seconds: float) -> None:
    telemetry = _recorded() or _global
    if telemetry is not None:
        telemetry.sampler_duration.record(seconds)


@never_raises("reading the sampling settings", default=None)
def _sample_as_the_environment_says() -> None:
    """For programs that never call `configure`, which goes before this."""
    settings = read_settings({})
    sample(interval_seconds=settings["sample_interval"].value, by_slot=settings["slots"].value)


def sample(*, interval_seconds: float, by_slot: bool) -> None:
    """Sample as configured.

    Args:
        interval_seconds: Time between two samples of an execution.
        by_slot: Whether gauges get one series for each running execution.
    """
    global _by_slot, _is_sampling_chosen  # noqa: PLW0603 - one choice for the process
    _is_sampling_chosen = True
    sampler.interval_seconds = interval_seconds
    _by_slot = by_slot


def use_providers(
    tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
) -> None:
    """Send the executions that start from now on to these providers.

    Args:
        tracer_provider: Where spans go; None for the global one.
        meter_provider: Where measurements go; None for the global one.
    """
    global _chosen  # noqa: PLW0603 - the instrumentor's choice, for the whole process
    telemetry = Telemetry(tracer_provider, meter_provider)
    _chosen = _made(telemetry)


def forget_providers() -> None:
    """Undo `use_providers`: the global providers count again, if there are any."""
    global _chosen  # noqa: PLW0603 - as above
    _chosen = None


@contextmanager
def providers(tracer_provider: TracerProvider, meter_provider: MeterProvider) -> Iterator[None]:
    """`use_providers` for a block: for what starts in its context, and in contexts without any.

    Several may be open at the same time, as in the threads of a test runner.
    """
    with take_turn():
        telemetry = _made(Telemetry(tracer_provider, meter_provider))
    token = _recorder.set(telemetry)
    _recorders.append(telemetry)
    try:
        yield
    finally:
        _recorders[:] = [other for other in _recorders if other is not telemetry]
        with suppress(ValueError):  # closed in another context, where nothing was set
            _recorder.reset(token)


def start_detached(spec: ExecutionSpec, *, execution_id: str | None = None) -> Execution:
    """Start an execution that no block holds: its context is attached nowhere.

    Where nothing is configured it is watched all the same, and told to nobody.

    Args:
        spec: What it is.
        execution_id: The caller's own id; None for a new one.
    """
    return spec.begin(any_telemetry(), thread=False, execution_id=execution_id)


def any_telemetry() -> Telemetry:
    """Where an execution that starts now goes; to nobody while nothing is configured."""
    return active_telemetry() or _silent_telemetry()


@lru_cache(maxsize=1)
def _silent_telemetry() -> Telemetry:
    return Telemetry(NoOpTracerProvider(), NoOpMeterProvider())


def _after_fork() -> None:
    global _lock, _is_making
    _lock, _is_making = threading.RLock(), False


on_fork("engine", in_child=_after_fork)
