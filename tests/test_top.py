"""`otel-codomon top`: its state, its screen, and the command on a real terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from support.history import MIB, Past, add, write_history
from support.terminal import Terminal
from support.typed import clean_environment, typed, typed_on_terminal

from otel_codomon import names
from otel_codomon.cli.keyboard import BACKSPACE, DOWN, ENTER, ESCAPE, UP, keys_in
from otel_codomon.cli.top_screen import Line, Room, screen, trend_words
from otel_codomon.cli.top_state import KEYS, SORT_NAMES, View, arranged, press
from otel_codomon.host.operation import HostStats
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.running_executions import RunningExecutions
from otel_codomon.live.operation import (
    EndedExecution,
    Monitor,
    RunningExecution,
    Stats,
    Threshold,
)
from otel_codomon.live.recent import Recent
from otel_codomon.report.distribution import Trend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.journal.writer import Writer


def running(name: str = "work", **more: object) -> RunningExecution:
    base = RunningExecution(
        execution_id=f"{abs(hash(name)):032x}"[:32],
        trace_id="0" * 32,
        span_id="0" * 16,
        name=name,
        kind="command",
        running_seconds=12.0,
        pid=1,
        shared_by=1,
        cores=0.5,
        memory_bytes=100 * MIB,
        process_count=1,
    )
    return replace(base, **more)  # type: ignore[arg-type] # fields of the dataclass


def ended(name: str, cause: str | None) -> EndedExecution:
    return EndedExecution(
        execution_id="f" * 32,
        name=name,
        outcome="success" if cause is None else "oom_killed",
        cause=cause,
        ended_unix_ns=0,
        duration_seconds=1.0,
    )


DOWN_KEY = b"\x1b[B"
ROWS = (
    running("small", memory_bytes=MIB, cores=2.0, running_seconds=5.0, process_count=9),
    running("large", memory_bytes=512 * MIB, memory_limit_bytes=520 * MIB, cores=None),
    running("unknown", memory_bytes=None, running_seconds=99.0),
)
STATS = Stats(
    unix_ns=10**9, host=HostStats(), executions=ROWS, ended=(ended("job", "crashed: SIGSEGV"),)
)


def drawn(
    stats: Stats = STATS, view: View | None = None, *, width: int = 80, height: int | None = 24
) -> list[str]:
    view = view or View()
    room = Room(width=width, height=height, is_unicode=True)
    rows = arranged(view, stats.executions)
    return [text(line) for line in screen(stats, view, rows, curve=lambda _: "▁▂", room=room)]


def text(line: Line) -> str:
    return "".join(part.text for part in line)


# --- state --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("memory", "large"),
        ("cpu", "small"),
        ("age", "unknown"),
        ("processes", "small"),
        ("name", "large"),
    ],
)
def test_each_order_puts_the_largest_first(sort: str, first: str) -> None:
    assert arranged(View(sort=sort), ROWS)[0].name == first


def test_each_order_has_a_key() -> None:
    assert set(KEYS.values()) == set(SORT_NAMES)
    for key, sort in KEYS.items():
        assert press(View(), key, []).sort == sort


def test_the_cursor_stays_on_its_execution_and_within_the_rows() -> None:
    ids = ["a", "b", "c"]
    view = press(press(View(), DOWN, ids), DOWN, ids)

    assert view.selected == "c"
    assert press(view, DOWN, ids).selected == "c"
    assert press(view, UP, ["c", "b"]).selected == "c"
    assert press(view, ENTER, ids).opened == "c"
    assert press(view, ENTER, ["a"]).opened == "a", "what it was on has ended"
    assert press(View(), ENTER, []).opened is None


def test_what_is_typed_filters_names_and_is_no_command() -> None:
    view = View()
    for key in ("/", "q", "u", BACKSPACE, "x"):
        view = press(view, key, [])

    assert (view.wanted, view.is_over, view.is_typing) == ("qx", False, True)
    assert press(view, ENTER, []).wanted == "qx"
    assert press(view, ESCAPE, []).wanted == ""
    assert press(press(view, ENTER, []), "q", []).is_over


@pytest.mark.parametrize("wanted", ["lar", "LAR", "l*e"])
def test_a_filter_is_a_part_of_a_name_or_a_pattern(wanted: str) -> None:
    assert [one.name for one in arranged(View(wanted=wanted), ROWS)] == ["large"]


@given(st.binary(max_size=20))
def test_any_bytes_of_a_terminal_are_keys_or_nothing(read: bytes) -> None:
    assert all(key.isprintable() for key in keys_in(read))


# --- screen -------------------------------------------------------------------


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
@pytest.mark.parametrize("height", [1, 5, 24])
def test_no_line_is_wider_than_the_screen_and_no_more_than_it_has(width: int, height: int) -> None:
    many = replace(STATS, executions=tuple(running(f"n{n}" * 9) for n in range(100)))

    lines = drawn(many, width=width, height=height)

    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_memory_is_beside_its_limit_at_every_width() -> None:
    for width in (40, 80, 200):
        row = next(line for line in drawn(width=width) if "large" in line)
        assert "!! 98 % of 520 MiB" in row, "the sign says without colour what red says"


def test_what_is_not_known_is_a_dash_and_no_zero() -> None:
    row = next(line for line in drawn(width=200) if "unknown" in line)

    assert "-" in row
    assert "0 B" not in row


def test_the_cursor_is_in_sight_however_many_run() -> None:
    many = tuple(running(f"n{n}", memory_bytes=n) for n in range(100))
    view = View(sort="name", selected=many[99].execution_id)

    lines = drawn(replace(STATS, executions=many), view)

    assert any(line.startswith("> n99") for line in lines)


def test_failures_come_first_of_what_ended() -> None:
    stats = replace(STATS, ended=(ended("fine", None), ended("job", "crashed: SIGSEGV")))

    lines = drawn(stats)

    at = lines.index("just ended")
    assert "crashed: SIGSEGV" in lines[at + 1]
    assert "success after 1 s" in lines[at + 2]


def test_what_others_chose_is_made_visible() -> None:
    stats = replace(
        STATS, executions=(running("a\x1b[2Jb"),), ended=(ended("c\x1b]0;d", "\x1b[31m"),)
    )

    assert "\x1b" not in "".join(drawn(stats))


@pytest.mark.parametrize(
    ("trend", "words"),
    [
        (None, ""),
        (Trend(direction="steady", slope_per_second=9e9), ""),
        (Trend(direction="rising", slope_per_second=10.0), ""),
        (Trend(direction="falling", slope_per_second=-2.0 * MIB), "-2 MiB/s"),
        (
            Trend(direction="rising", slope_per_second=7.0 * MIB, seconds_until_limit=40.2),
            "+7 MiB/s, limit in 40 s",
        ),
    ],
)
def test_a_trend_in_words(trend: Trend | None, words: str) -> None:
    assert trend_words(trend) == words


# --- the last minute ----------------------------------------------------------


def test_there_is_no_trend_before_thirty_seconds_of_it() -> None:
    recent = Recent()
    recent.extend((float(second), float(second)) for second in range(30))
    assert recent.trend() is None

    recent.add(30.0, 30.0)

    trend = recent.trend(limit=100.0)
    assert trend is not None
    assert trend.direction == "rising"
    assert trend.seconds_until_limit == pytest.approx(70.0)


def test_a_limit_that_is_more_than_an_hour_away_is_not_forecast() -> None:
    recent = Recent()
    recent.extend((second * 1.0, second * 1.0) for second in range(60))

    trend = recent.trend(limit=10**6)

    assert trend is not None
    assert trend.seconds_until_limit is None


def test_a_curve_is_of_the_last_minute_and_has_gaps_where_nothing_was_seen() -> None:
    recent = Recent()
    recent.extend((float(second), float(second)) for second in range(40, 141))

    assert recent.curve(3, until=140.0) == [100.0, 120.0, 140.0]

    young = Recent()
    young.extend((float(second), float(second)) for second in range(10, 21))
    assert young.curve(4, until=30.0) == [None, None, 15.0, 20.0]


# --- what just ended ----------------------------------------------------------


def test_what_ends_between_two_looks_is_seen_also_where_its_process_is_gone(
    tmp_path: Path,
) -> None:
    living = RunningExecutions(str(tmp_path))
    write_history(tmp_path, [Past(name="old", ago_seconds=10)]).close()
    assert not living.read()
    assert not living.ended, "of processes that are gone at the first look nothing is read"

    write_history(tmp_path, [Past(name="short", ago_seconds=2, outcome=Outcome.ERROR)]).close()
    living.read()

    (last,) = living.ended
    assert last.labels.name == "short"


def test_what_ended_more_than_a_minute_ago_has_not_just_ended(tmp_path: Path) -> None:
    living = RunningExecutions(str(tmp_path))
    living.read()
    writer = write_history(tmp_path, [Past(name="long ago", ago_seconds=90, seconds=1)])
    living.read()
    writer.close()

    assert living.ended == ()


def test_many_ends_at_once_are_bounded(tmp_path: Path) -> None:
    living = RunningExecutions(str(tmp_path))
    living.read()
    writer = write_history(tmp_path, [Past(ago_seconds=2) for _ in range(500)])

    living.read()
    writer.close()

    assert len(living.ended) == 50


def test_a_threshold_on_executions_names_the_one_that_crossed_it(tmp_path: Path) -> None:
    thresholds = (Threshold(figure="execution.processes", limit=1.0),)
    waiting = [sys.executable, "-c", "input()"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, text=True) as child:
        itself = {names.PROCESS_PID: child.pid}
        past = Past(name="one", seconds=None, execution_id="a" * 32, attributes=itself)
        writer = write_history(tmp_path, [past])
        monitor = Monitor(journal=str(tmp_path), what=(), thresholds=thresholds)
        stats = monitor.look()
        child.communicate("\n")
    monitor.close()
    writer.close()

    (alert,) = stats.alerts
    assert (alert.name, alert.execution_id, alert.seen) == ("one", "a" * 32, 1)


# --- the command --------------------------------------------------------------


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """A journal in which two executions of this process run."""
    past = [
        Past(
            name="thumbnail",
            seconds=None,
            execution_id="aa" * 16,
            attributes={names.LIMIT_MEMORY: 64 * 1024 * MIB},
        ),
        Past(name="crawler", seconds=None, execution_id="bb" * 16),
    ]
    with_past = write_history(tmp_path, past)
    yield with_past
    with_past.close()


def environment(folder: Path) -> dict[str, str]:
    return clean_environment(
        OTEL_PYTHON_CODOMON_JOURNAL=str(folder), TERM="xterm-256color", COLUMNS="80", LINES="24"
    )


def top(folder: Path, *more: str) -> Terminal:
    argv = (sys.executable, "-m", "otel_codomon", "top", "-i", "0.1", *more)
    return Terminal(argv, env=environment(folder))


def test_keys_filter_open_and_leave(writer: Writer, tmp_path: Path) -> None:
    with top(tmp_path, "--sort", "name") as terminal:
        terminal.wait_for(b"crawler")
        terminal.type(DOWN_KEY + b"\r")
        terminal.wait_for(b"thumbnail (command): running")
        terminal.type(b"x/craw")
        terminal.wait_for(b"1 matching 'craw'")
        add(writer, Past(name="worker", ago_seconds=3, outcome=Outcome.OOM_KILLED))
        terminal.wait_for(b"out of memory")
        terminal.type(b"\rq")
        assert terminal.shell_says() == "ended 0"


def test_the_terminal_is_put_back_however_it_ends(writer: Writer, tmp_path: Path) -> None:
    del writer
    argv = "import os, subprocess, sys, termios\n"
    argv += "before = termios.tcgetattr(0)\n"
    argv += "done = subprocess.run([sys.executable, '-m', 'otel_codomon', 'top', '-i', '0.1'])\n"
    argv += "print('same' if termios.tcgetattr(0) == before else 'changed', done.returncode)\n"
    for keys, code in ((b"q", 0), (b"\x03", 0)):
        program = "import signal; signal.signal(signal.SIGINT, lambda *_: None)\n" + argv
        with Terminal((sys.executable, "-c", program), env=environment(tmp_path)) as terminal:
            terminal.wait_for(b"q quit")
            terminal.type(keys)
            terminal.wait_for(b"\x1b[?1049l")  # the screen as it was before
            terminal.wait_for(b"same %d" % code)
            assert terminal.shell_says() == "ended 0"


def test_a_termination_puts_the_terminal_back_and_is_the_exit_code(
    writer: Writer, tmp_path: Path
) -> None:
    del writer
    program = "import os, sys; print('pid', os.getpid(), flush=True)\n"
    program += "os.execv(sys.executable, [sys.executable, '-m', 'otel_codomon', 'top'])"
    with Terminal((sys.executable, "-c", program), env=environment(tmp_path)) as terminal:
        terminal.wait_for(b"pid ")
        terminal.wait_for(b"q quit")
        (pid,) = _tops(tmp_path)
        os.kill(pid, signal.SIGTERM)
        terminal.wait_for(b"\x1b[?1049l")
        assert terminal.shell_says() == "ended 143"


def _tops(folder: Path) -> list[int]:
    """The processes of `top` that look at the journal in *folder*."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes()
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if os.fsencode(folder) in variables and words[3:4] == [b"top"]:
            found.append(int(process.name))
    return found


def test_stopped_it_leaves_the_terminal_and_goes_on_when_continued(
    writer: Writer, tmp_path: Path
) -> None:
    del writer
    with top(tmp_path) as terminal:
        for _ in range(20):
            terminal.wait_for(b"q quit")  # it may still be in the middle of writing this
            terminal.type(b"\x1a")
            terminal.wait_for(b"\x1b[?1049l")
            assert terminal.shell_says() == f"stopped {signal.SIGTSTP:d}"
            terminal.continue_job()
            assert terminal.shell_says() == "continued"
        terminal.wait_for(b"q quit")
        terminal.type(b"q")
        terminal.wait_for(b"\x1b[?1049l")
        assert terminal.shell_says() == "ended 0"


def test_without_a_terminal_it_prints_once(writer: Writer, tmp_path: Path) -> None:
    del writer

    done = typed("top", "-i", "0.1", "--journal", str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert "2 executions running, by memory" in done.stdout
    assert "64 GiB" in done.stdout
    assert "\x1b" not in done.stdout
    assert "q quit" not in done.stdout


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_without_colour_there_is_none_at_any_width(
    writer: Writer, tmp_path: Path, columns: int
) -> None:
    del writer

    code, written = typed_on_terminal(
        *("monitor-stats", "cpu", "-i", "0.1", "--duration", "0.2", "--journal", str(tmp_path)),
        columns=columns,
        env={**clean_environment(), "NO_COLOR": "1"},
    )

    assert code == 0
    assert "thumb" in written
    assert "\x1b[31m" not in written
    assert "\x1b[32m" not in written
