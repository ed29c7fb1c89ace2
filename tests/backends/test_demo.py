from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from support.backends import attributes
from support.programs import wait_for
from support.sample import settings

from otel_codomon import names
from tools.dashboards.prometheus_names import label_of, name_of, sample_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from support.stack import LocalStack

pytestmark = pytest.mark.backends

EPOCH = datetime.fromtimestamp(0, timezone.utc)
SERVICE = "otel-codomon-demo"  # whatever the environment says
OURS = f'{{job="{SERVICE}"}}'
# What the demonstration does makes each of these. The rest of the table takes a
# cache, a host, or executions that last longer: test_queries has the sample.
OF_THE_DEMO = (
    names.EXECUTION_DURATION,
    names.EXECUTION_CPU_TIME,
    names.EXECUTION_MEMORY_PEAK,
    names.EXECUTION_DISK_IO,
    names.EXECUTION_ACTIVE,
    names.EXECUTION_CPU_USAGE,
    names.EXECUTION_CPU_UTILIZATION,
    names.EXECUTION_MEMORY_USAGE,
    names.EXECUTION_MEMORY_UTILIZATION,
    names.EXECUTION_PROCESS_COUNT,
    names.EXECUTION_THREAD_COUNT,
    names.JOURNAL_RECORDS,
    names.JOURNAL_BACKLOG,
    names.SAMPLER_DURATION,
)
# Added by the resource and by Prometheus.
_ADDED = {"__name__", "job", "instance", "service_name", "le"}


@pytest.fixture(scope="module")
def rows(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What `otel-codomon list` says of the demonstration, which the stack was told of."""
    folder = tmp_path_factory.mktemp("demo")
    # So often that each program of half a second is seen while it runs.
    told = {**settings(stack, folder), "OTEL_METRIC_EXPORT_INTERVAL": "100"}
    codomon("demo", environment=told, folder=folder)
    listed = codomon("list", "--all", "--format", "jsonl", environment=told, folder=folder)
    return [json.loads(line) for line in listed.splitlines()]


def microseconds(instant: str) -> int:
    """Since the epoch, of an instant as JSON has it."""
    since = datetime.fromisoformat(instant.replace("Z", "+00:00")) - EPOCH
    return since // timedelta(microseconds=1)


def codomon(*arguments: str, environment: Mapping[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "otel_codomon", *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_execution_is_in_jaeger_by_its_id_with_its_attributes(
    stack: LocalStack, rows: list[dict[str, Any]]
) -> None:
    assert len(rows) >= 8
    for row in rows:
        wanted = {names.EXECUTION_ID: row["execution_id"]}
        [span] = wait_for(
            lambda wanted=wanted: [  # type: ignore[misc] # mypy cannot type a default
                one
                for one in stack.jaeger.spans(SERVICE, **wanted)
                if wanted.items() <= attributes(one).items()
            ],
            what=f"{row['name']} {row['execution_id']}",
        )

        told = attributes(span)
        assert span["operationName"] == told[names.EXECUTION_NAME] == row["name"]
        assert told[names.EXECUTION_KIND] == row["kind"]
        assert told[names.EXECUTION_OUTCOME] == row["outcome"]
        assert told[names.EXECUTION_LANGUAGE] == "python"
        assert told.get(names.USAGE_CPU_TIME) == row.get("cpu_seconds")
        assert told.get(names.USAGE_MEMORY_PEAK) == row.get("peak_memory_bytes")
        assert (span["traceID"], span["spanID"]) == (row["trace_id"], row["span_id"])
        assert span["startTime"] == microseconds(row["started"])
        assert span["duration"] == pytest.approx(row["duration_seconds"] * 1e6, abs=1)


def test_the_counts_are_equal(stack: LocalStack, rows: list[dict[str, Any]]) -> None:
    listed = Counter((row["name"], row["outcome"]) for row in rows)

    def counted() -> Counter[tuple[str, str]]:
        by = "codomon_execution_name, codomon_execution_outcome"
        series = stack.prometheus.query(
            f"sum by ({by}) ({sample_of(names.EXECUTION_DURATION)}{OURS})"
        )
        return Counter(
            {
                (
                    one["metric"]["codomon_execution_name"],
                    one["metric"]["codomon_execution_outcome"],
                ): int(float(one["value"][1]))
                for one in series
            }
        )

    def spans() -> Counter[tuple[str, str]]:
        return Counter(
            (str(told[names.EXECUTION_NAME]), str(told[names.EXECUTION_OUTCOME]))
            for told in map(attributes, stack.jaeger.spans(SERVICE))
        )

    wait_for(lambda: counted() == listed, what=f"the counts of {listed}")
    wait_for(lambda: spans() == listed, what=f"the spans of {listed}")


@pytest.mark.parametrize("metric", OF_THE_DEMO, ids=lambda metric: metric.name)
def test_a_metric_of_the_demo_is_in_prometheus_with_no_label_but_its_own(
    stack: LocalStack, rows: list[dict[str, Any]], metric: names.Metric
) -> None:
    assert rows
    series = wait_for(
        lambda: stack.prometheus.series(f"{sample_of(metric)}{OURS}"), what=name_of(metric)
    )

    labels = {label for one in series for label in one} - _ADDED
    assert labels <= {label_of(key) for key in metric.attributes}


def test_a_point_of_each_duration_leads_to_the_trace_of_that_execution(
    stack: LocalStack, rows: list[dict[str, Any]]
) -> None:
    traces = {row["trace_id"] for row in rows}

    exemplars = wait_for(
        lambda: stack.prometheus.exemplars(f"{name_of(names.EXECUTION_DURATION)}_bucket{OURS}"),
        what="exemplars",
    )

    assert {one["labels"]["trace_id"] for one in exemplars} <= traces
    for one in exemplars:
        trace_id = one["labels"]["trace_id"]
        wait_for(lambda trace_id=trace_id: stack.jaeger.trace(trace_id), what=f"trace {trace_id}")  # type: ignore[misc] # mypy cannot type a default
