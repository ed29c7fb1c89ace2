from __future__ import annotations

from hypothesis import given, strategies as st

from otel_codomon.cli.fitting import GAP, Column, cut_text, fit_row, fit_widths

COLUMNS = (
    Column(title="name", least=6, is_kept=True),
    Column(title="id", is_kept=True),
    Column(title="size", is_number=True),
    Column(title="cause", least=8),
)
ROW = ["thumbnail", "3f2a9c01", "512 MiB", "out of memory: reached its limit"]


def shown(width: int | None) -> str:
    widths = fit_widths(COLUMNS, [ROW], width=width)
    return (" " * GAP).join(fit_row(COLUMNS, ROW, widths, ellipsis="…"))


def test_columns_are_cut_and_dropped_from_the_right() -> None:
    assert shown(None) == "thumbnail  3f2a9c01  512 MiB  out of memory: reached its limit"
    assert shown(45) == "thumbnail  3f2a9c01  512 MiB  out of memory:…"
    assert shown(30) == "thumbnail  3f2a9c01  512 MiB"
    assert shown(25) == "thumb…  3f2a9c01  512 MiB"
    assert shown(24) == "thumbnail  3f2a9c01"
    assert shown(16) == "thumb…  3f2a9c01"


@given(st.lists(st.text(max_size=20), min_size=4, max_size=4), st.integers(16, 200))
def test_a_row_is_never_wider_than_the_screen(row: list[str], width: int) -> None:
    row[1] = row[1][:6]

    widths = fit_widths(COLUMNS, [row], width=width)

    assert len((" " * GAP).join(fit_row(COLUMNS, row, widths, ellipsis="…"))) <= width


@given(st.text(), st.integers(0, 30))
def test_a_text_is_cut_to_its_width(text: str, width: int) -> None:
    assert len(cut_text(text, width)) <= width or len(text) <= width
