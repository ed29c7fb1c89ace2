from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_codomon import names
from otel_codomon.resources.gauges import ROWS, Available, Live, Slots, observe_gauges, value_of
from otel_codomon.resources.labels import Kind, Labels
from otel_codomon.resources.sample import Sample

LABELS = Labels("job", Kind.COMMAND, "python")
AVAILABLE = Available(1000, 4.0)
UTILIZATION = next(r for r in ROWS if r.metric is names.EXECUTION_MEMORY_UTILIZATION)


def live(number: int, sample: Sample, *, memory_limit: int | None = None) -> Live:
    return Live(
        execution_id=str(number),
        labels=LABELS,
        sample=sample,
        context=Context(),
        memory_limit_bytes=memory_limit,
    )


def collected(*now: Live, by_slot: bool = False) -> dict[str, list[tuple[dict[str, Any], Any]]]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    observe_gauges(provider.get_meter("test"), lambda: now, AVAILABLE, by_slot=lambda: by_slot)
    data = reader.get_metrics_data()
    found = {}
    for resource in [] if data is None else data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = [
                    (dict(point.attributes or {}), point.value)  # type: ignore[union-attr] # gauges
                    for point in metric.data.data_points
                ]
    return found


def test_executions_of_the_same_labels_are_summed() -> None:
    one = live(1, Sample(taken_ns=0, cores=0.5, memory_bytes=100, processes=1))
    two = live(2, Sample(taken_ns=0, cores=1.5, memory_bytes=300, processes=2))

    found = collected(one, two)

    attributes = LABELS.attributes()
    assert found == {
        "codomon.execution.cpu.usage": [(attributes, 2.0)],
        "codomon.execution.cpu.utilization": [(attributes, 0.5)],
        "codomon.execution.memory.usage": [(attributes, 400)],
        "codomon.execution.memory.utilization": [(attributes, 0.4)],
        "codomon.execution.process.count": [(attributes, 3)],
    }


def test_nothing_that_runs_is_no_point() -> None:
    assert collected() == {}
    assert collected(live(1, Sample(taken_ns=0))) == {}


def test_a_limit_of_its_own_goes_before_what_all_share() -> None:
    sample = Sample(taken_ns=0, memory_bytes=50)

    assert value_of(UTILIZATION, (live(1, sample, memory_limit=100),), AVAILABLE) == 0.5
    assert value_of(UTILIZATION, (live(1, sample),), AVAILABLE) == 0.05
    assert value_of(UTILIZATION, (live(1, sample),), Available(None, None)) is None


def test_with_slots_each_execution_has_a_series_of_its_own() -> None:
    found = collected(
        live(1, Sample(taken_ns=0, processes=1)),
        live(2, Sample(taken_ns=0, processes=2)),
        by_slot=True,
    )

    assert found["codomon.execution.process.count"] == [
        ({**LABELS.attributes(), names.EXECUTION_SLOT: 0}, 1),
        ({**LABELS.attributes(), names.EXECUTION_SLOT: 1}, 2),
    ]


def test_a_number_that_the_exporter_cannot_carry_is_cut() -> None:
    found = collected(live(1, Sample(taken_ns=0, memory_bytes=2**70, cores=float("inf"))))

    assert found["codomon.execution.memory.usage"] == [(LABELS.attributes(), 2**63 - 1)]
    assert "codomon.execution.cpu.usage" not in found


@given(st.lists(st.sets(st.integers(0, 30), max_size=8), max_size=40))
def test_there_are_never_more_slots_than_executions_at_once(history: list[set[int]]) -> None:
    slots = Slots()
    before: dict[str, int] = {}

    for running in history:
        assigned = dict(slots.assign(sorted(map(str, running))))

        assert len(set(assigned.values())) == len(running)
        assert all(assigned[id_] == slot for id_, slot in before.items() if id_ in assigned)
        before = assigned
    assert max(before.values(), default=-1) < max((len(r) for r in history), default=0)
