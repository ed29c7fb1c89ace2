from __future__ import annotations

import re
from pathlib import Path

from otel_codomon import names
from otel_codomon.host.metric_table import HOST_ROWS, OWN_ROWS

PAGE = Path(__file__).parent.parent / "docs" / "host-metrics.md"
ROW = re.compile(r"^\| `([a-z_.]+)` \| ([CUG]) \| `([^`]+)` \| (.+?) \| (.+) \|$", re.MULTILINE)
LETTERS = {
    names.Instrument.OBSERVABLE_COUNTER: "C",
    names.Instrument.OBSERVABLE_UP_DOWN_COUNTER: "U",
    names.Instrument.OBSERVABLE_GAUGE: "G",
}


def test_the_page_has_each_metric_in_the_order_of_the_table_with_kind_and_unit() -> None:
    of_page = [(match[1], match[2], match[3]) for match in ROW.finditer(PAGE.read_text())]

    of_table = [row.metric for row in (*HOST_ROWS, *OWN_ROWS)]
    assert of_page == [(row.name, LETTERS[row.instrument], row.unit) for row in of_table]


def test_each_source_that_the_page_names_is_read() -> None:
    page = "".join(match[4] for match in ROW.finditer(PAGE.read_text()))
    code = "".join(
        (PAGE.parent.parent / "otel_codomon" / "host" / f"{name}.py").read_text()
        for name in ("reader", "vmstat")
    )

    for file in re.findall(r"`/proc/[a-z/]*?([a-z-]+)`", page):
        assert file in code
    for word in re.findall(r"`([a-z]\w+_\w+|pg\w+|psw\w+|CLOCK_\w+|getrusage)`", page):
        assert word in code
