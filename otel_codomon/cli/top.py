"""``otel-codomon top``: the executions that run now, refreshed in place."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.printable import printable
from otel_codomon.cli import options, output, show
from otel_codomon.cli.live_screen import as_text, lines_of
from otel_codomon.cli.top_screen import Part
from otel_codomon.cli.top_state import SCROLL, SORT_NAMES, View, arranged, press
from otel_codomon.errors import CodomonError
from otel_codomon.live.operation import Monitor

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from types import FrameType


HELP: str = "show the running executions, live"
EXAMPLES: str = """\
otel-codomon top
otel-codomon top --sort cpu
otel-codomon top --name 'thumb*' --interval 0.5
"""

_TERMINATED: Final = 128 + signal.SIGTERM
_STOP: Final = {signal.SIGTSTP}


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """What to show first, how often to look."""
    parser.add_argument(
        "--sort",
        choices=SORT_NAMES,
        default=View().sort,
        help="sort by this, largest first (default: %(default)s)",
    )
    parser.add_argument(
        "--name", default="", help="only executions with this in their name; * matches anything"
    )
    options.add_interval(parser)
    options.add_journal(parser)
    options.add_verbose(parser)


def run(args: argparse.Namespace, /) -> int:
    """Show them until ``q``; once where stdin or stdout is no terminal."""
    monitor = Monitor(journal=args.journal)
    view = View(sort=args.sort, wanted=args.name)
    try:
        if not (output.is_terminal() and sys.stdin.isatty() and output.can_move()):
            _print_once(monitor, view, args.interval)
            return 0
        return _Top(monitor, view, args).run()
    finally:
        monitor.close()


def _print_once(monitor: Monitor, view: View, interval: float) -> None:
    """One look, from two: it takes two to know how many cores are in use."""
    monitor.look()
    time.sleep(interval)
    for line in lines_of(monitor, monitor.look(), view, has_keys=False, height=None):
        output.print_line("".join(part.text for part in line))


class _Terminated(BaseException):
    """SIGTERM: the terminal is put back, and the exit code tells."""


class _Stopped(BaseException):
    """Ctrl-Z: only raised while a key is waited for, never while the screen is drawn."""


class _Top:
    """The loop: a look at every interval, a new picture after each key."""

    def __init__(self, monitor: Monitor, view: View, args: argparse.Namespace) -> None:
        from otel_codomon.cli.keyboard import Keyboard  # noqa: PLC0415 - where there are keys

        self._monitor = monitor
        self._view = view
        self._args = args
        self._keyboard = Keyboard()
        self._console = output.make_console()
        self._stats = monitor.look()

    def run(self) -> int:
        """Until ``q``, Ctrl-C, or the end of the terminal."""
        try:
            with _signals(), self._on_screen():
                self._loop()
        except KeyboardInterrupt:
            return 0
        except _Terminated:
            return _TERMINATED
        return 0

    @contextmanager
    def _on_screen(self) -> Iterator[None]:
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        from rich.live import Live  # noqa: PLC0415 - as `output.make_console`

        self._keyboard.open()
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _leave(self) -> None:
        self._live.stop()
        self._keyboard.close()

    def _loop(self) -> None:
        due = time.monotonic() + self._args.interval
        while not self._view.is_over:
            self._draw()
            key = self._key(due)
            if key is None:
                return
            if key:
                self._press(key)
            if time.monotonic() >= due:
                self._stats = self._monitor.look()
                due = time.monotonic() + self._args.interval

    def _press(self, key: str) -> None:
        rows = arranged(self._view, self._stats.executions)
        self._view = press(self._view, key, [one.execution_id for one in rows])
        if self._view.opened is not None:
            self._open(self._view.opened)
            self._view = replace(self._view, opened=None)

    def _draw(self) -> None:
        height = shutil.get_terminal_size().lines
        lines = lines_of(self._monitor, self._stats, self._view, has_keys=True, height=height)
        self._live.update(as_text(lines), refresh=True)

    def _open(self, execution_id: str) -> None:
        """The page of one execution, until a key that does not move it is pressed."""
        try:
            page = show.page(execution_id, journal=self._args.journal)
        except CodomonError as error:  # it has not been written yet, or is gone
            page = [printable(str(error))]
        top, key = 0, ""
        while key in ("", *SCROLL):
            height = max(1, shutil.get_terminal_size().lines - 1)
            top = min(max(0, top + SCROLL.get(key, 0)), max(0, len(page) - height))
            lines = [[Part(line)] for line in page[top : top + height]]
            lines.append([Part("up and down scroll, any other key goes back", "dim")])
            self._live.update(as_text(lines), refresh=True)
            found = self._key(time.monotonic() + self._args.interval)
            if found is None:
                return  # the loop finds that the terminal is gone, too
            key = found

    def _key(self, until: float) -> str | None:
        """As `Keyboard.key`; Ctrl-Z is answered here, and nowhere else."""
        try:
            try:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)
                return self._keyboard.key(until)
            finally:
                signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
        except _Stopped:
            self._suspend()
            return ""

    def _suspend(self) -> None:
        """Leave the terminal as it was until the shell continues us."""
        self._leave()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)  # we stop here
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
        # Continued: `fg` has given the terminal back.
        signal.signal(signal.SIGTSTP, handler)
        self._enter()


@contextmanager
def _signals() -> Iterator[None]:
    """Have SIGTERM and Ctrl-Z leave the terminal as it was; Ctrl-Z waits until it is let in."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise _Terminated

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Stopped

    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, terminate),
        signal.SIGTSTP: signal.signal(signal.SIGTSTP, stop),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
