"""One execution name in depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_codomon import names
from tools.dashboards.prometheus_names import name_of
from tools.dashboards.tables import Dashboard, Panel, Query, Row, Shape, Variable

if TYPE_CHECKING:
    from otel_codomon.names import Metric

_DURATION = name_of(names.EXECUTION_DURATION)
_OF = 'codomon_execution_name="$name", job=~"$job"'
_FAILED = 'codomon_execution_outcome!~"success|unknown"'
_RATE = "[$__rate_interval]"
_NOTHING_RUNS = "gauges have values only while something runs"


def _percentiles(title: str, metric: Metric, unit: str) -> Panel:
    """Three percentiles of a histogram, whose points lead to traces."""
    buckets = f"sum by (le) (rate({name_of(metric)}_bucket{{{_OF}}}{_RATE}))"
    return Panel(
        title=title,
        description=f"{metric.description} Click a point: Open the trace.",
        queries=tuple(
            Query(f"histogram_quantile({share}, {buckets})", legend, exemplars=True)
            for share, legend in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
        ),
        unit=unit,
    )


def _gauge(title: str, metric: Metric, unit: str = "short") -> Panel:
    """A gauge of what runs now, summed."""
    return Panel(
        title=title,
        description=metric.description,
        queries=(Query(f"sum({name_of(metric)}{{{_OF}}})", title, empty_when=_NOTHING_RUNS),),
        unit=unit,
        width=6,
    )


_ENDED = Row(
    "Executions that ended",
    (
        Panel(
            title="By outcome",
            description="Executions of this name that ended, per second.",
            queries=(
                Query(
                    f"sum by (codomon_execution_outcome) (rate({_DURATION}_count{{{_OF}}}{_RATE}))",
                    "{{codomon_execution_outcome}}",
                ),
            ),
            unit="ops",
            shape=Shape.STACK,
        ),
        Panel(
            title="Failures by class of error",
            description="Failures by outcome, per second.",
            queries=(
                Query(
                    "sum by (codomon_execution_outcome, error_type) "
                    f"(rate({_DURATION}_count{{{_OF}, {_FAILED}}}{_RATE}))",
                    "{{codomon_execution_outcome}} {{error_type}}",
                    empty_when="nothing of this name failed",
                ),
            ),
            unit="ops",
            shape=Shape.STACK,
        ),
        Panel(
            title="Limits that were reached",
            description=names.EXECUTION_LIMIT_REACHED.description,
            queries=(
                Query(
                    "sum by (codomon_limit_type) "
                    f"(rate({name_of(names.EXECUTION_LIMIT_REACHED)}{{{_OF}}}{_RATE}))",
                    "{{codomon_limit_type}}",
                    empty_when="no limit was reached",
                ),
            ),
            unit="ops",
        ),
    ),
)

_USED = Row(
    "What each one took: points lead to traces",
    (
        _percentiles("Duration", names.EXECUTION_DURATION, "s"),
        _percentiles("CPU time", names.EXECUTION_CPU_TIME, "s"),
        _percentiles("Memory peak", names.EXECUTION_MEMORY_PEAK, "bytes"),
        Panel(
            title="Distribution of the duration",
            description="How many executions took how long.",
            queries=(
                Query(
                    f"sum by (le) (increase({_DURATION}_bucket{{{_OF}}}{_RATE}))",
                    "{{le}}",
                    exemplars=True,
                ),
            ),
            unit="s",
            shape=Shape.HEATMAP,
            width=12,
        ),
        Panel(
            title="Storage",
            description=names.EXECUTION_DISK_IO.description,
            queries=(
                Query(
                    "sum by (disk_io_direction) "
                    f"(rate({name_of(names.EXECUTION_DISK_IO)}{{{_OF}}}{_RATE}))",
                    "{{disk_io_direction}}",
                    empty_when="no execution of this name touched storage",
                ),
            ),
            unit="Bps",
            width=12,
        ),
    ),
)

_NOW = Row(
    "What runs now",
    (
        _gauge("Running", names.EXECUTION_ACTIVE),
        _gauge("Cores in use", names.EXECUTION_CPU_USAGE),
        _gauge("Of the cores available", names.EXECUTION_CPU_UTILIZATION, "percentunit"),
        _gauge("Memory in use", names.EXECUTION_MEMORY_USAGE, "bytes"),
        _gauge("Of the memory limit", names.EXECUTION_MEMORY_UTILIZATION, "percentunit"),
        _gauge("Processes", names.EXECUTION_PROCESS_COUNT),
        _gauge("Threads", names.EXECUTION_THREAD_COUNT),
        _gauge("File descriptors", names.EXECUTION_FILE_DESCRIPTOR_COUNT),
    ),
)

_TRACES = Row(
    "Traces",
    (
        Panel(
            title="Latest executions",
            description="The latest traces of this name; an id opens its trace.",
            queries=(Query("$name"),),
            shape=Shape.TRACES,
            width=24,
        ),
    ),
)

ONE_NAME = Dashboard(
    uid="name",
    title="One execution name",
    description="Everything about the executions of one name.",
    rows=(_ENDED, _USED, _NOW, _TRACES),
    variables=(
        Variable(
            "name",
            "Name",
            f"label_values({_DURATION}_count, codomon_execution_name)",
            several=False,
        ),
        Variable(
            "job",
            "Service",
            f'label_values({_DURATION}_count{{codomon_execution_name="$name"}}, job)',
        ),
        Variable(
            "service",
            "Traces of",
            f'label_values({_DURATION}_count{{codomon_execution_name="$name"}}, service_name)',
            several=False,
        ),
    ),
)
