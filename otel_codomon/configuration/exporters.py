"""Where each signal goes: the standard variables, what the caller said, and the exporters."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.util._importlib_metadata import entry_points

from otel_codomon._platform import otlp_variables as otlp
from otel_codomon._platform.otlp_variables import LOGS, METRICS, TRACES
from otel_codomon._platform.refused_values import shown
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.words import OTLP_PROTOCOLS


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


def check_target(
    endpoint: str | None, protocol: str | None, headers: Mapping[str, str] | None
) -> Target:
    """What the caller said of where OTLP goes.

    Raises:
        InvalidArgumentError: It, or a standard variable, cannot mean anything.
    """
    if endpoint is not None and not str(endpoint).startswith(("http://", "https://")):
        raise InvalidArgumentError(
            "endpoint",
            f"cannot send to {shown(endpoint)}: it begins with neither http:// nor https://; "
            "give the full address, such as http://localhost:4318",
        )
    for name, value in (
        ("protocol", protocol),
        *((name, os.environ.get(name)) for name in _PROTOCOL_VARIABLES),
    ):
        if value and value not in OTLP_PROTOCOLS:
            raise InvalidArgumentError(
                name,
                f"invalid {name} {shown(value)}: use one of {', '.join(OTLP_PROTOCOLS)}",
            )
    check_texts("headers", headers)
    return Target(endpoint, protocol, headers)


def check_texts(argument: str, value: object) -> None:
    """Whether *value* is a mapping of texts, or None.

    Raises:
        InvalidArgumentError: It is not.
    """
    if value is None:
        return
    if isinstance(value, Mapping) and all(
        isinstance(text, str) for pair in value.items() for text in pair
    ):
        return
    raise InvalidArgumentError(
        argument,
        f"invalid {argument} {shown(value)}: must be a mapping of strings, "
        'such as {"name": "value"}',
    )


_PROTOCOL_VARIABLES: Final = otlp.forms("PROTOCOL", TRACES, METRICS, LOGS)


def exporter_names(signal: str, target: Target) -> list[str]:
    """The exporters that the environment or the caller asks for; none without an endpoint."""
    names = os.environ.get(otlp.exporters_of(signal), "").strip().lower()
    if not names:
        names = "otlp" if has_endpoint(signal, target) else "none"
    return [name.strip() for name in names.split(",") if name.strip() != "none"]


def make_exporter(signal: str, name: str, target: Target) -> Any:  # noqa: ANN401 - of any package
    """The exporter called *name* for *signal*, made."""
    return _otlp_exporter(signal, target) if name == "otlp" else _named_exporter(signal, name)


def has_endpoint(signal: str, target: Target) -> bool:
    """Whether somebody said where *signal* goes."""
    return bool(target.endpoint or otlp.read(os.environ, signal, "ENDPOINT"))


def import_early(signal: str, target: Target) -> None:
    """Import what exports *signal* over HTTP: another user may not read this interpreter's files.

    Root may become another user after `configure`, and the interpreter may lie
    in root's home.
    """
    if _protocol(signal, target) != "grpc":
        _otlp_exporter(signal, target).shutdown()  # making one imports the client
        "localhost".encode("idna")  # imports a codec, which every connection needs


def _protocol(signal: str, target: Target) -> str:
    return target.protocol or otlp.read(os.environ, signal, "PROTOCOL") or OTLP_PROTOCOLS[0]


def _otlp_exporter(signal: str, target: Target) -> Any:  # noqa: ANN401 - six classes, no base
    protocol = _protocol(signal, target)
    arguments: dict[str, Any] = {}
    if target.headers is not None:
        arguments["headers"] = dict(target.headers)
    if target.endpoint is not None:
        base = target.endpoint.rstrip("/")
        arguments["endpoint"] = base if protocol == "grpc" else f"{base}/v1/{signal}"
    return _otlp_class(signal, protocol)(**arguments)


def _otlp_class(signal: str, protocol: str) -> Any:  # noqa: ANN401 - as above
    # Imported here: each costs 30 to 100 ms, and one of each signal is used.
    if signal == LOGS:
        return _otlp_log_class(protocol)
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import (  # noqa: PLC0415
            metric_exporter as grpc_metrics,
            trace_exporter as grpc_traces,
        )

        return grpc_traces.OTLPSpanExporter if signal == TRACES else grpc_metrics.OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http import (  # noqa: PLC0415
        metric_exporter as http_metrics,
        trace_exporter as http_traces,
    )

    return http_traces.OTLPSpanExporter if signal == TRACES else http_metrics.OTLPMetricExporter


def _otlp_log_class(protocol: str) -> Any:  # noqa: ANN401 - as above
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs  # noqa: PLC0415

        return grpc_logs.OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_logs  # noqa: PLC0415

    return http_logs.OTLPLogExporter


def _named_exporter(signal: str, name: str) -> Any:  # noqa: ANN401 - whatever the entry point gives
    """An exporter that some package registered, such as ``console``."""
    group = f"opentelemetry_{signal}_exporter"
    for entry_point in entry_points(group=group, name=name):
        return entry_point.load()()
    known = ", ".join(sorted({"otlp", "none", *(row.name for row in entry_points(group=group))}))
    raise InvalidArgumentError(
        otlp.exporters_of(signal),
        f"cannot export {signal} with {shown(name)}: no installed package has such an "
        f"exporter; set {otlp.exporters_of(signal)} to one of {known}",
    )
