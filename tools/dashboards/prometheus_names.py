"""What Prometheus makes of the names in `otel_codomon.names`."""

from __future__ import annotations

from otel_codomon.names import Instrument, Metric

# UCUM code -> suffix. A unit in braces is an annotation and leaves no trace.
_SUFFIXES = {"s": "_seconds", "By": "_bytes", "By/s": "_bytes_per_second", "1": "_ratio"}
_TYPES = {
    Instrument.COUNTER: "counter",
    Instrument.OBSERVABLE_COUNTER: "counter",
    Instrument.GAUGE: "gauge",
    Instrument.OBSERVABLE_GAUGE: "gauge",
    # A sum that may fall is a gauge to Prometheus.
    Instrument.OBSERVABLE_UP_DOWN_COUNTER: "gauge",
    Instrument.HISTOGRAM: "histogram",
}


def type_of(metric: Metric) -> str:
    """The type Prometheus gives *metric*."""
    return _TYPES[metric.instrument]


def name_of(metric: Metric) -> str:
    """The name Prometheus gives *metric*; that of the family, for a histogram."""
    suffix = "" if metric.unit.startswith("{") else _SUFFIXES[metric.unit]
    total = "_total" if type_of(metric) == "counter" else ""
    return label_of(metric.name) + suffix + total


def sample_of(metric: Metric) -> str:
    """The name of one series of *metric*: the count, for a histogram."""
    return name_of(metric) + ("_count" if type_of(metric) == "histogram" else "")


def label_of(key: str) -> str:
    """The label Prometheus makes of an attribute's key."""
    return key.replace(".", "_")
