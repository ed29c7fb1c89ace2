from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.every_name import attributes_of, every_metric, value_of
from support.programs import wait_for
from support.stack import LocalStack

from otel_codomon.names import METRICS, Metric
from tools.dashboards.prometheus_names import label_of, name_of, sample_of, type_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.backends import Prometheus

pytestmark = pytest.mark.backends

SERVICE = "every-name"
# What Prometheus and the resource add to a metric's own labels.
_ADDED = {"__name__", "job", "instance", "service_name", "__type__", "__unit__"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that was told every metric of the table.

    It shows the type as a label, which nothing else of it does for OTLP.
    """
    last = sample_of(list(METRICS.values())[-1])
    folder = tmp_path_factory.mktemp("names")
    with (
        LocalStack(folder, features=["type-and-unit-labels"]) as stack,
        every_metric(stack.collector.grpc, service=SERVICE),
    ):
        wait_for(
            lambda: stack.prometheus.query(f'{last}{{job="{SERVICE}"}}'), what=f"{last} to arrive"
        )
        yield stack.prometheus


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_is_in_prometheus_under_its_name_with_its_type_and_labels(
    told: Prometheus, metric: Metric
) -> None:
    [series] = wait_for(
        lambda: told.query(f'{sample_of(metric)}{{job="{SERVICE}"}}'), what=name_of(metric)
    )

    labels = series["metric"]
    assert labels["__name__"].startswith(name_of(metric))
    assert labels["__type__"] == type_of(metric)
    assert {key: value for key, value in labels.items() if key not in _ADDED} == {
        label_of(key): str(value) for key, value in attributes_of(metric).items()
    }
    is_histogram = type_of(metric) == "histogram"
    assert float(series["value"][1]) == (1 if is_histogram else value_of(metric))


@pytest.mark.parametrize(
    "metric", [row for row in METRICS.values() if row.boundaries], ids=lambda row: row.name
)
def test_a_histogram_has_the_buckets_of_the_table(told: Prometheus, metric: Metric) -> None:
    buckets = wait_for(
        lambda: told.query(f'{name_of(metric)}_bucket{{job="{SERVICE}"}}'), what=name_of(metric)
    )

    edges = sorted(float(one["metric"]["le"]) for one in buckets)
    assert edges == [*metric.boundaries, float("inf")]
