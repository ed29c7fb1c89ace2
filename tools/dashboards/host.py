"""The machine that executions run on; opt-in, from one process of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_codomon import names
from tools.dashboards.prometheus_names import label_of, name_of, type_of
from tools.dashboards.tables import Dashboard, Panel, Query, Row, Shape, Variable

if TYPE_CHECKING:
    from otel_codomon.names import Metric

_OF = 'job=~"$job", instance=~"$instance"'
_RATE = "[$__rate_interval]"


def _panel(
    title: str,
    metric: Metric,
    by: str,
    *,
    unit: str,
    shape: Shape = Shape.LINES,
    empty_when: str | None = None,
) -> Panel:
    """A metric of the table by one of its attributes: a counter's rate, a gauge's level."""
    level = f"{name_of(metric)}{{{_OF}}}"
    series = f"rate({level}{_RATE})" if type_of(metric) == "counter" else level
    label = label_of(by)
    return Panel(
        title=title,
        description=metric.description,
        queries=(Query(f"sum by ({label}) ({series})", f"{{{{{label}}}}}", empty_when=empty_when),),
        unit=unit,
        shape=shape,
    )


HOST = Dashboard(
    uid="host",
    title="Host",
    description="CPU, memory, storage and network of the machine, and of the process that watches.",
    rows=(
        Row(
            "Machine",
            (
                _panel(
                    "Cores, by what they do",
                    names.SYSTEM_CPU_TIME,
                    names.CPU_MODE,
                    unit="short",
                    shape=Shape.STACK,
                ),
                _panel(
                    "Memory, by what it is used for",
                    names.SYSTEM_MEMORY_USAGE,
                    names.SYSTEM_MEMORY_STATE,
                    unit="bytes",
                    shape=Shape.STACK,
                ),
                _panel(
                    "Page faults",
                    names.SYSTEM_PAGING_FAULTS,
                    names.SYSTEM_PAGING_FAULT_TYPE,
                    unit="ops",
                ),
                _panel("Storage", names.SYSTEM_DISK_IO, names.DISK_IO_DIRECTION, unit="Bps"),
                _panel("Network", names.SYSTEM_NETWORK_IO, names.NETWORK_IO_DIRECTION, unit="Bps"),
                _panel(
                    "File systems, filled",
                    names.SYSTEM_FILESYSTEM_UTILIZATION,
                    names.SYSTEM_FILESYSTEM_MOUNTPOINT,
                    unit="percentunit",
                ),
            ),
        ),
        Row(
            "The process that watches",
            (
                _panel("Its cores", names.PROCESS_CPU_TIME, names.CPU_MODE, unit="short"),
                _panel("Its memory", names.PROCESS_MEMORY_USAGE, "job", unit="bytes"),
                _panel("Its threads", names.PROCESS_THREAD_COUNT, "job", unit="short"),
            ),
        ),
    ),
    variables=(
        Variable("job", "Service", f"label_values({name_of(names.SYSTEM_MEMORY_USAGE)}, job)"),
        Variable(
            "instance", "Process", f"label_values({name_of(names.SYSTEM_MEMORY_USAGE)}, instance)"
        ),
    ),
)
