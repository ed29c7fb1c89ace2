"""How the caches do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_codomon import names
from tools.dashboards.prometheus_names import name_of
from tools.dashboards.tables import Dashboard, Panel, Query, Row, Shape, Variable

if TYPE_CHECKING:
    from otel_codomon.names import Metric

_REQUESTS = name_of(names.CACHE_REQUESTS)
_OF = 'job=~"$job", codomon_cache_name=~"$cache"'
_RATE = "[$__rate_interval]"
_BY = "codomon_cache_name"
_UNKNOWN = "no cache that is watched can tell"


def _ratio(window: str) -> str:
    """Hits per lookup; None of it is exported, it is a query over two counters."""
    hits = f'sum by ({_BY}) (rate({_REQUESTS}{{{_OF}, codomon_cache_result="hit"}}{window}))'
    return f"{hits} / (sum by ({_BY}) (rate({_REQUESTS}{{{_OF}}}{window})) > 0)"


def _rate(title: str, metric: Metric) -> Panel:
    return Panel(
        title=title,
        description=f"{metric.description} Per second.",
        queries=(
            Query(
                f"sum by ({_BY}) (rate({name_of(metric)}{{{_OF}}}{_RATE}))",
                f"{{{{{_BY}}}}}",
                empty_when=_UNKNOWN,
            ),
        ),
        unit="ops",
    )


def _level(title: str, metric: Metric, unit: str = "short") -> Panel:
    return Panel(
        title=title,
        description=metric.description,
        queries=(
            Query(
                f"sum by ({_BY}) ({name_of(metric)}{{{_OF}}})",
                f"{{{{{_BY}}}}}",
                empty_when=_UNKNOWN,
            ),
        ),
        unit=unit,
    )


CACHES = Dashboard(
    uid="caches",
    title="Caches",
    description="Hits, misses, evictions and sizes of the caches of observed programs.",
    rows=(
        Row(
            "Worth",
            (
                Panel(
                    title="Hit ratio",
                    description="Share of lookups that found what they looked for.",
                    queries=(Query(_ratio(_RATE), f"{{{{{_BY}}}}}"),),
                    unit="percentunit",
                    width=12,
                ),
                Panel(
                    title="Lookups",
                    description="Lookups per second, by how they ended.",
                    queries=(
                        Query(
                            f"sum by ({_BY}, codomon_cache_result) "
                            f"(rate({_REQUESTS}{{{_OF}}}{_RATE}))",
                            f"{{{{{_BY}}}}} {{{{codomon_cache_result}}}}",
                        ),
                    ),
                    unit="ops",
                    shape=Shape.STACK,
                    width=12,
                ),
            ),
        ),
        Row(
            "What is dropped",
            (
                _rate("Evictions", names.CACHE_EVICTIONS),
                _rate("Expirations", names.CACHE_EXPIRATIONS),
                _rate("Clears", names.CACHE_CLEARS),
            ),
        ),
        Row(
            "Size",
            (
                _level("Entries", names.CACHE_ENTRIES),
                _level("Capacity", names.CACHE_CAPACITY),
                _level("Memory or storage", names.CACHE_SIZE, "bytes"),
                Panel(
                    title="Filled",
                    description="Entries, of the most it will hold.",
                    queries=(
                        Query(
                            f"sum by ({_BY}) ({name_of(names.CACHE_ENTRIES)}{{{_OF}}})"
                            f" / (sum by ({_BY}) ({name_of(names.CACHE_CAPACITY)}{{{_OF}}}) > 0)",
                            f"{{{{{_BY}}}}}",
                            empty_when=_UNKNOWN,
                        ),
                    ),
                    unit="percentunit",
                    width=12,
                ),
                Panel(
                    title="All caches",
                    description="Hit ratio over the last hour, the worst first.",
                    queries=(Query(f"sort({_ratio('[1h]')})"),),
                    unit="percentunit",
                    shape=Shape.TABLE,
                    width=12,
                ),
            ),
        ),
    ),
    variables=(
        Variable("job", "Service", f"label_values({_REQUESTS}, job)"),
        Variable("cache", "Cache", f"label_values({_REQUESTS}, codomon_cache_name)"),
    ),
)
