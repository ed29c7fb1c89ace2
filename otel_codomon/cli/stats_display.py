"""How samples are shown: refreshed in place, as text, or as JSON lines."""

from __future__ import annotations

import sys
from collections import deque
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from otel_codomon._platform.printable import printable
from otel_codomon._platform.quantities import (
    in_bytes,
    in_number,
    in_percent,
    in_seconds,
    in_words,
)
from otel_codomon.cli import output
from otel_codomon.cli.live_screen import as_text, lines_of
from otel_codomon.cli.top_state import View
from otel_codomon.host.operation import HostStats
from otel_codomon.live.operation import FIGURES, REMEMBERED, UNITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from otel_codomon.cli.top_screen import Line
    from otel_codomon.host.operation import (
        CpuStats,
        DiskStats,
        Flow,
        MemoryStats,
        NetworkStats,
    )
    from otel_codomon.live.operation import Alert, Monitor, Stats
    from otel_codomon.report.distribution import Trend
    from otel_codomon.report.history import History, PastFigure

    Show = Callable[[Stats], None]
    _Row = tuple[str, str, str]
    # The totals, and the parts they are made of.
    _Rows = tuple[list[_Row], list[_Row]]

_MAX_LINES: Final = 40


@contextmanager
def lines(history: History | None, monitor: Monitor, *, verbose: bool) -> Iterator[Show]:
    """One JSON object for each sample, on a line; the history before them, if there is one."""
    del monitor, verbose  # it was sampled, or not
    if history is not None:
        output.write_json_line({"history": history})
    yield output.write_json_line


def text(
    history: History | None, monitor: Monitor, *, verbose: bool
) -> AbstractContextManager[Show]:
    """Text: refreshed in place on a terminal, one below the other elsewhere."""
    show = _live if output.is_terminal() else _plain_text
    return show(history, monitor, verbose=verbose)


@contextmanager
def _plain_text(history: History | None, monitor: Monitor, *, verbose: bool) -> Iterator[Show]:
    """The figures of each sample one below the other."""
    for line in _history_lines(history):
        output.print_line(line)

    def show(stats: Stats) -> None:
        for name, value, more in rows(stats.host, verbose=verbose):
            output.print_line(f"{name}: {value} {more}".rstrip())
        for line in _executions(stats, monitor, height=None):
            output.print_line("".join(part.text for part in line))
        for alert in alert_lines(stats):
            output.complain(alert)
        sys.stdout.flush()

    yield show


@contextmanager
def _live(history: History | None, monitor: Monitor, *, verbose: bool) -> Iterator[Show]:
    """The figures refreshed in place on the terminal, with curves of what went before."""
    from rich.console import Group  # noqa: PLC0415 - only for a terminal
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    past: dict[str, deque[float | None]] = {name: deque(maxlen=REMEMBERED) for name in FIGURES}
    crossed: dict[str, str] = {}
    with Live(console=output.make_console(), auto_refresh=False) as screen:

        def show(stats: Stats) -> None:
            for name, figure in FIGURES.items():
                past[name].append(figure.read(stats))
            for alert, line in zip(stats.alerts, alert_lines(stats), strict=True):
                crossed[f"{alert.figure} {alert.execution_id}"] = line
            host = _host_picture(stats, past, history, verbose=verbose)
            runs = as_text(_executions(stats, monitor, height=_MAX_LINES))
            alarms = [Text(line, style="bold red") for line in crossed.values()]
            screen.update(Group(host, runs, *alarms), refresh=True)

        yield show


def _host_picture(
    stats: Stats, past: dict[str, deque[float | None]], history: History | None, *, verbose: bool
) -> Any:  # noqa: ANN401 - of rich, imported late
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    host = Table.grid(padding=(0, 1))
    for name, value, more in rows(stats.host, verbose=verbose):
        curve = output.spark(list(past[name]), top=1.0) if name in past else ""
        trend = trend_text(stats.trends.get(name), in_percent) if name in past else ""
        host.add_row(*(Text(cell) for cell in (name, value, curve, more, trend)))
    return Group(*(Text(line) for line in _history_lines(history)), host)


# --- the host's figures, as name, value and what more there is to say ---


def rows(host: HostStats, *, verbose: bool) -> Iterator[tuple[str, str, str]]:
    """The host's figures that were sampled; with *verbose* each core, disk and interface."""
    for what, to_rows in _ROWS.items():
        found = getattr(host, what)
        if found is not None:
            totals, parts = to_rows(found)
            yield from totals
            if verbose:
                yield from parts


def _cpu_rows(cpu: CpuStats) -> _Rows:
    load = "" if cpu.load_1m is None else f", load {cpu.load_1m:.2f}"
    cores = [
        (f" core {number}", in_percent(share), "")
        for number, share in enumerate(cpu.per_core_share)
    ]
    return [
        ("cpu", in_percent(cpu.used_share), f"of {in_words(cpu.cores, 'core', 'cores')}{load}")
    ], cores


def _memory_rows(memory: MemoryStats) -> _Rows:
    free = f"{in_bytes(memory.available_bytes)} of {in_bytes(memory.total_bytes)} available"
    found = [("memory", in_percent(memory.used_share), free)]
    if memory.swap_total_bytes:
        total = f"of {in_bytes(memory.swap_total_bytes)}"
        found.append(("swap", in_percent(memory.swap_used_share), total))
    return found, []


def _disk_rows(disk: DiskStats) -> _Rows:
    flow = _flow(disk.total, "read", "written")
    more = f"of {in_bytes(disk.space_bytes)}, {flow}"
    parts = [
        (f" {printable(name)}", "", _flow(each, "read", "written"))
        for name, each in disk.per_disk.items()
    ]
    return [("disk", in_percent(disk.space_used_share), more)], parts


def _network_rows(network: NetworkStats) -> _Rows:
    parts = [
        (f" {printable(name)}", "", _flow(each, "received", "sent"))
        for name, each in network.per_interface.items()
    ]
    return [("network", "", _flow(network.total, "received", "sent"))], parts


_ROWS: Final[Mapping[str, Callable[[Any], _Rows]]] = {
    "cpu": _cpu_rows,
    "memory": _memory_rows,
    "disk": _disk_rows,
    "network": _network_rows,
}


def _flow(flow: Flow, in_word: str, out_word: str) -> str:
    inward, outward = in_bytes(flow.in_bytes_per_second), in_bytes(flow.out_bytes_per_second)
    return f"{inward}/s {in_word}, {outward}/s {out_word}"


def trend_text(trend: Trend | None, write: Callable[[float], str]) -> str:
    """A trend in words: ``rising 1.2 %/min, at its limit in 3 min``."""
    if trend is None:
        return ""
    if trend.direction == "steady":
        return "steady"
    until = ""
    if trend.seconds_until_limit is not None:
        until = f", at its limit in {in_seconds(trend.seconds_until_limit)}"
    return f"{trend.direction} {write(abs(trend.slope_per_second) * 60)}/min{until}"


# --- executions, alerts, history ---


def _executions(stats: Stats, monitor: Monitor, *, height: int | None) -> list[Line]:
    """What runs and what just ended, as in `top`, below the host's figures."""
    without_host = replace(stats, host=HostStats())
    return lines_of(monitor, without_host, View(sort="age"), has_keys=False, height=height)


def alert_lines(stats: Stats) -> list[str]:
    """One line for each threshold that is crossed now."""
    return [
        f"{alert.figure}{_whose(alert)} is at {_figure(alert.figure, alert.seen)}: its threshold "
        f"is {_figure(alert.figure, alert.limit)}"
        for alert in stats.alerts
    ]


def _whose(alert: Alert) -> str:
    if alert.execution_id is None:
        return ""
    return f" of {printable(alert.name or '')} ({alert.execution_id[:8]})"


_UNIT_WRITERS: Final = {"share": in_percent, "count": in_number, "bytes": in_bytes}


def _figure(name: str, value: float) -> str:
    return _UNIT_WRITERS[UNITS[name]](value)


# Of the largest value: what a trend changes over the whole time, for it to be told.
_TOLD_SHARE: Final = 0.2


def _in_hundredths(value: float) -> str:
    return in_number(float(f"{value:.2g}"))


_PAST_WRITERS: Final = {
    "running": _in_hundredths,
    "cores": _in_hundredths,
    "memory_bytes": in_bytes,
}


def _history_lines(history: History | None) -> Iterator[str]:
    if history is None:
        return
    yield in_words(history.executions, "execution", "executions")
    if history.unreadable:
        yield f"{in_words(history.unreadable, 'record', 'records')} could not be read: left out"
    for name, figure in history.figures.items():
        write = _PAST_WRITERS[name]
        top = max(figure.values, default=0.0)
        curve = output.spark(figure.values, width=30)
        direction = _direction(figure, history)
        yield f"{name.removesuffix('_bytes'):<8} {curve} up to {write(top)}{direction}"


def _direction(figure: PastFigure, history: History) -> str:
    """Where it went over the whole time, if it went far: ``, rising``."""
    if figure.trend is None:
        return ""
    seconds = (history.until_unix_ns - history.since_unix_ns) / 1e9
    change = abs(figure.trend.slope_per_second) * seconds
    is_far = change >= _TOLD_SHARE * max(figure.values, default=0.0)
    return f", {figure.trend.direction}" if is_far else ", steady"
