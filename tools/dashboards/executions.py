"""The first page: how all executions do."""

from __future__ import annotations

from otel_codomon import names
from tools.dashboards.prometheus_names import name_of
from tools.dashboards.tables import Dashboard, Panel, Query, Row, Shape, Variable

_DURATION = name_of(names.EXECUTION_DURATION)
_CPU_TIME = name_of(names.EXECUTION_CPU_TIME)
_PEAK = name_of(names.EXECUTION_MEMORY_PEAK)
_ACTIVE = name_of(names.EXECUTION_ACTIVE)
_CPU = name_of(names.EXECUTION_CPU_USAGE)
_MEMORY = name_of(names.EXECUTION_MEMORY_USAGE)
_OF_LIMIT = name_of(names.EXECUTION_MEMORY_UTILIZATION)
_PROCESSES = name_of(names.EXECUTION_PROCESS_COUNT)
_DISK = name_of(names.EXECUTION_DISK_RATE)
_LIMITS = name_of(names.EXECUTION_LIMIT_REACHED)

_OF = 'job=~"$job", codomon_execution_kind=~"$kind", codomon_execution_language=~"$language"'
_SUCCEEDED = ', codomon_execution_outcome="success"'
_FAILED = ', codomon_execution_outcome!~"success|unknown"'
_KNOWN = ', codomon_execution_outcome!="unknown"'
_RATE = "[$__rate_interval]"
_NOTHING_RUNS = "gauges have values only while something runs"
_NONE_FAILED = "nothing failed"


def _count(more: str = "") -> str:
    return f"rate({_DURATION}_count{{{_OF}{more}}}{_RATE})"


def _percentile(share: float) -> str:
    buckets = f"rate({_DURATION}_bucket{{{_OF}}}{_RATE})"
    return f"histogram_quantile({share}, sum by (le) ({buckets}))"


_NOW = Row(
    "Now",
    (
        Panel(
            title="Executions per second",
            description="Executions that ended, of every outcome.",
            queries=(Query(f"sum({_count()})"),),
            unit="ops",
            shape=Shape.NUMBER,
            width=4,
        ),
        Panel(
            title="Success",
            description="Share of success among executions whose outcome is known.",
            queries=(Query(f"sum({_count(_SUCCEEDED)}) / sum({_count(_KNOWN)})"),),
            unit="percentunit",
            shape=Shape.NUMBER,
            width=4,
        ),
        Panel(
            title="Running",
            description="Executions that run now.",
            queries=(Query(f"sum({_ACTIVE}{{{_OF}}}) or vector(0)"),),
            shape=Shape.NUMBER,
            width=4,
        ),
        Panel(
            title="Cores in use",
            description="Cores that running executions keep busy, with all their children.",
            queries=(Query(f"sum({_CPU}{{{_OF}}}) or vector(0)"),),
            shape=Shape.NUMBER,
            width=4,
            decimals=2,
        ),
        Panel(
            title="Memory in use",
            description="Memory that running executions hold.",
            queries=(Query(f"sum({_MEMORY}{{{_OF}}}) or vector(0)"),),
            unit="bytes",
            shape=Shape.NUMBER,
            width=4,
        ),
        Panel(
            title="95 % are faster than",
            description="95th percentile of the duration of all executions.",
            queries=(Query(_percentile(0.95)),),
            unit="s",
            shape=Shape.NUMBER,
            width=4,
        ),
    ),
)

_OUTCOMES = Row(
    "Rate and outcomes",
    (
        Panel(
            title="Executions by outcome",
            description="Executions that ended, per second.",
            queries=(
                Query(
                    f"sum by (codomon_execution_outcome) ({_count()})",
                    "{{codomon_execution_outcome}}",
                ),
            ),
            unit="ops",
            shape=Shape.STACK,
        ),
        Panel(
            title="Failures by reason",
            description="Failures by outcome, with the class of error.",
            queries=(
                Query(
                    f"sum by (codomon_execution_outcome, error_type) ({_count(_FAILED)})",
                    "{{codomon_execution_outcome}} {{error_type}}",
                    empty_when=_NONE_FAILED,
                ),
            ),
            unit="ops",
            shape=Shape.STACK,
        ),
        Panel(
            title="Limits that were reached",
            description="Times an execution ran into one of its limits, per second.",
            queries=(
                Query(
                    f"sum by (codomon_limit_type) (rate({_LIMITS}{{{_OF}}}{_RATE}))",
                    "{{codomon_limit_type}}",
                    empty_when="no limit was reached",
                ),
            ),
            unit="ops",
        ),
    ),
)

_DURATIONS = Row(
    "Duration: each point is an execution, and leads to its trace",
    (
        Panel(
            title="Percentiles",
            description="Half, 95 and 99 of a hundred were faster. Click a point: Open the trace.",
            queries=(
                Query(_percentile(0.5), "p50", exemplars=True),
                Query(_percentile(0.95), "p95", exemplars=True),
                Query(_percentile(0.99), "p99", exemplars=True),
            ),
            unit="s",
            width=12,
        ),
        Panel(
            title="Distribution",
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
    ),
)


def _live(title: str, description: str, metric: str, unit: str = "short") -> Panel:
    return Panel(
        title=title,
        description=description,
        queries=(
            Query(
                f"sum by (codomon_execution_name) ({metric}{{{_OF}}})",
                "{{codomon_execution_name}}",
                empty_when=_NOTHING_RUNS,
            ),
        ),
        unit=unit,
        to_name=True,
    )


_RESOURCES = Row(
    "What runs now",
    (
        _live("Running", "Executions that run, by name.", _ACTIVE),
        _live("Cores in use", "Cores kept busy, by name; whole process trees.", _CPU),
        _live("Memory in use", "Memory held, by name; whole process trees.", _MEMORY, "bytes"),
        Panel(
            title="Memory, of its limit",
            description="The execution of a name that is nearest to the limit that applies to it.",
            queries=(
                Query(
                    f"max by (codomon_execution_name) ({_OF_LIMIT}{{{_OF}}})",
                    "{{codomon_execution_name}}",
                    empty_when=_NOTHING_RUNS,
                ),
            ),
            unit="percentunit",
            to_name=True,
        ),
        _live("Processes", "Living processes, by name.", _PROCESSES),
        Panel(
            title="Storage",
            description="Bytes per second from and to storage.",
            queries=(
                Query(
                    f"sum by (disk_io_direction) ({_DISK}{{{_OF}}})",
                    "{{disk_io_direction}}",
                    empty_when=_NOTHING_RUNS,
                ),
            ),
            unit="Bps",
        ),
    ),
)


def _top(
    title: str, description: str, expression: str, unit: str, empty: str | None = None
) -> Panel:
    return Panel(
        title=title,
        description=f"{description} A name leads to its own dashboard.",
        queries=(Query(f"sort_desc(topk(10, {expression}))", empty_when=empty),),
        unit=unit,
        shape=Shape.TABLE,
        width=6,
        to_name=True,
    )


def _p95_of_the_hour(histogram: str) -> str:
    buckets = f"increase({histogram}_bucket{{{_OF}}}[1h])"
    return f"histogram_quantile(0.95, sum by (le, codomon_execution_name) ({buckets}))"


_NAMES = Row(
    "Names",
    (
        _top(
            "Slowest",
            "95th percentile of the duration in the last hour.",
            _p95_of_the_hour(_DURATION),
            "s",
        ),
        _top(
            "Greediest for CPU",
            "CPU time in the last hour.",
            f"sum by (codomon_execution_name) (increase({_CPU_TIME}_sum{{{_OF}}}[1h]))",
            "s",
        ),
        _top(
            "Greediest for memory",
            "95th percentile of the memory peak in the last hour.",
            _p95_of_the_hour(_PEAK),
            "bytes",
        ),
        _top(
            "Failing most",
            "Executions in the last hour that failed.",
            "sum by (codomon_execution_name) "
            f"(increase({_DURATION}_count{{{_OF}{_FAILED}}}[1h])) > 0",
            "short",
            _NONE_FAILED,
        ),
    ),
)

EXECUTIONS = Dashboard(
    uid="executions",
    title="Executions",
    description="Rate, outcomes, duration and resources of all executions.",
    rows=(_NOW, _OUTCOMES, _DURATIONS, _RESOURCES, _NAMES),
    variables=(
        Variable("job", "Service", f"label_values({_DURATION}_count, job)"),
        Variable("kind", "Kind", f"label_values({_DURATION}_count, codomon_execution_kind)"),
        Variable(
            "language", "Language", f"label_values({_DURATION}_count, codomon_execution_language)"
        ),
    ),
)
