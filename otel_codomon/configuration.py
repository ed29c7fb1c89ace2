"""`configure`: providers and exporters, from arguments and the standard environment."""

from __future__ import annotations

import logging
import os
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace
from opentelemetry.environment_variables import OTEL_METRICS_EXPORTER, OTEL_TRACES_EXPORTER
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_EXPORTER_OTLP_METRICS_PROTOCOL,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    OTEL_SDK_DISABLED,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.util._importlib_metadata import entry_points

from otel_codomon.emit.capture import choose as choose_capture
from otel_codomon.emit.host import report_host
from otel_codomon.errors import InvalidArgumentError, JournalUnavailableError
from otel_codomon.executions import engine
from otel_codomon.settings import Setting, read_bool, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import SpanProcessor

    from otel_codomon.journal.pipeline import JournalPipeline

_log = logging.getLogger(__name__)
PROTOCOLS: Final = ("http/protobuf", "grpc")


@dataclass(frozen=True, slots=True)
class _Signal:
    """One row of the table of signals: where the standard environment speaks of it."""

    name: str
    exporters: str
    endpoint: str
    protocol: str
    path: str


TRACES: Final = _Signal(
    "traces",
    OTEL_TRACES_EXPORTER,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    "v1/traces",
)
METRICS: Final = _Signal(
    "metrics",
    OTEL_METRICS_EXPORTER,
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_EXPORTER_OTLP_METRICS_PROTOCOL,
    "v1/metrics",
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where OTLP goes, as far as the caller said; the environment says the rest.

    Attributes:
        endpoint: Base address, as in ``OTEL_EXPORTER_OTLP_ENDPOINT``; None to
            take it from there.
        protocol: ``http/protobuf`` or ``grpc``; None to take it from there.
        headers: Headers of each request; None to take them from there.
    """

    endpoint: str | None = None
    protocol: str | None = None
    headers: Mapping[str, str] | None = None


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
            for provider in (self.tracer_provider, self.meter_provider)
            if hasattr(provider, "force_flush")  # the SDK's have it, the API's do not
        ]
        if self.journal is not None:
            flushed.append(self.journal.flush(timeout_seconds))
        return all(flushed)

    def shutdown(self) -> None:
        """Shut down the providers that were made here; others are their makers' business."""
        for name, provider in (
            (TRACES.name, self.tracer_provider),
            (METRICS.name, self.meter_provider),
        ):
            if name in self.made and isinstance(provider, (TracerProvider, MeterProvider)):
                provider.shutdown()
        if self.journal is not None:
            self.journal.close()


_lock = threading.Lock()
_configured: Configuration | None = None


def configure(
    *,
    service_name: str | None = None,
    resource_attributes: Mapping[str, str] | None = None,
    endpoint: str | None = None,
    protocol: str | None = None,
    headers: Mapping[str, str] | None = None,
    journal: str | Path | bool | None = None,
    deliver: bool | None = None,
    durability: str | None = None,
    exit_timeout: float | None = None,
    sample_interval: float | None = None,
    slots: bool | None = None,
    host_metrics: bool | None = None,
    capture: Iterable[str] | None = None,
) -> Configuration:
    """Set up what sends executions, once for the process; a second call changes nothing.

    Providers that are there already (a distro's, the program's own) are used
    and nothing is replaced. Where there are none, they are made, and the
    standard ``OTEL_*`` variables say where their data goes. With no endpoint
    configured nothing is sent and nothing is retried.

    Args:
        service_name: Name of the service; default ``OTEL_SERVICE_NAME``.
        resource_attributes: More attributes of the resource.
        endpoint: Base address of an OTLP receiver; default
            ``OTEL_EXPORTER_OTLP_ENDPOINT``.
        protocol: ``http/protobuf`` or ``grpc``; default
            ``OTEL_EXPORTER_OTLP_PROTOCOL``, and then ``http/protobuf``.
        headers: Headers of each request; default ``OTEL_EXPORTER_OTLP_HEADERS``.
        journal: Folder of the journal, or False for the plain SDK pipeline;
            default ``OTEL_PYTHON_CODOMON_JOURNAL``.
        deliver: Whether the journal delivers even where the providers are
            somebody else's; default ``OTEL_PYTHON_CODOMON_DELIVER``.
        durability: What a record survives: ``process``, ``power`` or ``strict``.
        exit_timeout: How long the end of the process waits at most, seconds.
        sample_interval: Time between two samples of an execution, seconds.
        slots: Whether gauges get one series for each running execution.
        host_metrics: Whether ``system.*`` and ``process.*`` are reported too.
        capture: Texts that may leave, truncated and scrubbed: some of
            ``arguments``, ``code``, ``exception`` and ``output``; default none.

    Returns:
        What has been set up.

    Raises:
        InvalidArgumentError: An argument or a variable cannot mean anything.
    """
    global _configured  # noqa: PLW0603 - once for the process is what it is for
    settings = read_settings(
        {
            "journal": journal,
            "deliver": deliver,
            "durability": durability,
            "exit_timeout": exit_timeout,
            "sample_interval": sample_interval,
            "slots": slots,
            "host_metrics": host_metrics,
            "capture": capture,
        }
    )
    target = _check_target(endpoint, protocol, headers)
    with _lock:
        if _configured is None:
            resource = _resource(service_name, resource_attributes)
            _configured = _set_up(settings, target, resource)
            choose_capture(settings["capture"].value)
            engine.sample(
                interval_seconds=settings["sample_interval"].value,
                by_slot=settings["slots"].value,
            )
            report_host(_configured.meter_provider, settings)
        return _configured


def _check_target(
    endpoint: str | None, protocol: str | None, headers: Mapping[str, str] | None
) -> Target:
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise InvalidArgumentError(
            "endpoint",
            f"cannot send to {endpoint!r:.80}: it begins with neither http:// nor https://; "
            "give the whole address, such as http://localhost:4318",
        )
    for name, value in (
        ("protocol", protocol),
        *((name, os.environ.get(name)) for name in _PROTOCOL_VARIABLES),
    ):
        if value and value not in PROTOCOLS:
            raise InvalidArgumentError(
                name,
                f"cannot send with {name} {value!r:.80}: it is none of the known ones; "
                f"use one of {', '.join(PROTOCOLS)}",
            )
    return Target(endpoint, protocol, headers)


_PROTOCOL_VARIABLES: Final = (
    OTEL_EXPORTER_OTLP_PROTOCOL,
    TRACES.protocol,
    METRICS.protocol,
)


def _resource(service_name: str | None, attributes: Mapping[str, str] | None) -> Resource:
    named = {} if service_name is None else {SERVICE_NAME: service_name}
    return Resource.create({**(attributes or {}), **named})


def _set_up(
    settings: Mapping[str, Setting[Any]], target: Target, resource: Resource
) -> Configuration:
    if read_bool(os.environ.get(OTEL_SDK_DISABLED, "")):
        return Configuration(settings)
    made = set()
    # Before the providers: what is made first ends last, and sends what they leave.
    journal = _open_journal(settings, target)
    if not engine.has_tracer_provider():
        tracer_provider = TracerProvider(resource=resource)
        for processor in _span_processors(target, journal):
            tracer_provider.add_span_processor(processor)
        trace.set_tracer_provider(tracer_provider)
        made.add(TRACES.name)
    elif journal is not None:
        _join(journal, trace.get_tracer_provider(), deliver=settings["deliver"].value)
    if not engine.has_meter_provider():
        metrics.set_meter_provider(MeterProvider(_metric_readers(target, journal), resource))
        made.add(METRICS.name)
    elif journal is not None and settings["deliver"].value and has_endpoint(METRICS, target):
        _read_from(journal, metrics.get_meter_provider())
    if journal is not None:
        journal.observe()
    return Configuration(settings, frozenset(made), journal=journal)


def _open_journal(settings: Mapping[str, Setting[Any]], target: Target) -> JournalPipeline | None:
    """The journal, or None, with one warning, where the plain SDK pipeline must do."""
    folder = settings["journal"].value
    if folder is None:
        return None
    try:
        from otel_codomon.journal.endpoints import endpoints  # noqa: PLC0415 - needs record locks
        from otel_codomon.journal.pipeline import open_pipeline  # noqa: PLC0415 - as above

        return open_pipeline(
            folder,
            endpoints=endpoints(
                os.environ,
                endpoint=target.endpoint,
                protocol=target.protocol,
                headers=target.headers,
            ),
            durability=settings["durability"].value,
            exit_timeout_seconds=settings["exit_timeout"].value,
        )
    except ImportError:
        _log.warning(
            "this system has no record locks, so there is no journal: what is not delivered "
            "when the process ends is lost"
        )
    except JournalUnavailableError as error:
        _log.warning("%s. Until then what is not delivered when the process ends is lost", error)
    return None


def _join(journal: JournalPipeline, provider: trace.TracerProvider, *, deliver: bool) -> None:
    """Have *journal* keep the executions of somebody else's provider, and deliver if told."""
    if hasattr(provider, "add_span_processor"):  # the API's own provider takes none
        journal.join(provider, deliver=deliver)


def keep_history(
    tracer_provider: trace.TracerProvider | None, _meter_provider: object = None
) -> None:
    """Keep the executions of a program that nobody changes in the journal.

    Args:
        tracer_provider: The provider that they go to; None for the global one.
    """
    if read_bool(os.environ.get(OTEL_SDK_DISABLED, "")):
        return
    settings = read_settings({})
    journal = _open_journal(settings, Target())
    if journal is not None and (tracer_provider is not None or engine.has_tracer_provider()):
        provider = tracer_provider or trace.get_tracer_provider()
        _join(journal, provider, deliver=settings["deliver"].value)


def forget_history() -> None:
    """Undo `keep_history`: no provider of somebody else's has anything of ours."""
    if "otel_codomon.journal.pipeline" in sys.modules:
        from otel_codomon.journal.pipeline import leave_providers  # noqa: PLC0415 - as `_open_journal`

        leave_providers()


def _read_from(journal: JournalPipeline, provider: metrics.MeterProvider) -> None:
    """Have *journal* deliver the metrics of somebody else's provider."""
    add = getattr(provider, "add_metric_reader", None)
    if add is None:  # SDKs before 1.42, or another implementation
        _log.warning("the meter provider takes no readers: its metrics are its exporters' business")
        return
    add(journal.metric_reader(is_guest=True))


def _span_processors(target: Target, journal: JournalPipeline | None) -> list[SpanProcessor]:
    names = _exporter_names(TRACES, target)
    if journal is None:
        return [BatchSpanProcessor(_exporter(TRACES, name, target)) for name in names]
    # With no endpoint yet they are kept for the one that may come; but who
    # says that there is no OTLP means it.
    said = os.environ.get(TRACES.exporters, "").strip()
    deliver = "otlp" in names or not said
    return [
        journal.span_processor(deliver=deliver),
        *(BatchSpanProcessor(_exporter(TRACES, name, target)) for name in names if name != "otlp"),
    ]


def _metric_readers(target: Target, journal: JournalPipeline | None) -> list[MetricReader]:
    return [
        journal.metric_reader()
        if name == "otlp" and journal is not None
        else PeriodicExportingMetricReader(_exporter(METRICS, name, target))
        for name in _exporter_names(METRICS, target)
    ]


def _exporter_names(signal: _Signal, target: Target) -> list[str]:
    """The exporters that the environment or the caller asks for; none without an endpoint."""
    names = os.environ.get(signal.exporters, "").strip().lower()
    if not names:
        names = "otlp" if has_endpoint(signal, target) else "none"
    return [name.strip() for name in names.split(",") if name.strip() != "none"]


def _exporter(signal: _Signal, name: str, target: Target) -> Any:  # noqa: ANN401 - of any package
    return _otlp_exporter(signal, target) if name == "otlp" else _named_exporter(signal, name)


def has_endpoint(signal: _Signal, target: Target) -> bool:
    """Whether somebody said where *signal* goes."""
    said = (
        target.endpoint,
        os.environ.get(signal.endpoint),
        os.environ.get(OTEL_EXPORTER_OTLP_ENDPOINT),
    )
    return any(said)


def _otlp_exporter(signal: _Signal, target: Target) -> Any:  # noqa: ANN401 - four classes, no base
    protocol = (
        target.protocol
        or os.environ.get(signal.protocol)
        or os.environ.get(OTEL_EXPORTER_OTLP_PROTOCOL)
        or PROTOCOLS[0]
    )
    arguments: dict[str, Any] = {}
    if target.headers is not None:
        arguments["headers"] = dict(target.headers)
    if target.endpoint is not None:
        base = target.endpoint.rstrip("/")
        arguments["endpoint"] = base if protocol == "grpc" else f"{base}/{signal.path}"
    return _otlp_class(signal, protocol)(**arguments)


def _otlp_class(signal: _Signal, protocol: str) -> Any:  # noqa: ANN401 - as above
    # Imported here: each costs 30 to 100 ms, and one of the four is used.
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import (  # noqa: PLC0415
            metric_exporter as grpc_metrics,
            trace_exporter as grpc_traces,
        )

        return grpc_traces.OTLPSpanExporter if signal is TRACES else grpc_metrics.OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http import (  # noqa: PLC0415
        metric_exporter as http_metrics,
        trace_exporter as http_traces,
    )

    return http_traces.OTLPSpanExporter if signal is TRACES else http_metrics.OTLPMetricExporter


def _named_exporter(signal: _Signal, name: str) -> Any:  # noqa: ANN401 - whatever the entry point gives
    """An exporter that some package registered, such as ``console``."""
    group = f"opentelemetry_{signal.name}_exporter"
    for entry_point in entry_points(group=group, name=name):
        return entry_point.load()()
    known = ", ".join(sorted({"otlp", "none", *(row.name for row in entry_points(group=group))}))
    raise InvalidArgumentError(
        signal.exporters,
        f"cannot export {signal.name} with {name!r:.80}: no installed package has such an "
        f"exporter; set {signal.exporters} to one of {known}",
    )
