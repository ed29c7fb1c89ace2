from __future__ import annotations

import re

import pytest

from otel_codomon import names

UCUM = re.compile(r"^(1|s|By|By/s|Hz|\{[a-z_]+\})$")


@pytest.mark.parametrize("row", names.METRICS.values(), ids=lambda row: row.name)
def test_each_metric_has_a_unit_and_a_sentence(row: names.Metric) -> None:
    assert UCUM.match(row.unit)
    assert row.description.endswith(".")
    assert re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", row.name)


@pytest.mark.parametrize("row", names.ATTRIBUTES.values(), ids=lambda row: row.key)
def test_each_attribute_has_a_sentence_and_a_known_type(row: names.Attribute) -> None:
    assert row.description.endswith(".")
    assert row.type in {"string", "int", "double", "boolean", "double[]", "int[]", "string[]"}
    assert row.unit is None or UCUM.match(row.unit)


@pytest.mark.parametrize("row", names.METRICS.values(), ids=lambda row: row.name)
def test_metrics_carry_only_attributes_that_are_closed_sets(row: names.Metric) -> None:
    assert [key for key in row.attributes if not names.ATTRIBUTES[key].on_metrics] == []


def test_no_attribute_can_be_named_twice() -> None:
    with pytest.raises(ValueError, match=r"cannot name attribute .* twice"):
        names._attribute("codomon.execution.id", "string", None, "Again.")


def test_a_boundary_list_grows() -> None:
    for row in names.METRICS.values():
        assert list(row.boundaries) == sorted(set(row.boundaries))
