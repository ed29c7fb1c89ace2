from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.backends import CONFIGURATIONS

from otel_codomon.names import METRICS
from tools.dashboards.all import DASHBOARDS, FOLDER, file_of
from tools.dashboards.prometheus_names import name_of
from tools.dashboards.tables import Dashboard, Panel, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

PROVISIONED = yaml.safe_load(
    (CONFIGURATIONS / "grafana" / "provisioning" / "datasources" / "codomon.yaml").read_text()
)["datasources"]

each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.uid)


def load(dashboard: Dashboard) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(file_of(dashboard).read_text())
    return loaded


def panels(dashboard: Dashboard) -> Iterator[Panel]:
    for row in dashboard.rows:
        yield from row.panels


def graphs(dashboard: Dashboard) -> list[dict[str, Any]]:
    """Panels of the file, headings left out."""
    return [panel for panel in load(dashboard)["panels"] if panel["type"] != "row"]


@pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason="grafana-foundation-sdk needs Python 3.11; `make PYTHON=python3.11 test` has it",
)
@each_dashboard
def test_the_file_is_what_the_code_makes(dashboard: Dashboard) -> None:
    from tools.dashboards.build import to_json

    assert file_of(dashboard).read_text() == to_json(dashboard), "run python -m tools.dashboards"


def test_there_is_a_file_for_each_dashboard_and_no_other() -> None:
    assert sorted(FOLDER.iterdir()) == sorted(map(file_of, DASHBOARDS))


@each_dashboard
def test_what_is_linked_is_there(dashboard: Dashboard) -> None:
    text = file_of(dashboard).read_text()

    sources = set(re.findall(r'"uid": "(codomon-[a-z]+)"', text)) - {load(dashboard)["uid"]}
    assert sources <= {source["uid"] for source in PROVISIONED}
    assert set(re.findall(r"/d/codomon-([a-z]+)/", text)) <= {one.uid for one in DASHBOARDS}


@each_dashboard
def test_every_panel_asks_and_says_what_it_shows(dashboard: Dashboard) -> None:
    shown = graphs(dashboard)

    assert [panel["title"] for panel in shown] == [panel.title for panel in panels(dashboard)]
    assert all(panel["targets"] and panel["description"].endswith(".") for panel in shown)


@each_dashboard
def test_panels_fill_their_rows_and_do_not_overlap(dashboard: Dashboard) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in graphs(dashboard):
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells
        assert max(x for x, _ in cells) < 24
        taken |= cells


@each_dashboard
def test_points_of_a_duration_lead_to_traces(dashboard: Dashboard) -> None:
    of_buckets = [
        target
        for panel in graphs(dashboard)
        if panel["type"] in {"timeseries", "heatmap"}
        for target in panel["targets"]
        if "codomon_execution_duration_seconds_bucket" in target.get("expr", "")
    ]

    assert all(target["exemplar"] for target in of_buckets)
    assert of_buckets or dashboard.uid not in {"executions", "name"}


@each_dashboard
def test_a_metric_of_ours_is_one_of_the_table(dashboard: Dashboard) -> None:
    known = {
        name_of(metric) + part
        for metric in METRICS.values()
        for part in (("_bucket", "_count", "_sum") if metric.boundaries else ("",))
    }
    asked = " ".join(query.expression for panel in panels(dashboard) for query in panel.queries)
    # Labels begin as metrics do; a metric is followed by a selector.
    ours = set(re.findall(r"\b(codomon_\w+)\{", asked))

    assert ours <= known


@each_dashboard
def test_every_variable_is_used(dashboard: Dashboard) -> None:
    asked = [query.expression for panel in panels(dashboard) for query in panel.queries]
    asked += [variable.query for variable in dashboard.variables]
    asked += [
        target.get("service", "") for panel in graphs(dashboard) for target in panel["targets"]
    ]

    unused = [
        one.name for one in dashboard.variables if not any(f"${one.name}" in a for a in asked)
    ]
    assert unused == []


def test_a_trace_leads_back_to_the_metrics_of_its_name() -> None:
    back = [
        one["jsonData"]["tracesToMetrics"] for one in PROVISIONED if one["type"] != "prometheus"
    ]

    assert len(back) == 2
    for way in back:
        assert way["datasourceUid"] == "codomon-prometheus"
        assert way["tags"] == [{"key": "codomon.execution.name", "value": "codomon_execution_name"}]
        assert all("$$__tags" in query["query"] for query in way["queries"])


def test_a_point_leads_to_its_trace() -> None:
    [prometheus] = [one for one in PROVISIONED if one["type"] == "prometheus"]

    [way] = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert (way["name"], way["datasourceUid"]) == ("trace_id", "codomon-jaeger")


def test_jaegers_own_page_leads_to_the_dashboard_of_a_name() -> None:
    page = json.loads((CONFIGURATIONS / "jaeger" / "ui.json").read_text())

    [pattern] = page["linkPatterns"]
    assert (pattern["type"], pattern["key"]) == ("tags", "codomon.execution.name")
    assert "/d/codomon-name/?var-name=#{codomon.execution.name}" in pattern["url"]


def test_only_a_trace_panel_asks_jaeger() -> None:
    of_traces = [
        (panel, graph)
        for dashboard in DASHBOARDS
        for panel, graph in zip(panels(dashboard), graphs(dashboard), strict=True)
        if panel.shape is Shape.TRACES
    ]

    [(_, graph)] = of_traces
    assert [target["queryType"] for target in graph["targets"]] == ["search"]
    assert graph["datasource"]["uid"] == "codomon-jaeger"
