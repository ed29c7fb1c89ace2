"""The standard variables of OTLP: one for all signals, and one for each, which goes before it.

Imports nothing: `otel-codomon run` reads them before it starts its command.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Mapping

TRACES = "traces"
METRICS = "metrics"
LOGS = "logs"
PREFIX = "OTEL_EXPORTER_OTLP_"


def of_signal(signal: str, setting: str) -> str:
    """The variable of one signal, as ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``."""
    return f"{PREFIX}{signal.upper()}_{setting}"


def forms(setting: str, *signals: str) -> tuple[str, ...]:
    """The variable for all signals, and those of *signals*."""
    return (PREFIX + setting, *(of_signal(signal, setting) for signal in signals))


def exporters_of(signal: str) -> str:
    """The variable that names the exporters of a signal."""
    return f"OTEL_{signal.upper()}_EXPORTER"


def read(environ: Mapping[str, str], signal: str, setting: str) -> str | None:
    """What holds for *signal*; None where neither variable says anything."""
    own, shared = environ.get(of_signal(signal, setting), ""), environ.get(PREFIX + setting, "")
    return own.strip() or shared.strip() or None
