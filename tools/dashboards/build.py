"""Grafana's JSON of the tables, by its own typed builders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import (
    common as common_builders,
    dashboard as builders,
    heatmap,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common, dashboard as models, heatmap as heatmap_models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tools.dashboards.tables import Shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.dashboards.tables import Dashboard, Panel, Query, Variable

    AnyPanel = timeseries.Panel | stat.Panel | table.Panel | heatmap.Panel

METRICS = models.DataSourceRef("prometheus", "codomon-prometheus")
TRACES = models.DataSourceRef("jaeger", "codomon-jaeger")
PREFIX = "codomon-"

_HEIGHTS = {Shape.NUMBER: 4, Shape.TABLE: 9, Shape.TRACES: 10}
_PANEL_HEIGHT = 8


class JaegerSearch(Dataquery):
    """A search of Jaeger's datasource, which the SDK has no builder for."""

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def to_json(self) -> dict[str, Any]:
        """The fields that Grafana's Jaeger datasource reads."""
        return {
            "refId": "A",
            "datasource": TRACES,
            "queryType": "search",
            "service": "$service",
            "operation": self._operation,
            "limit": 20,
        }


class _Ready(Builder[Dataquery]):
    """A query that needs no building."""

    def __init__(self, query: Dataquery) -> None:
        self._query = query

    def build(self) -> Dataquery:
        return self._query


def to_json(dashboard: Dashboard) -> str:
    """The file that Grafana provisions, with an end of line."""
    return json.dumps(build(dashboard), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def build(dashboard: Dashboard) -> models.Dashboard:
    """*dashboard* in Grafana's own types."""
    built = (
        builders.Dashboard(dashboard.title)
        .uid(f"{PREFIX}{dashboard.uid}")
        .description(dashboard.description)
        .tags(["otel-codomon"])
        .refresh("10s")
        .time("now-30m", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(_to_the_others())
        .variables([_variable(variable) for variable in dashboard.variables])
    )
    for row in dashboard.rows:
        built = built.with_row(builders.Row(row.title))
        for panel in row.panels:
            built = built.with_panel(_panel(panel))
    return built.build()


def _to_the_others() -> builders.DashboardLink:
    return (
        builders.DashboardLink("Dashboards")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags(["otel-codomon"])
        .keep_time(True)
    )


def _variable(variable: Variable) -> builders.QueryVariable:
    built = (
        builders.QueryVariable(variable.name)
        .label(variable.label)
        .datasource(METRICS)
        .query(variable.query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(variable.several)
    )
    if not variable.several:
        return built
    # `.*`, not the list of values: a series without the label counts too.
    every = models.VariableOption(selected=True, text="All", value="$__all")
    return built.include_all(True).all_value(".*").current(every)


def _panel(panel: Panel) -> AnyPanel:
    built = (
        _SHAPES[panel.shape]()
        .title(panel.title)
        .description(panel.description)
        .height(_HEIGHTS.get(panel.shape, _PANEL_HEIGHT))
        .span(panel.width)
        .datasource(TRACES if panel.shape is Shape.TRACES else METRICS)
        .targets([_target(panel, index) for index in range(len(panel.queries))])
    )
    if panel.shape is not Shape.HEATMAP:
        built = built.unit(panel.unit)
    if panel.decimals is not None:
        built = built.decimals(panel.decimals)
    if panel.to_name:
        built = built.data_links([_to_the_name()])
    return built


def _to_the_name() -> builders.DashboardLink:
    """From a series or a row to the dashboard of its execution name."""
    return builders.DashboardLink("This name in depth").url(
        f"/d/{PREFIX}name/?var-name=${{__field.labels.codomon_execution_name}}&${{__url_time_range}}"
    )


def _target(panel: Panel, index: int) -> Builder[Dataquery]:
    query: Query = panel.queries[index]
    if panel.shape is Shape.TRACES:
        return _Ready(JaegerSearch(query.expression))
    target = (
        prometheus.Dataquery()
        .expr(query.expression)
        .legend_format(query.legend or "__auto")
        .exemplar(query.exemplars)
        .ref_id(chr(ord("A") + index))
        .datasource(METRICS)
    )
    if panel.shape is Shape.TABLE:
        return target.instant().format(PromQueryFormat.TABLE)
    if panel.shape is Shape.HEATMAP:
        return target.range().format(PromQueryFormat.HEATMAP)
    return target.range()


def _lines() -> timeseries.Panel:
    return (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(10)
        .show_points(common.VisibilityMode.NEVER)
        .span_nulls(False)
        .min(0)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )


def _stack() -> timeseries.Panel:
    stacked = common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
    return _lines().fill_opacity(40).stacking(stacked)


def _number() -> stat.Panel:
    return (
        stat.Panel()
        .graph_mode(common.BigValueGraphMode.AREA)
        .color_mode(common.BigValueColorMode.VALUE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _table() -> table.Panel:
    # The time of an instant query says nothing in a list of names.
    unseen = models.DataTransformerConfig(
        id_val="organize", options={"excludeByName": {"Time": True}}
    )
    return table.Panel().with_transformation(unseen)


def _heatmap() -> heatmap.Panel:
    return (
        heatmap.Panel()
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_models.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .steps(64)
        )
        .y_axis(heatmap.YAxisConfig().unit("s"))
        .cell_gap(1)
    )


_SHAPES: dict[Shape, Callable[[], Any]] = {
    Shape.LINES: _lines,
    Shape.STACK: _stack,
    Shape.NUMBER: _number,
    Shape.TABLE: _table,
    Shape.HEATMAP: _heatmap,
    Shape.TRACES: table.Panel,
}
