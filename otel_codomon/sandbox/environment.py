"""The environment a command gets: a copy of little, and never ours.

Imports nothing: `otel-codomon run` needs it before it starts its command.
"""

from __future__ import annotations

from otel_codomon._platform import otlp_variables as otlp
from otel_codomon.sandbox.baggage import valid_baggage

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What a program needs to find its way, and nothing that says who we are to
# others. Where a name ends in *, everything that begins with it.
ALLOWED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "COLORTERM", "NO_COLOR"),
    *("LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR"),
    *("SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE"),
)
# Toolchains that were installed for one user find themselves by these.
TOOLCHAINS = (
    *("CARGO_HOME", "RUSTUP_HOME", "GOROOT", "GOPATH", "GOCACHE", "JAVA_HOME", "PYENV_ROOT"),
    "LD_LIBRARY_PATH",
)
# What a trace goes on by, and what tells an OpenTelemetry SDK what to do.
BAGGAGE = "BAGGAGE"
CONTEXT = ("TRACEPARENT", "TRACESTATE", BAGGAGE)
_SETTINGS = "OTEL_"
# What a linked child is told, which has to find a receiver and no credentials.
_SIGNALS = (otlp.TRACES, otlp.METRICS, otlp.LOGS)
_OTLP = ("ENDPOINT", "PROTOCOL", "COMPRESSION", "TIMEOUT", "INSECURE", "CERTIFICATE")
LINKED = frozenset(
    (
        *(name for setting in _OTLP for name in otlp.forms(setting, *_SIGNALS)),
        *map(otlp.exporters_of, _SIGNALS),
        *("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_PROPAGATORS", "OTEL_SDK_DISABLED"),
        *("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_LOG_LEVEL"),
        *("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BSP_MAX_QUEUE_SIZE"),
        *("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BLRP_SCHEDULE_DELAY", "OTEL_BLRP_EXPORT_TIMEOUT"),
        *("OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT"),
        *("OTEL_METRICS_EXEMPLAR_FILTER", "OTEL_SEMCONV_STABILITY_OPT_IN"),
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        *("OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
        *("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
        *("OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT"),
    )
)


def build_environment(
    ours: Mapping[str, str], *, given: Mapping[str, str] | None, allowed: Sequence[str]
) -> dict[str, str]:
    """Return what a command gets of *ours*, and on top of it what was *given*.

    Args:
        ours: This process's environment.
        given: What the caller sets; it goes before ours.
        allowed: Names the caller lets through besides `ALLOWED`.
    """
    patterns = (*ALLOWED, *TOOLCHAINS, *allowed)
    names = {pattern for pattern in patterns if not pattern.endswith("*")}
    prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
    kept = {n: value for n, value in ours.items() if n in names or n.startswith(prefixes)}
    return {**kept, **(given or {})}


def without_telemetry(ours: Mapping[str, str]) -> dict[str, str]:
    """*ours* without all that would let a command report."""
    return {
        name: value
        for name, value in ours.items()
        if name not in CONTEXT and not name.startswith(_SETTINGS)
    }


def exporting(ours: Mapping[str, str]) -> dict[str, str]:
    """What of *ours* tells an OpenTelemetry SDK what to do, credentials included."""
    return {name: value for name, value in ours.items() if name.startswith(_SETTINGS)}


def inherited_context(ours: Mapping[str, str]) -> dict[str, str]:
    """What of *ours* carries a trace on: of the baggage what is well-formed, and bounded."""
    context = {name: ours[name] for name in CONTEXT if name in ours}
    baggage = valid_baggage(context.pop(BAGGAGE, ""))
    return {**context, BAGGAGE: baggage} if baggage else context


def linked(ours: Mapping[str, str]) -> dict[str, str]:
    """What of *ours* lets a program report that gets no credentials: see `LINKED`.

    An address is passed on without user, password and query; a value that
    holds what looks like a secret is not passed on.
    """
    known = {name: value for name, value in ours.items() if name in LINKED and value}
    # Imported for who asks for this only: the command waits for it.
    from otel_codomon._platform.scrubbing import scrub, secret_values  # noqa: PLC0415

    secrets = secret_values(ours)
    plain = {
        name: _plain_address(value) if _is_address(name) else value for name, value in known.items()
    }
    return {
        name: value for name, value in plain.items() if value and scrub(value, secrets) == value
    }


def _is_address(name: str) -> bool:
    return name.endswith("_ENDPOINT")


def _plain_address(address: str) -> str:
    """*address* without user, password and query; nothing of one that cannot be read."""
    plain = address.partition("?")[0]
    if "@" not in address:
        return plain
    from otel_codomon.journal.delivery.addresses import read_address  # noqa: PLC0415 - few have a user

    try:
        return read_address(address).url.partition("?")[0]
    except ValueError:
        return ""
