from __future__ import annotations

from otel_codomon import names
from tools import telemetry_page


def test_the_page_of_names_is_made_from_the_rows() -> None:
    page = telemetry_page.PAGE.read_text()

    assert page == telemetry_page.render(page), "run python -m tools.telemetry_page"


def test_the_nearest_conventions_are_told_of_rows_that_exist() -> None:
    assert set(telemetry_page.NEAREST) <= {*names.ATTRIBUTES, *names.METRICS}
