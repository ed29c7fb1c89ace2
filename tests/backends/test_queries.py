from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.backends import CONFIGURATIONS
from support.programs import get_json, wait_for
from support.sample import SERVICE, sample_running

from tools.dashboards.all import DASHBOARDS
from tools.dashboards.tables import Panel, Query, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.backends import Jaeger, Prometheus
    from support.stack import LocalStack

pytestmark = pytest.mark.backends

# What Grafana puts in for the variables of the dashboards.
CHOSEN = {
    "$__rate_interval": "1m",
    "$name": "wait for somebody",
    "$service": SERVICE,
    "$job": ".*",
    "$kind": ".*",
    "$language": ".*",
    "$cache": ".*",
    "$instance": ".*",
}
# Queries that even the sample, which fails in every way, has no data for.
EMPTY_WITH_THE_SAMPLE = {
    "Expirations": "none of its caches expires entries",
    "Memory or storage": "none of its caches knows its size",
    "Lost or refused": "nothing is lost or refused",
    "Refused at the door": "nothing is refused",
    "Failed for good": "nothing fails for good",
    "Alerts that fire": "alerts wait for minutes before they fire",
    # Of the one name that is chosen, which only waits and always succeeds:
    "One execution name: Failures by class of error": "it does not fail",
    "One execution name: Limits that were reached": "it reaches none",
    "One execution name: Storage": "it touches none",
}
QUERIES = [
    pytest.param(
        f"{dashboard.title}: {panel.title}",
        panel,
        query,
        id=f"{dashboard.uid}-{panel.title}-{number}",
    )
    for dashboard in DASHBOARDS
    for row in dashboard.rows
    for panel in row.panels
    for number, query in enumerate(panel.queries)
]


def rules(name: str) -> list[dict[str, Any]]:
    loaded = yaml.safe_load((CONFIGURATIONS / "prometheus" / name).read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def chosen(expression: str) -> str:
    """*expression* as Grafana asks it."""
    for variable, value in CHOSEN.items():
        expression = expression.replace(variable, value)
    return expression


@pytest.fixture(scope="module")
def observed(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The stack while the sample application reports to it, after its first round."""
    with sample_running(stack, tmp_path_factory.mktemp("sample")):
        last = 'codomon_execution_name="want too much memory"'
        wait_for(
            lambda: stack.prometheus.query(f"codomon_execution_duration_seconds_count{{{last}}}"),
            what="the sample's first round",
        )
        yield stack


@pytest.mark.parametrize(("name", "panel", "query"), QUERIES)
def test_a_panel_shows_data(observed: LocalStack, name: str, panel: Panel, query: Query) -> None:
    asks = latest_traces if panel.shape is Shape.TRACES else metrics
    source: Any = observed.jaeger if panel.shape is Shape.TRACES else observed.prometheus

    if name in EMPTY_WITH_THE_SAMPLE or panel.title in EMPTY_WITH_THE_SAMPLE:
        assert query.empty_when, "a panel that may be empty says why"
        asks(source, query)  # it must be answered, with nothing
        return
    wait_for(lambda: asks(source, query), what=f"data of {name}: {query.expression}")


def metrics(prometheus: Prometheus, query: Query) -> list[Any]:
    return prometheus.query(chosen(query.expression))


def latest_traces(jaeger: Jaeger, query: Query) -> list[Any]:
    """What Grafana's search by service and operation finds."""
    found = get_json(
        f"{jaeger.url}/api/traces", service=SERVICE, operation=chosen(query.expression), limit="20"
    )
    assert found is not None, "Jaeger refuses the search"
    traces: list[Any] = found["data"]
    return traces


@pytest.mark.parametrize("rule", rules("rules.yml"), ids=lambda rule: rule["record"])
def test_a_recording_rule_records(observed: LocalStack, rule: dict[str, Any]) -> None:
    wait_for(lambda: observed.prometheus.query(rule["record"]), what=rule["record"])


@pytest.mark.parametrize("rule", rules("alerts.yml"), ids=lambda rule: rule["alert"])
def test_an_alert_is_quiet_and_what_it_looks_at_is_there(
    observed: LocalStack, rule: dict[str, Any]
) -> None:
    """It looks at metrics that exist, under those names, and is an answer, not an error.

    That it fires is shown by promtool. Selectors by a pattern are of failures,
    which the collector counts from the first one on.
    """
    observed.prometheus.query(rule["expr"])

    for metric in observed.prometheus.metrics_of(rule["expr"]):
        wait_for(lambda metric=metric: observed.prometheus.query(metric), what=metric)  # type: ignore[misc] # mypy cannot type a default


@pytest.mark.parametrize(
    "variable",
    [
        pytest.param(variable.query, id=f"{dashboard.uid}-{variable.name}")
        for dashboard in DASHBOARDS
        for variable in dashboard.variables
    ],
)
def test_a_variable_has_something_to_choose(observed: LocalStack, variable: str) -> None:
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable)
    assert match is not None
    series, label = chosen(match[1]), match[2]

    wait_for(
        lambda: any(label in one for one in observed.prometheus.series(series)),
        what=f"values of {label} of {series}",
    )


def test_a_point_of_the_duration_leads_to_a_trace_that_exists(observed: LocalStack) -> None:
    expression = 'codomon_execution_duration_seconds_bucket{codomon_execution_name="grade"}'
    exemplar = wait_for(
        lambda: observed.prometheus.exemplars(expression), what="an exemplar of grade"
    )[0]

    trace = wait_for(
        lambda: observed.jaeger.trace(exemplar["labels"]["trace_id"]), what="its trace"
    )
    assert "grade" in {span["operationName"] for span in trace}


def test_jaegers_monitor_finds_the_span_metrics(observed: LocalStack) -> None:
    def calls() -> Any:  # noqa: ANN401 - whatever JSON holds
        found = get_json(
            f"{observed.jaeger.url}/api/metrics/calls",
            service=SERVICE,
            spanKind="internal",
            lookback="600000",
            step="5000",
            ratePer="60000",
        )
        return [
            point for one in (found or {}).get("metrics") or [] for point in one["metricPoints"]
        ]

    assert wait_for(calls, what="calls in Jaeger's monitor")
