"""How commands print data: for people on a terminal, for programs elsewhere.

Names, paths and attributes were chosen by other programs: all that a command
prints passes through `printable`, `as_json` or `csv_cell`.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, Final

from otel_codomon._platform.json_values import as_json
from otel_codomon._platform.printable import csv_cell, printable
from otel_codomon.cli.fitting import GAP, fit_row, fit_widths
from otel_codomon.cli.standard_streams import write_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import Console

    from otel_codomon.cli.fitting import Column

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS: Final = "_.-=+*#@"


# --- for programs ---


def write_json(value: object) -> None:
    """Print *value* as one JSON document."""
    sys.stdout.write(json.dumps(as_json(value), indent=2, ensure_ascii=False) + "\n")


def write_json_line(value: object) -> None:
    """Print *value* as JSON on one line, at once."""
    sys.stdout.write(json.dumps(as_json(value), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def write_csv(rows: Iterable[object], columns: Sequence[str]) -> None:
    """Print *rows*, dataclasses, as CSV with a head; what is not known is empty."""
    writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        flat = {key: _cell(value) for key, value in as_json(row).items()}
        writer.writerow(flat)


def _cell(value: object) -> object:
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return csv_cell(value) if isinstance(value, str) else value


# --- for people ---


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def print_line(line: str) -> None:
    """Print one line of text on stdout."""
    sys.stdout.write(printable(line) + "\n")


def complain(line: str) -> None:
    """Print one line of text on stderr."""
    write_error(printable(line) + "\n")


def speaks_unicode(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the terminal can be expected to draw what is beyond ASCII, by its locale.

    Python itself says UTF-8 in the C locale too, where the terminal may not agree.
    """
    environ = os.environ if environ is None else environ
    locale = next(filter(None, map(environ.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "C")
    return "utf-8" in locale.lower() or "utf8" in locale.lower()


def spark(values: Sequence[float | None], *, top: float | None = None, width: int = 20) -> str:
    """Draw the last *width* of *values* as a small curve from 0 to *top*.

    Args:
        values: Numbers; None is a gap.
        top: Value that fills the height; None for the largest.
        width: Characters at most.
    """
    shown = values[-width:]
    top = top or max((value for value in shown if value is not None), default=0) or 1
    blocks = _BLOCKS if speaks_unicode() else _ASCII_BLOCKS
    return "".join(
        " " if value is None else blocks[min(7, max(0, int(value / top * 8)))] for value in shown
    )


def make_console() -> Console:
    """A console of rich on stdout, for a terminal."""
    from rich.console import Console  # noqa: PLC0415 - 33 ms that a pipe does not need

    return Console(highlight=False, safe_box=True, legacy_windows=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Print a table: drawn on a terminal, aligned columns elsewhere."""
    if is_terminal():
        make_console().print(make_table(columns, rows, title=title))
        return
    if title:
        sys.stdout.write(f"{title}\n")
    for line in _aligned([tuple(columns), *rows]):
        print_line(line)


def print_fitted(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    styled: int,
    styles: Sequence[str],
) -> None:
    """Print a table, one line for each row, that fits a terminal; whole elsewhere.

    Args:
        columns: Its columns.
        rows: Their cells.
        styled: The column that has a colour.
        styles: Its colour in each row.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    width = shutil.get_terminal_size().columns if is_terminal() else None
    ellipsis = "…" if speaks_unicode() else "..."
    widths = fit_widths(columns, cells, width=width)
    place = sum(1 for width in widths[:styled] if width)
    heading = fit_row(columns, [column.title for column in columns], widths, ellipsis=ellipsis)
    sys.stdout.write(_joined(heading))
    for row, style in zip(cells, styles, strict=True):
        shown = fit_row(columns, row, widths, ellipsis=ellipsis)
        if widths[styled]:
            shown[place] = coloured(shown[place], style)
        sys.stdout.write(_joined(shown))


_COLOURS: Final = {
    "green": "\x1b[32m",
    "cyan": "\x1b[36m",
    "yellow": "\x1b[33m",
    "red": "\x1b[31m",
}
_PLAIN: Final = "\x1b[0m"


def coloured(text: str, style: str) -> str:
    """*text* in a colour, where the terminal has any."""
    return f"{_COLOURS[style]}{text}{_PLAIN}" if has_colour() else text


def _joined(cells: Sequence[str]) -> str:
    return (" " * GAP).join(cells).rstrip() + "\n"


def has_colour(environ: Mapping[str, str] | None = None) -> bool:
    """Whether to write in colour: on a terminal that knows them, unless NO_COLOR says no."""
    environ = os.environ if environ is None else environ
    return is_terminal() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def can_move() -> bool:
    """Whether the terminal can be drawn on at any place."""
    return os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


def make_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> Any:  # noqa: ANN401 - of rich, imported late
    """A table of rich. Text is taken as it is: nothing in it is markup."""
    from rich import box  # noqa: PLC0415 - as in `make_console`
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    simple = box.SIMPLE_HEAD if speaks_unicode() else box.ASCII2
    table = Table(title=title or None, box=simple, title_justify="left", pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()
