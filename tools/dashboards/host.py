"""The machine that executions run on; opt-in, from one process of a host."""

from __future__ import annotations

from tools.dashboards.tables import Dashboard, Panel, Query, Row, Shape, Variable

_OF = 'job=~"$job", host_name=~"$host"'
_RATE = "[$__rate_interval]"


def _sum(title: str, description: str, metric: str, by: str, unit: str) -> Panel:
    """A level, by the values of one label."""
    return Panel(
        title=title,
        description=description,
        queries=(Query(f"sum by ({by}) ({metric}{{{_OF}}})", f"{{{{{by}}}}}"),),
        unit=unit,
        shape=Shape.STACK,
    )


def _rate(title: str, description: str, metric: str, by: str, unit: str) -> Panel:
    """A counter's rate, by the values of one label."""
    return Panel(
        title=title,
        description=description,
        queries=(Query(f"sum by ({by}) (rate({metric}{{{_OF}}}{_RATE}))", f"{{{{{by}}}}}"),),
        unit=unit,
    )


HOST = Dashboard(
    uid="host",
    title="Host",
    description="CPU, memory, storage and network of the machine, and of the process that watches.",
    rows=(
        Row(
            "Machine",
            (
                _rate(
                    "CPU",
                    "Cores in each mode.",
                    "system_cpu_time_seconds_total",
                    "cpu_mode",
                    "short",
                ),
                _sum(
                    "Memory",
                    "Memory by what it is used for.",
                    "system_memory_usage_bytes",
                    "system_memory_state",
                    "bytes",
                ),
                _rate(
                    "Storage",
                    "Bytes per second from and to storage.",
                    "system_disk_io_bytes_total",
                    "disk_io_direction",
                    "Bps",
                ),
                _rate(
                    "Network",
                    "Bytes per second in and out.",
                    "system_network_io_bytes_total",
                    "network_io_direction",
                    "Bps",
                ),
            ),
        ),
        Row(
            "The process that watches",
            (
                _rate(
                    "CPU",
                    "Cores the process itself keeps busy.",
                    "process_cpu_time_seconds_total",
                    "cpu_mode",
                    "short",
                ),
                _sum(
                    "Memory",
                    "Resident memory of the process.",
                    "process_memory_usage_bytes",
                    "instance",
                    "bytes",
                ),
            ),
        ),
    ),
    variables=(
        Variable("job", "Service", "label_values(system_memory_usage_bytes, job)"),
        Variable("host", "Host", "label_values(system_memory_usage_bytes, host_name)"),
    ),
)
