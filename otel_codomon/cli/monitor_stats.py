"""``otel-codomon monitor-stats``: the host and the running executions, live."""

from __future__ import annotations

import math
import os
import sys
import time
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.json_values import as_json
from otel_codomon._platform.quantities import in_seconds
from otel_codomon.cli import options, output, stats_display
from otel_codomon.cli.progress import Progress
from otel_codomon.cli.sizes import size_bytes
from otel_codomon.errors import CodomonError
from otel_codomon.host.operation import WHAT
from otel_codomon.live.operation import UNITS, Monitor, Threshold
from otel_codomon.report.history import make_history

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping

    from otel_codomon.live.operation import Stats
    from otel_codomon.report.history import History

HELP: str = "show live statistics of the host and of running executions"
EXAMPLES: str = """\
otel-codomon monitor-stats
otel-codomon monitor-stats memory --interval 0.5 --duration 10
otel-codomon monitor-stats --threshold memory=90% --threshold execution.memory=1G
otel-codomon monitor-stats --since 1h --duration 0 --output-file stats.jsonl
"""

# What a threshold that is crossed makes of the exit code.
CROSSED: Final = 3
DEFAULT_SECONDS: Final = 60.0


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """What to sample, how often, for how long, and where to put it."""
    parser.add_argument(
        "what",
        nargs="?",
        choices=(*WHAT, "all"),
        default="all",
        help="which host figures to show (default: %(default)s)",
    )
    options.add_interval(parser)
    parser.add_argument(
        "--duration",
        type=options.seconds_or_unlimited,
        default=DEFAULT_SECONDS,
        metavar="SECONDS",
        help="how long to run; 0 means until interrupted (default: %(default)s)",
    )
    parser.add_argument("--name", help="only executions with this name; * matches anything")
    parser.add_argument(
        "--threshold",
        type=threshold,
        action="append",
        default=[],
        metavar="FIGURE=LIMIT",
        help=f"warn when one of {', '.join(UNITS)} reaches its limit, such as memory=90%% or "
        f"execution.memory=1G, and exit with {CROSSED} at the end; repeatable",
    )
    options.add_since(
        parser, help_line="first show what executions have used since TIME, such as 1h"
    )
    parser.add_argument(
        "-o", "--output-file", metavar="FILE", help="append one JSON object per sample to FILE"
    )
    options.add_journal(parser)
    parser.add_argument(
        "--format",
        choices=("text", "jsonl"),
        help="output format (default: text on a terminal, jsonl elsewhere)",
    )
    options.add_verbose(parser)


def threshold(text: str, /) -> Threshold:
    """A threshold as ``memory=90%``, ``executions=100`` or ``execution.memory=1G``.

    Raises:
        argparse.ArgumentTypeError: It is not written like that.
    """
    figure, equals, limit = text.partition("=")
    unit = UNITS.get(figure)
    if unit is None or not equals:
        raise options.refusal(
            f"invalid threshold {text!r:.60}: use FIGURE=LIMIT, with one of {', '.join(UNITS)}"
        )
    read, wanted = _LIMITS[unit]
    try:
        return Threshold(figure=figure, limit=read(limit))
    except ValueError:
        raise options.refusal(
            f"invalid threshold {text!r:.60}: the limit of {figure} must be {wanted}"
        ) from None


def _share(text: str) -> float:
    if not text.endswith("%"):
        raise ValueError("not a percentage")
    return _count(text.removesuffix("%")) / 100


def _count(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or number < 0:
        raise ValueError("not a number that can be reached")
    return number


# By the unit of a figure: how its limit is read, and what would be one.
_LIMITS: Final[Mapping[str, tuple[Callable[[str], float], str]]] = {
    "share": (_share, "a percentage, such as 90%"),
    "count": (_count, "a number, such as 100"),
    "bytes": (size_bytes, "a size, such as 512M or 1.5G"),
}


def run(args: argparse.Namespace, /) -> int:
    """Sample until the time is over; 3 when a threshold was crossed, otherwise 0."""
    monitor = Monitor(
        journal=args.journal,
        what=WHAT if args.what == "all" else (args.what,),
        name=args.name,
        thresholds=tuple(args.threshold),
        with_processes=args.verbose,
    )
    display = _DISPLAYS[args.format or _usual_form()]
    crossed = False
    with ExitStack() as stack:
        stack.callback(monitor.close)
        write = _file_writer(args.output_file, stack)
        show = stack.enter_context(display(_history(args, monitor), monitor, verbose=args.verbose))
        try:
            for stats in samples(monitor, interval=args.interval, duration=args.duration):
                write(stats)
                show(stats)
                crossed = crossed or bool(stats.alerts)
        except KeyboardInterrupt:  # the way to end a run without a limit
            pass
    return CROSSED if crossed else 0


def _usual_form() -> str:
    return "text" if output.is_terminal() else "jsonl"


def samples(monitor: Monitor, *, interval: float, duration: float) -> Iterator[Stats]:
    """Sample every *interval* seconds for *duration* seconds, at least once.

    One more sample, before the first, makes the first rates. Instants are
    multiples of the interval from there, so that the time a sample takes does
    not add up.
    """
    begin = time.monotonic()
    monitor.look()
    for at in count(1):
        instant = min(at * interval, duration)
        time.sleep(max(0.0, begin + instant - time.monotonic()))
        yield monitor.look()
        if (at + 1) * interval > duration:
            return


def _history(args: argparse.Namespace, monitor: Monitor) -> History | None:
    if args.since is None:
        return None
    if (args.format or _usual_form()) == "jsonl":  # at once: reading a long journal takes seconds
        output.write_json_line(monitor.look())
    else:
        output.print_line(f"{monitor.journal}: the last {in_seconds(args.since)}")
        sys.stdout.flush()
    with Progress("executions read") as progress:
        return make_history(
            journal=args.journal, since_seconds=args.since, name=args.name, on_progress=progress
        )


_DISPLAYS: Final = {"jsonl": stats_display.lines, "text": stats_display.text}


def _file_writer(path: str | None, stack: ExitStack) -> Callable[[Stats], None]:
    """What appends a sample to the file: one write for each line, so that there are whole lines."""
    if path is None:
        return lambda _: None
    import json  # noqa: PLC0415 - only where there is a file

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise CodomonError(
            f"cannot write samples to {path}: {error.strerror}; choose a file you can write"
        ) from error
    stack.callback(os.close, descriptor)

    def write(stats: Stats) -> None:
        os.write(descriptor, json.dumps(as_json(stats)).encode() + b"\n")

    return write
