"""How metrics are exported, as the standard variables say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

_log: Final = get_logger(__name__)

INTERVAL: Final = "OTEL_METRIC_EXPORT_INTERVAL"
TEMPORALITY: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
AGGREGATION: Final = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
_DEFAULT_MILLISECONDS: Final = 60_000.0
_DELTA: Final = frozenset({"delta", "lowmemory"})
_EXPONENTIAL: Final = "base2_exponential_bucket_histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChoice:
    """How metrics are to be exported.

    Attributes:
        interval_seconds: How often, where nothing has changed.
        is_delta: Whether growth is exported instead of totals.
        is_exponential: Whether histograms have exponential buckets.
    """

    interval_seconds: float = _DEFAULT_MILLISECONDS / 1000
    is_delta: bool = False
    is_exponential: bool = False


def choice_of(environ: Mapping[str, str]) -> MetricChoice:
    """What *environ* says."""
    return MetricChoice(
        interval_seconds=interval_seconds(environ),
        is_delta=temporality(environ) in _DELTA,
        is_exponential=environ.get(AGGREGATION, "").strip().lower() == _EXPONENTIAL,
    )


def temporality(environ: Mapping[str, str]) -> str:
    """The preferred temporality: ``cumulative``, ``delta``, ``lowmemory``, or empty."""
    return environ.get(TEMPORALITY, "").strip().lower()


def interval_seconds(environ: Mapping[str, str]) -> float:
    """How often metrics are collected; 60 s where that is not a positive number."""
    try:
        said = float(environ.get(INTERVAL, _DEFAULT_MILLISECONDS))
    except ValueError:
        said = 0.0
    if 0 < said < math.inf:
        return said / 1000
    _log.warning(
        "cannot collect metrics every %.80r ms (%s): use a positive number; using 60 s",
        environ.get(INTERVAL),
        INTERVAL,
    )
    return _DEFAULT_MILLISECONDS / 1000
