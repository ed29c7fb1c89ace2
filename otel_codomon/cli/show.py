"""``otel-codomon show ID``: everything about one execution, with its curve."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon._platform.printable import printable
from otel_codomon._platform.quantities import (
    in_bytes,
    in_number,
    in_percent,
    in_seconds,
    write_quantity,
)
from otel_codomon.cli import options, output
from otel_codomon.cli.drawing import draw_curve
from otel_codomon.cli.list_executions import local_time, outcome_words
from otel_codomon.report.executions import show_execution

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping

    from otel_codomon.report.execution_lines import ExecutionLine
    from otel_codomon.report.executions import ExecutionDetail
    from otel_codomon.resources.usage import Curve

HELP: str = "show one execution, with its curve"
EXAMPLES: str = """\
otel-codomon show 3f2a
otel-codomon show 3f2a --format json
"""

# What the picture and the lines above it show already.
_SHOWN_ABOVE = frozenset(
    {
        names.EXECUTION_ID,
        names.EXECUTION_NAME,
        names.EXECUTION_KIND,
        names.EXECUTION_OUTCOME,
        names.USAGE_CURVE_TIME,
        names.USAGE_CURVE_CPU,
        names.USAGE_CURVE_MEMORY,
    }
)


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """Which execution, and in which form."""
    parser.add_argument("id", help="execution id, trace id or span id, or the first digits of one")
    options.add_journal(parser)
    options.add_format(parser, formats=("text", "json"))
    options.add_verbose(parser)


def run(args: argparse.Namespace, /) -> int:
    """Print it; an unknown id is an error."""
    found = show_execution(args.id, journal=args.journal)
    if args.format == "json":
        output.write_json(found)
        return 0
    for line in _lines(found, verbose=args.verbose):
        output.say(line)
    return 0


def page(execution_id: str, *, journal: str | None = None) -> list[str]:
    """What is shown of one execution, as lines that are safe to show.

    Raises:
        CodomonError: There is none of this id, or no journal.
    """
    found = show_execution(execution_id, journal=journal)
    return [printable(line) for line in _lines(found, verbose=False)]


def _lines(found: ExecutionDetail, *, verbose: bool) -> Iterator[str]:
    line = found.line
    yield f"{line.name} ({line.kind}): {line.cause or outcome_words(line.outcome)}"
    rows = [
        ("execution", line.execution_id),
        ("trace", f"{line.trace_id} span {line.span_id}"),
        ("parent", line.parent_span_id or "none: it is a root"),
        ("outcome", outcome_words(line.outcome)),
        ("started", local_time(line.started_unix_ns)),
        ("duration", _duration(line)),
        *_limits(found),
        ("observed by", f"process {found.host_pid}" if found.host_pid else "-"),
        *_used(found.usage),
    ]
    yield from _aligned(rows)
    if line.curve is not None:
        yield from _pictures(line.curve, line.duration_seconds)
    shown = {
        key: value
        for key, value in found.attributes.items()
        if key not in _SHOWN_ABOVE and (verbose or not key.startswith("codomon.usage."))
    }
    if shown:
        yield ""
        yield "attributes"
        yield from _aligned([(key, str(value)) for key, value in shown.items()])


def _duration(line: ExecutionLine) -> str:
    if line.outcome is not None:
        return in_seconds(line.duration_seconds)
    return f"{in_seconds(max(0.0, time.time() - line.started_unix_ns / 1e9))} so far"


# By the attribute of a limit: what it limits, the figure to compare, how both are written.
_LIMITS: Final[Mapping[str, tuple[str, str, Callable[[float | None], str]]]] = {
    names.EXECUTION_TIMEOUT: ("timeout used", "duration_seconds", in_seconds),
    names.LIMIT_CPU: ("CPU limit used", "cpu_seconds", in_seconds),
    names.LIMIT_MEMORY: ("memory limit used", "peak_memory_bytes", in_bytes),
    names.LIMIT_PROCESSES: ("process limit used", "processes", in_number),
}


def _limits(found: ExecutionDetail) -> Iterator[tuple[str, str]]:
    """The use of each limit, beside it: ``512 MiB of 512 MiB (100 %)``."""
    used = {**found.usage, "duration_seconds": found.line.duration_seconds}
    for key, (label, figure, write) in _LIMITS.items():
        limit, value = found.attributes.get(key), used.get(figure)
        if isinstance(limit, (int, float)) and isinstance(value, (int, float)) and limit > 0:
            share = in_percent(round(value / limit, 2))
            yield label, f"{share} ({write(value)} of {write(limit)})"


# Figures whose names do not say all that a reader needs: the label, and the words
# around the value by the source of the figures (None: any other).
_IN_WORDS: Final[Mapping[str, tuple[str, Mapping[str | None, str]]]] = {
    "source": ("measured by", {None: "{}"}),
    "processes": ("processes", {None: "at least {}"}),
    "peak_memory_bytes": (
        "peak memory",
        {"cgroup": "{}, page cache not counted", None: "{}, resident in memory"},
    ),
    "peak_memory_upper_bytes": (
        "peak memory below",
        {"cgroup": "{}, page cache counted", None: "{}, the sum of peaks of its processes"},
    ),
    "peak_cache_bytes": ("peak page cache", {None: "{}"}),
    "is_final": ("final", {None: "{}: the last sample stands"}),
}
_UNITS = ("_bytes", "_seconds")


def _used(usage: Mapping[str, float | str]) -> Iterator[tuple[str, str]]:
    """Label and value of each figure; the value has the unit, so the label needs none."""
    for name, value in usage.items():
        plain = next((name.removesuffix(unit) for unit in _UNITS if name.endswith(unit)), name)
        label, words = _IN_WORDS.get(name, (plain.replace("_", " "), {None: "{}"}))
        text = words.get(str(usage.get("source")), words[None])
        yield label.replace("cpu", "CPU"), text.format(write_quantity(name, value))


def _aligned(rows: list[tuple[str, str]]) -> Iterator[str]:
    shown = [(printable(key), value) for key, value in rows]
    width = max(len(key) for key, _ in shown)
    for key, value in shown:
        yield f"  {key.ljust(width)}  {value}"


def _pictures(curve: Curve, end_seconds: float | None) -> Iterator[str]:
    is_unicode = output.speaks_unicode()
    for title, values, write in (
        ("cores in use", curve.cores, in_number),
        ("memory in use", curve.memory_bytes, in_bytes),
    ):
        yield ""
        yield title
        yield from draw_curve(
            curve.seconds, values, write=write, end_seconds=end_seconds, is_unicode=is_unicode
        )
