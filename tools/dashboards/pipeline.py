"""How telemetry itself does: journal, collector, Prometheus."""

from __future__ import annotations

from otel_codomon import names
from tools.dashboards.prometheus_names import name_of
from tools.dashboards.tables import Dashboard, Panel, Query, Row, Shape, Variable

_RECORDS = name_of(names.JOURNAL_RECORDS)
_BACKLOG = name_of(names.JOURNAL_BACKLOG)
_SAMPLER = name_of(names.SAMPLER_DURATION)
_APPENDED = "prometheus_tsdb_head_samples_appended_total"
_OF = 'job=~"$job"'
_RATE = "[$__rate_interval]"


def _fates(title: str, description: str, fates: str, *, healthy_empty: str | None = None) -> Panel:
    return Panel(
        title=title,
        description=description,
        queries=(
            Query(
                "sum by (codomon_journal_fate) "
                f'(rate({_RECORDS}{{{_OF}, codomon_journal_fate=~"{fates}"}}{_RATE}))',
                "{{codomon_journal_fate}}",
                empty_when=healthy_empty,
            ),
        ),
        unit="ops",
    )


def _collector(
    title: str, description: str, family: str, by: str, *, empty: str | None = None
) -> Panel:
    """Rates of spans and of points, two metrics of the collector's own.

    Args:
        title: Over the panel.
        description: What it shows.
        family: The metrics' name with ``*`` for the kind of item.
        by: Labels that tell the series apart.
        empty: Why a healthy system has none.
    """
    labels = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return Panel(
        title=title,
        description=description,
        queries=tuple(
            Query(
                f"sum by ({by}) (rate({family.replace('*', items)}{_RATE}))",
                f"{labels} {items.replace('metric_', '')}",
                empty_when=empty,
            )
            for items in ("spans", "metric_points")
        ),
        unit="ops",
    )


PIPELINE = Dashboard(
    uid="pipeline",
    title="Pipeline",
    description="Whether what is recorded arrives.",
    rows=(
        Row(
            "Journal",
            (
                Panel(
                    title="Backlog",
                    description="Bytes on disk that wait; rising: less is taken than recorded.",
                    queries=(
                        Query(
                            f"sum by (job, codomon_journal_signal) ({_BACKLOG}{{{_OF}}})",
                            "{{job}} {{codomon_journal_signal}}",
                        ),
                    ),
                    unit="bytes",
                ),
                _fates(
                    "Written and delivered",
                    "Records per second. When all is well the lines meet.",
                    "written|delivered",
                ),
                _fates(
                    "Lost or refused",
                    "Records per second: over a cap, refused, or damaged.",
                    "evicted|rejected|quarantined",
                    healthy_empty="nothing was lost or refused",
                ),
                Panel(
                    title="Cost of looking",
                    description=f"{names.SAMPLER_DURATION.description} 95th percentile.",
                    queries=(
                        Query(
                            "histogram_quantile(0.95, sum by (le, job) "
                            f"(rate({_SAMPLER}_bucket{{{_OF}}}{_RATE})))",
                            "{{job}}",
                            empty_when="nothing ran long enough to be looked at",
                        ),
                    ),
                    unit="s",
                ),
            ),
        ),
        Row(
            "Collector",
            (
                Panel(
                    title="Queues",
                    description="How full each exporter's queue on disk is. A full one refuses.",
                    queries=(
                        Query(
                            "max by (exporter) "
                            "(otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)",
                            "{{exporter}}",
                        ),
                    ),
                    unit="percentunit",
                ),
                _collector(
                    "Taken in",
                    "Spans and points per second that receivers accepted.",
                    "otelcol_receiver_accepted_*",
                    "receiver, transport",
                ),
                _collector(
                    "Sent on",
                    "Spans and points per second that exporters delivered.",
                    "otelcol_exporter_sent_*",
                    "exporter",
                ),
                _collector(
                    "Refused at the door",
                    "Spans and points per second that were refused; the sender keeps them.",
                    "otelcol_receiver_refused_*",
                    "receiver, transport",
                    empty="nothing was refused",
                ),
                _collector(
                    "Failed for good",
                    "Spans and points per second that were refused for good.",
                    "otelcol_exporter_send_failed_*",
                    "exporter",
                    empty="nothing failed",
                ),
                Panel(
                    title="Memory",
                    description="Resident memory of each collector.",
                    queries=(
                        Query(
                            "max by (instance) (otelcol_process_memory_rss)",
                            "{{instance}}",
                        ),
                    ),
                    unit="bytes",
                ),
            ),
        ),
        Row(
            "Prometheus",
            (
                Panel(
                    title="Samples",
                    description="Samples per second that were stored.",
                    queries=(
                        Query(
                            f"sum(rate({_APPENDED}{_RATE}))",
                            "samples",
                        ),
                    ),
                    unit="ops",
                ),
                Panel(
                    title="Series",
                    description="Series in memory; no more of them for more executions.",
                    queries=(Query("sum(prometheus_tsdb_head_series)", "series"),),
                ),
                Panel(
                    title="Alerts that fire",
                    description="Names of alerts that fire now.",
                    queries=(
                        Query(
                            'count by (alertname) (ALERTS{alertstate="firing"})',
                            empty_when="all is well",
                        ),
                    ),
                    shape=Shape.TABLE,
                ),
            ),
        ),
    ),
    variables=(Variable("job", "Service", f"label_values({_RECORDS}, job)"),),
)
