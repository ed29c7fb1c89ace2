"""``otel-codomon demo``: real programs, and what was seen of them."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.quantities import in_bytes, in_seconds
from otel_codomon._platform.threads_and_forks import OwnThread
from otel_codomon.cli import options
from otel_codomon.cli.answering import add_answer_file
from otel_codomon.cli.live_screen import as_text, lines_of
from otel_codomon.cli.output import (
    can_move,
    is_terminal,
    make_console,
    print_line,
    print_table,
    speaks_unicode,
)
from otel_codomon.cli.top_state import View
from otel_codomon.cli.wrapping import print_wrapped
from otel_codomon.configuration import configure
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.live.demo import Seen, demonstrate
from otel_codomon.report.short_ids import short_id

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console
    from rich.table import Table

    from otel_codomon.configuration import Configuration

HELP = "run real programs and show what was recorded"
EXAMPLES = """
otel-codomon demo
OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 otel-codomon demo
"""

# From so many columns on there is room for bars of so many characters.
_BARS: Final = ((150, 24), (110, 14), (78, 3))
_NARROW: Final = 56  # columns below which the outcome goes under the title
_REFRESH_SECONDS: Final = 0.25
_LINES: Final = 12
_FULL, _EMPTY = "█", "·"
_ASCII_FULL, _ASCII_EMPTY = "#", "."
_STYLES: Final = {Outcome.SUCCESS: "green", Outcome.TIMEOUT: "yellow", None: "dim"}


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """How much is shown, and where to."""
    options.add_verbose(parser)
    add_answer_file(parser)


def run(args: argparse.Namespace, /) -> int:
    """Run the programs and draw them; 1 when one of them did not end as it was meant to."""
    configuration = configure(service_name="otel-codomon-demo")
    seen = _watch_all(configuration)
    _draw(seen)
    for line in _remarks(seen, configuration, verbose=args.verbose):
        print_wrapped(line)
    print_line("")
    print_line("Where to go next:")
    for command, what in _where_next(seen):
        print_wrapped(f"{command:<29} {what}", first="  ", indent="    ")
    sys.stdout.flush()
    configuration.shutdown()
    return 0 if all(each.as_expected for each in seen) else 1


def _watch_all(configuration: Configuration) -> list[Seen]:
    """All programs, one after another; on a terminal below the screen of `top`."""
    if not (is_terminal() and can_move()) or configuration.journal is None:
        return list(demonstrate())
    with _live(configuration.journal.folder):
        return list(demonstrate())


@contextmanager
def _live(journal: str) -> Iterator[None]:
    """Show what runs, as `top` does, until the end of the block."""
    from rich.live import Live  # noqa: PLC0415 - 33 ms that a pipe does not need

    from otel_codomon.live.operation import Monitor  # noqa: PLC0415 - as above

    monitor, is_over = Monitor(journal=journal), threading.Event()
    view = View(sort="age")

    def refresh() -> None:
        while not is_over.wait(_REFRESH_SECONDS):
            lines = lines_of(monitor, monitor.look(), view, has_keys=False, height=_LINES)
            live.update(as_text(lines), refresh=True)

    with Live(console=make_console(), auto_refresh=False, transient=True) as live:
        # Ours: its CPU time is not that of the program whose executions are measured.
        thread = OwnThread(refresh, name="otel-codomon demo")
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
            monitor.close()


# --- drawing ------------------------------------------------------------------


def _draw(seen: Sequence[Seen]) -> None:
    if is_terminal():
        console = make_console()
        console.print(picture(console, seen))
        return
    columns = ("program", "outcome", "time", "CPU", "memory")
    print_table(columns, (_cells(each) for each in seen))


def _cells(each: Seen) -> tuple[str, ...]:
    """The figures of one program; what is not known is a dash."""
    return (
        "  " * each.depth + each.title,
        _ended(each),
        *(column(each)[1] for column in _MEASURED),
    )


def _ended(each: Seen) -> str:
    return "not shown" if each.outcome is None else each.outcome.value.replace("_", " ")


def _seconds(value: float | None) -> tuple[float, str]:
    return value or 0.0, in_seconds(value)


def _time(each: Seen) -> tuple[float, str]:
    return _seconds(each.seconds if each.outcome is not None else None)


def _cpu(each: Seen) -> tuple[float, str]:
    return _seconds(each.usage.cpu_seconds)


def _memory(each: Seen) -> tuple[float, str]:
    peak = each.usage.peak_memory_bytes
    return peak or 0.0, in_bytes(peak)


# Each column: the value a bar is drawn of, and how it is written.
_MEASURED: Final[tuple[Callable[[Seen], tuple[float, str]], ...]] = (_time, _cpu, _memory)


def picture(console: Console, seen: Sequence[Seen]) -> Table:
    """The tree of executions with a bar for each figure, as wide as there is room."""
    from rich import box  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    width = next((length for columns, length in _BARS if console.width >= columns), 0)
    is_narrow = console.width < _NARROW
    table = Table(
        box=box.SIMPLE_HEAD if speaks_unicode() else box.ASCII2,
        pad_edge=False,
        padding=(0, 1, 0, 0) if is_narrow else (0, 1),
    )
    table.add_column("program", no_wrap=not is_narrow, overflow="fold")
    if not is_narrow:
        table.add_column("outcome", no_wrap=True)
    for head in ("time", "CPU", "memory"):
        table.add_column(head, justify="right", no_wrap=True)
    tops = [max(column(each)[0] for each in seen) for column in _MEASURED]
    for each, branch in zip(seen, _branches(seen), strict=True):
        outcome = Text(_ended(each), _STYLES.get(each.outcome, "red"))
        title = Text(branch + each.title)
        figures = [
            _bar(*column(each), top=top, width=width)
            for column, top in zip(_MEASURED, tops, strict=True)
        ]
        table.add_row(*([title + "\n" + outcome] if is_narrow else [title, outcome]), *figures)
    return table


def _branches(seen: Sequence[Seen]) -> Iterator[str]:
    """What is drawn before each title, so that the rows make a tree."""
    last, more = ("└─ ", "├─ ") if speaks_unicode() else ("`- ", "|- ")
    for at, each in enumerate(seen):
        following = seen[at + 1].depth if at + 1 < len(seen) else -1
        edge = more if following == each.depth else last
        yield "" if each.depth == 0 else "   " * (each.depth - 1) + edge


def _bar(value: float, written: str, *, top: float, width: int) -> str:
    if not width or not top:
        return written
    filled = min(width, max(round(value / top * width), 1 if value else 0))
    full, empty = (_FULL, _EMPTY) if speaks_unicode() else (_ASCII_FULL, _ASCII_EMPTY)
    return f"{full * filled}{empty * (width - filled)} {written:>9}"


# --- where next ---------------------------------------------------------------


def _remarks(seen: Sequence[Seen], configuration: Configuration, *, verbose: bool) -> Iterator[str]:
    for each in seen:
        if verbose and each.execution_id is not None:
            yield f"{each.title}: otel-codomon show {short_id(each.execution_id)}"
        if each.remark is not None and (verbose or each.outcome is None or not each.as_expected):
            yield f"{each.title}: {each.remark}"
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if endpoint:
        yield f"Sent to {endpoint}, as service otel-codomon-demo."
    elif configuration.journal is not None:
        yield "Kept in the journal of this machine; nothing was sent, as no endpoint is set."


def _where_next(seen: Sequence[Seen]) -> Iterator[tuple[str, str]]:
    shown = next((each.execution_id for each in seen if each.execution_id), None)
    yield f"otel-codomon show {'ID' if shown is None else short_id(shown)}", "shows one of these"
    yield "otel-codomon report", "says what is wrong with them"
    yield "otel-codomon run -- COMMAND", "records a command of yours"
    yield "@otel_codomon.execution", "decorates a function of yours"
    yield "OTEL_EXPORTER_OTLP_ENDPOINT", "exports to any OTLP receiver"
