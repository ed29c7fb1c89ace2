"""Providers for the process, once; or the journal behind those that are there."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from otel_codomon._platform.otlp_variables import METRICS, TRACES
from otel_codomon._platform.refused_values import shown
from otel_codomon.configuration import config_file, without_effect
from otel_codomon.configuration.configured import Configuration
from otel_codomon.configuration.exporters import Target, check_target, check_texts, has_endpoint
from otel_codomon.configuration.pipelines import (
    execution_metrics_by,
    join_provider,
    metric_readers,
    open_journal,
    provide_logs,
    read_metrics_of,
    span_processors,
)
from otel_codomon.configuration.recording_sampler import RecordingSampler
from otel_codomon.configuration.resources import Resources, make_resources
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.executions import (
    log_records,
    providers,
    tool_calls as tool_calls_of_functions,
)
from otel_codomon.executions.captured_texts import choose as choose_capture
from otel_codomon.host.metrics import report_host
from otel_codomon.journal.announcing import announce
from otel_codomon.journal.metric_lock import take_turn
from otel_codomon.settings import Setting, read_bool, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from otel_codomon.words import Capture, Durability, OtlpProtocol

_lock = threading.RLock()
_configured: Configuration | None = None
_given: Mapping[str, Any] = {}


def configure(
    *,
    service_name: str | None = None,
    resource_attributes: Mapping[str, str] | None = None,
    endpoint: str | None = None,
    protocol: OtlpProtocol | None = None,
    headers: Mapping[str, str] | None = None,
    journal: str | Path | bool | None = None,
    deliver: bool | None = None,
    durability: Durability | None = None,
    exit_timeout: float | None = None,
    sample_interval: float | None = None,
    slots: bool | None = None,
    host_metrics: bool | None = None,
    tool_calls: bool | None = None,
    capture: Iterable[Capture] | None = None,
    execution_logs: bool | None = None,
) -> Configuration:
    """Set up what sends executions, once for the process; a second call changes nothing.

    Providers that are there already (a distro's, the program's own) are used
    and nothing is replaced. Where there are none, they are made, and the
    standard ``OTEL_*`` variables say where their data goes, or the file that
    ``OTEL_CONFIG_FILE`` names. With no endpoint configured nothing is sent and
    nothing is retried. Arguments that have no effect are named in the log.

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
        tool_calls: Whether each call of a decorated function is a tool call of an agent.
        capture: Texts that may leave, truncated and scrubbed: some of
            ``arguments``, ``code``, ``exception``, ``output`` and ``output:logs``;
            default none.
        execution_logs: Whether the start and the end of each execution are log
            records too; default ``OTEL_PYTHON_CODOMON_EXECUTION_LOGS``.

    Returns:
        What has been set up.

    Raises:
        InvalidArgumentError: An argument or a variable cannot mean anything.
    """
    global _configured, _given  # noqa: PLW0603 - once for the process is what it is for
    said = {
        "journal": journal,
        "deliver": deliver,
        "durability": durability,
        "exit_timeout": exit_timeout,
        "sample_interval": sample_interval,
        "slots": slots,
        "host_metrics": host_metrics,
        "tool_calls": tool_calls,
        "capture": capture,
        "execution_logs": execution_logs,
    }
    settings = read_settings(said)
    where_to = {"endpoint": endpoint, "protocol": protocol, "headers": headers}
    whose = {"service_name": service_name, "resource_attributes": resource_attributes}
    given = {**whose, **where_to, **said}
    target = check_target(endpoint, protocol, headers)
    _check_resource(service_name, resource_attributes)
    with _lock:
        if _configured is None:
            resources = make_resources(service_name, resource_attributes)
            choose_capture(settings["capture"].value)
            tool_calls_of_functions.choose(are_functions_tools=settings["tool_calls"].value)
            log_records.choose(events=settings["execution_logs"].value)
            _configured = _set_up(settings, target, resources)
            providers.sample(
                interval_seconds=settings["sample_interval"].value,
                by_slot=settings["slots"].value,
            )
            report_host(_configured.meter_provider, settings)
            announce()  # caches may have been observed before
            without_effect.report_first(given, _configured)
            _given = given
        else:
            without_effect.report_again(given, _given)
        return _configured


def _check_resource(service_name: object, attributes: object) -> None:
    check_texts("resource_attributes", attributes)
    if service_name is not None and not isinstance(service_name, str):
        raise InvalidArgumentError(
            "service_name",
            f"invalid service_name {shown(service_name)}: must be a string"
            "; pass one, or set OTEL_SERVICE_NAME",
        )


def _set_up(
    settings: Mapping[str, Setting[Any]], target: Target, resources: Resources
) -> Configuration:
    if read_bool(os.environ.get(OTEL_SDK_DISABLED, "")):
        return Configuration(settings)
    made = set()
    is_described = config_file.is_set()
    if is_described and not (providers.has_tracer_provider() or providers.has_meter_provider()):
        config_file.make_providers()
    # Before the providers: what is made first ends last, and sends what they leave.
    journal = open_journal(settings, target)
    tracer_provider, meter_provider = None, None
    is_ours = not (
        providers.has_tracer_provider() or providers.has_meter_provider() or is_described
    )
    metrics_by = execution_metrics_by(target, journal, is_ours=is_ours)
    if not (providers.has_tracer_provider() or is_described):
        tracer_provider = TracerProvider(resource=resources.of_spans)
        if journal is not None:
            tracer_provider.sampler = RecordingSampler(tracer_provider.sampler)
        for processor in span_processors(target, journal, metrics_by=metrics_by):
            tracer_provider.add_span_processor(processor)
        made.add(TRACES)
    elif journal is not None and providers.has_tracer_provider():
        join_provider(journal, trace.get_tracer_provider(), deliver=settings["deliver"].value)
    if not (providers.has_meter_provider() or is_described):
        meter_provider = MeterProvider(metric_readers(target, journal), resources.of_metrics)
        made.add(METRICS)
    elif journal is not None and _delivers_metrics(settings, target):
        read_metrics_of(journal, metrics.get_meter_provider())
    deliver = settings["deliver"].value
    provide_logs(
        target, journal, resource=None if is_described else resources.of_spans, deliver=deliver
    )
    _use(tracer_provider, meter_provider, is_measured=metrics_by == "instruments" or not is_ours)
    if journal is not None:
        with take_turn():
            journal.observe()
    return Configuration(settings, frozenset(made), journal=journal)


def _use(
    tracer_provider: TracerProvider | None,
    meter_provider: MeterProvider | None,
    *,
    is_measured: bool,
) -> None:
    """Set the providers that were made, once executions can go there at once."""
    if tracer_provider is not None or meter_provider is not None:
        providers.prepare(tracer_provider, meter_provider, is_measured=is_measured)
    if meter_provider is not None:
        metrics.set_meter_provider(meter_provider)
    if tracer_provider is not None:
        trace.set_tracer_provider(tracer_provider)


def _delivers_metrics(settings: Mapping[str, Setting[Any]], target: Target) -> bool:
    """Whether the journal is to deliver the metrics of a provider that is not ours."""
    is_wanted = bool(settings["deliver"].value) and has_endpoint(METRICS, target)
    return is_wanted and providers.has_meter_provider()


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
    journal = open_journal(settings, Target())
    if journal is not None and (tracer_provider is not None or providers.has_tracer_provider()):
        provider = tracer_provider or trace.get_tracer_provider()
        join_provider(journal, provider, deliver=settings["deliver"].value)
        deliver = settings["deliver"].value
        provide_logs(Target(), journal, resource=None, deliver=deliver)


def forget_history() -> None:
    """Undo `keep_history`: no provider of somebody else's has anything of ours."""
    if "otel_codomon.journal.pipeline" in sys.modules:
        from otel_codomon.journal.pipeline import leave_providers  # noqa: PLC0415 - as `open_journal`

        leave_providers()
