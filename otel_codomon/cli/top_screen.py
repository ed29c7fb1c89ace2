"""The screen of `top`: lines that fit, from what was seen and what is looked at. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_codomon._platform.printable import printable
from otel_codomon._platform.quantities import in_bytes, in_number, in_percent, in_seconds, in_words
from otel_codomon._platform.relative_times import in_age
from otel_codomon.cli.fitting import GAP, Column, cut_text, fit_row, fit_widths
from otel_codomon.cli.top_state import KEYS, cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otel_codomon.cli.top_state import View
    from otel_codomon.host.operation import HostStats
    from otel_codomon.live.operation import EndedExecution, RunningExecution, Stats
    from otel_codomon.report.distribution import Trend


class Part(NamedTuple):
    """A piece of a line, and its style as rich calls it; empty for none."""

    text: str
    style: str = ""


Line = list[Part]

_ID_DIGITS: Final = 8
_MAX_ENDED: Final = 5
_NARROW_COLUMNS: Final = 60  # below, the cause of an end needs the room of its id
# Use of a limit from which on it is worth a look, or an alarm: colour, and a sign without one.
_LEVELS: Final = ((0.9, "red", "!!"), (0.7, "yellow", "!"), (0.0, "green", ""))
_COLUMNS: Final = (
    Column(title="name", least=8, is_kept=True),
    Column(title="memory", is_number=True),
    Column(title="limit", is_number=True),
    Column(title="cores", is_number=True),
    Column(title="age", is_number=True),
    Column(title="memory trend"),
    Column(title="id"),
    Column(title="last minute"),
    Column(title="proc", is_number=True),
)
_MEMORY, _LIMIT = 1, 2
_OUTCOME_STYLES: Final = {"success": "green", "unknown": "yellow"}
_STEADY_BYTES_PER_SECOND: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The screen.

    Attributes:
        width: Columns.
        height: Lines; None for no end.
        is_unicode: Whether it shows more than ASCII.
    """

    width: int
    height: int | None
    is_unicode: bool

    @property
    def ellipsis(self) -> str:
        """What stands where something was cut."""
        return "…" if self.is_unicode else "..."


def screen(
    stats: Stats,
    view: View,
    rows: Sequence[RunningExecution],
    *,
    curve: Callable[[RunningExecution], str],
    room: Room,
    has_keys: bool = True,
) -> list[Line]:
    """All lines from top to bottom, none wider than the screen and no more than it has.

    Args:
        stats: What was seen.
        view: What is looked at.
        rows: The executions that are shown, in their order.
        curve: Draws the last minute of an execution's memory.
        room: The screen.
        has_keys: Whether keys are read: the cursor and the keys are shown.
    """
    head = [*host_lines(stats.host, width=room.width), _count_line(stats, view, rows)]
    foot = [*ended_lines(stats, room)]
    if has_keys:
        foot.append(_key_line(view))
    free = None if room.height is None else max(1, room.height - len(head) - len(foot) - 1)
    first, shown = _window(rows, view, free)
    middle = list(
        table_lines(
            shown, curve=curve, room=room, at=cursor_in(view, rows) - first if has_keys else None
        )
    )
    lines = [*head, *middle, *foot]
    return [_cut(line, room) for line in lines[: room.height]]


def cursor_in(view: View, rows: Sequence[RunningExecution]) -> int:
    """The row of the cursor."""
    return cursor(view, [one.execution_id for one in rows])


def _window(
    rows: Sequence[RunningExecution], view: View, free: int | None
) -> tuple[int, Sequence[RunningExecution]]:
    """The rows that there is room for, the cursor's among them, and the number of the first."""
    if free is None or len(rows) <= free:
        return 0, rows
    first = max(0, cursor_in(view, rows) - free + 1)
    return first, rows[first : first + free]


# --- the host ---


def host_lines(host: HostStats, *, width: int) -> Iterator[Line]:
    """The host's figures on one line; on a narrow screen the first of them."""
    parts: Line = []
    used = 0
    for label, value, share in _host_figures(host):
        text = f"{label} {value}"
        if parts and used + GAP + len(text) > width:
            break
        used += len(text) + (GAP if parts else 0)
        parts += [Part(" " * GAP)] if parts else []
        parts += [Part(f"{label} ", "dim"), Part(value, _level(share)[0])]
    if parts:
        yield parts


def _host_figures(host: HostStats) -> Iterator[tuple[str, str, float | None]]:
    cpu, memory, disk, network = host.cpu, host.memory, host.disk, host.network
    if cpu is not None:
        of = in_words(cpu.cores, "core", "cores")
        yield "cpu", f"{in_percent(_rounded(cpu.used_share))} of {of}", cpu.used_share
    if memory is not None:
        used = memory.total_bytes - memory.available_bytes
        value = f"{in_bytes(used)} of {in_bytes(memory.total_bytes)}"
        yield "memory", value, memory.used_share
    if cpu is not None and cpu.load_1m is not None:
        yield "load", f"{cpu.load_1m:.2f}", None
    if disk is not None:
        yield "disk", in_percent(_rounded(disk.space_used_share)), disk.space_used_share
    if memory is not None and memory.swap_used_share:
        yield "swap", in_percent(_rounded(memory.swap_used_share)), memory.swap_used_share
    if network is not None and network.total.in_bytes_per_second is not None:
        total = network.total
        inward, outward = in_bytes(total.in_bytes_per_second), in_bytes(total.out_bytes_per_second)
        yield "network", f"{inward}/s in, {outward}/s out", None


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 2)


def _level(share: float | None) -> tuple[str, str]:
    """Colour and sign for the use of a limit."""
    if share is None:
        return "", ""
    return next((style, sign) for least, style, sign in _LEVELS if share >= least)


# --- what runs ---


def _count_line(stats: Stats, view: View, rows: Sequence[RunningExecution]) -> Line:
    if not stats.executions:
        return [Part("no executions running", "bold")]
    runs = in_words(len(stats.executions), "execution running", "executions running")
    line = [Part(runs, "bold"), Part(f", by {view.sort}", "dim")]
    if view.wanted:
        line.append(Part(f", {len(rows)} matching {view.wanted!r}"))
    return line


def table_lines(
    rows: Sequence[RunningExecution],
    *,
    curve: Callable[[RunningExecution], str],
    room: Room,
    at: int | None,
) -> Iterator[Line]:
    """A heading, and one line for each execution; nothing without any.

    Args:
        rows: The executions.
        curve: As for `screen`.
        room: The screen.
        at: The row of the cursor; None without one.
    """
    if not rows:
        return
    cells = [_cells(one, curve(one)) for one in rows]
    margin = 0 if at is None else GAP
    widths = fit_widths(_COLUMNS, cells, width=room.width - margin)
    titles = fit_row(_COLUMNS, [c.title for c in _COLUMNS], widths, ellipsis=room.ellipsis)
    yield [Part(" " * margin + (" " * GAP).join(titles).rstrip(), "dim")]
    for number, (one, row) in enumerate(zip(rows, cells, strict=True)):
        shown = fit_row(_COLUMNS, row, widths, ellipsis=room.ellipsis)
        places = [place for place, width in enumerate(widths) if width]
        is_here = number == at
        line = [Part((">" if is_here else " ").ljust(margin), "bold")] if margin else []
        for place, text in zip(places, shown, strict=True):
            style = _level(one.memory_share)[0] if place in (_MEMORY, _LIMIT) else ""
            gap = " " * GAP if place else ""
            line += [Part(gap), Part(text, "bold" if is_here and not style else style)]
        yield line
        yield from _process_lines(one, margin)


def _process_lines(one: RunningExecution, margin: int) -> Iterator[Line]:
    """A line for each process of an execution, where they were asked for."""
    for process in one.processes:
        used = f"{in_seconds(process.cpu_seconds)} CPU, {in_bytes(process.memory_bytes)}"
        text = f"{printable(process.name)}  process {process.pid}  {used}"
        yield [Part(" " * (margin + GAP) + text, "dim")]


def _cells(one: RunningExecution, curve: str) -> list[str]:
    share = one.memory_share
    used = "" if share is None else f"{_level(share)[1]} {round(share * 100)} %"
    limit = f"{used} of {in_bytes(one.memory_limit_bytes)}" if one.memory_limit_bytes else ""
    shared = f" (with {one.shared_by - 1} more)" if one.shared_by > 1 else ""
    return [
        printable(one.name) + shared,
        in_bytes(one.memory_bytes),
        limit.strip(),
        "-" if one.cores is None else f"{one.cores:.2f}",
        in_seconds(round(one.running_seconds) or one.running_seconds),
        trend_words(one.memory_trend),
        printable(one.execution_id[:_ID_DIGITS]),
        curve,
        in_number(one.process_count),
    ]


def trend_words(trend: Trend | None) -> str:
    """Where memory is going: ``+7 MiB/s, limit in 40 s``; nothing where it stays."""
    if trend is None or trend.direction == "steady":
        return ""
    if abs(trend.slope_per_second) < _STEADY_BYTES_PER_SECOND:
        return ""
    sign = "+" if trend.slope_per_second > 0 else "-"
    until = trend.seconds_until_limit
    soon = "" if until is None else f", limit in {in_seconds(round(until))}"
    return f"{sign}{in_bytes(abs(trend.slope_per_second))}/s{soon}"


# --- what just ended, and the keys ---


def ended_lines(stats: Stats, room: Room) -> Iterator[Line]:
    """The last executions that ended, failures first, each with its cause."""
    shown = sorted(stats.ended, key=lambda one: one.cause is None)[:_MAX_ENDED]
    if not shown:
        return
    yield [Part("just ended", "dim")]
    widest = max(len(printable(one.name)) for one in shown)
    for one in shown:
        yield _ended_line(one, stats.unix_ns, min(widest, max(8, room.width // 4)), room)


def _ended_line(one: EndedExecution, now_unix_ns: int, width: int, room: Room) -> Line:
    age = in_age(max(0.0, (now_unix_ns - one.ended_unix_ns) / 1e9))
    style = _OUTCOME_STYLES.get(one.outcome or "", "red")
    said = one.cause or f"{one.outcome or 'unknown'} after {in_seconds(one.duration_seconds)}"
    name = cut_text(printable(one.name), width, ellipsis=room.ellipsis).ljust(width)
    return [
        Part(f"{name}  "),
        Part(
            f"{printable(one.execution_id[:_ID_DIGITS])}  "
            if room.width >= _NARROW_COLUMNS
            else "",
            "dim",
        ),
        Part(f"{age:<9}", "dim"),
        Part(printable(said), style),
    ]


def _key_line(view: View) -> Line:
    if view.is_typing:
        return [
            Part("filter: ", "bold"),
            Part(view.wanted + "_"),
            Part("  Enter keeps, Esc clears", "dim"),
        ]
    orders = "  ".join(f"{key} {name}" for key, name in KEYS.items())
    return [Part(f"q quit  / filter  Enter open  sort: {orders}", "dim")]


def _cut(line: Line, room: Room) -> Line:
    """*line* without what does not fit."""
    left, found = room.width, []
    for part in line:
        if left <= 0:
            break
        text = part.text
        if len(text) > left:
            text = cut_text(text, left, ellipsis=room.ellipsis)
        found.append(part._replace(text=text))
        left -= len(text)
    return found
