"""What runs, as lines on this terminal: for `top`, `monitor-stats` and `demo`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

from otel_codomon.cli import output
from otel_codomon.cli.top_screen import Room, screen
from otel_codomon.cli.top_state import View, arranged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_codomon.cli.top_screen import Line
    from otel_codomon.live.operation import Monitor, RunningExecution, Stats

_CURVE_COLUMNS: Final = 20
_ELSEWHERE_COLUMNS: Final = 200  # where there is no terminal


def lines_of(
    monitor: Monitor,
    stats: Stats,
    view: View,
    *,
    has_keys: bool,
    height: int | None,
    columns: int | None = None,
) -> list[Line]:
    """The screen as lines.

    Args:
        monitor: What has looked.
        stats: What it saw.
        view: What is looked at.
        has_keys: Whether keys are read.
        height: Lines of the screen; None for no end.
        columns: Its columns; None for those of the terminal, or as many as there is
            something to say on elsewhere.
    """
    room = Room(width=columns or _columns(), height=height, is_unicode=output.speaks_unicode())
    rows = arranged(view, stats.executions)

    def curve(one: RunningExecution) -> str:
        values = monitor.memory_curve(one.execution_id, _CURVE_COLUMNS, unix_ns=stats.unix_ns)
        return output.spark(values, top=one.memory_limit_bytes)

    return screen(stats, view, rows, curve=curve, room=room, has_keys=has_keys)


def _columns() -> int:
    return shutil.get_terminal_size().columns if output.is_terminal() else _ELSEWHERE_COLUMNS


def as_text(lines: Sequence[Line]) -> Any:  # noqa: ANN401 - of rich, imported late
    """*lines* for rich, in colour where the terminal has any."""
    from rich.text import Text  # noqa: PLC0415 - as `output.make_console`

    text = Text(no_wrap=True, overflow="crop", end="")
    for number, line in enumerate(lines):
        text.append("\n" if number else "")
        for part in line:
            text.append(part.text, part.style or None)
    return text
