"""``otel-codomon show ID``: everything about one execution, with its curve."""

from __future__ import annotations

import re
import shlex
import time
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon._platform.printable import printable
from otel_codomon._platform.quantities import (
    in_bytes,
    in_number,
    in_percent,
    in_seconds,
    in_words,
    write_quantity,
)
from otel_codomon._platform.relative_times import in_age
from otel_codomon.cli import options, output
from otel_codomon.cli.answering import add_answer_options
from otel_codomon.cli.drawing import draw_curve
from otel_codomon.cli.list_executions import local_time, outcome_words
from otel_codomon.cli.wrapping import print_wrapped, screen_width
from otel_codomon.report.cause import alike_words
from otel_codomon.report.executions import show_execution
from otel_codomon.report.short_ids import short_id

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

_DAY_SECONDS: Final = 86400
_CHILDREN: Final = 20
_OUTPUT_LINES: Final = 20
_LINE_CHARACTERS: Final = 500
# A label and the blanks after it: where its value begins.
_ROW: Final = re.compile(r"  \S.*?  +(?=\S)")
_FARTHEST: Final = 30
_STEP: Final = 4
# Columns of a picture, and of the scale beside it.
_WIDTH: Final = 60
_LEAST_WIDTH: Final = 10
_MARGIN: Final = 20
# What the picture and the lines above it show already.
_SHOWN_ABOVE: Final = frozenset(
    {
        names.EXECUTION_ID,
        names.EXECUTION_NAME,
        names.EXECUTION_KIND,
        names.EXECUTION_OUTCOME,
        names.EXECUTION_TIMEOUT,
    }
)
_SHOWN_ABOVE_AS: Final = ("codomon.usage.", "codomon.execution.limit.")


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """Which execution, and in which form."""
    parser.add_argument("id", help="execution id, trace id or span id, or the first digits of one")
    options.add_journal(parser)
    options.add_format(parser, formats=("text", "json"))
    options.add_verbose(parser)
    add_answer_options(parser)


def run(args: argparse.Namespace, /) -> int:
    """Print it; an unknown id is an error."""
    found = show_execution(args.id, journal=args.journal)
    if args.format == "json":
        output.write_json(found)
        return 0
    for line in _lines(found, verbose=args.verbose):
        print_wrapped(line, indent=_hang(line))
    return 0


def _hang(line: str) -> str:
    """What goes before the rest of a long line: the column of its value, or a step in."""
    row = _ROW.match(line)
    return " " * (_STEP if row is None or row.end() > _FARTHEST else row.end())


def page(execution_id: str, *, journal: str | None = None) -> list[str]:
    """What is shown of one execution, as lines that are safe to show.

    Raises:
        CodomonError: There is none of this id, or no journal.
    """
    found = show_execution(execution_id, journal=journal)
    return [printable(line) for line in _lines(found, verbose=False)]


def _lines(found: ExecutionDetail, *, verbose: bool) -> Iterator[str]:
    line = found.line
    cause = line.cause or outcome_words(line.outcome)
    if found.alike is not None:
        cause += f"; {alike_words(found.alike, _clock)}"
    yield f"{line.name} ({line.kind}): {cause}"
    rows = [
        ("execution", line.execution_id),
        ("command", "" if found.command is None else shlex.join(found.command)),
        ("outcome", outcome_words(line.outcome)),
        ("started", f"{local_time(line.started_unix_ns)}, {_age(line.started_unix_ns)}"),
        ("duration", _duration(line)),
        *_limits(found),
        *_used(found.usage, verbose=verbose),
        ("trace", f"{line.trace_id} span {line.span_id}"),
    ]
    if verbose:
        rows += [
            ("parent", line.parent_span_id or "none (a root span)"),
            ("observed by", f"process {found.host_pid}" if found.host_pid else ""),
        ]
    yield from _aligned([(key, value) for key, value in rows if value])
    yield from _children(found)
    yield from _output(found, verbose=verbose)
    if line.curve is not None:
        yield from _pictures(line.curve, line.duration_seconds, found.attributes)
    shown = {
        key: value
        for key, value in found.attributes.items()
        if verbose or not (key in _SHOWN_ABOVE or key.startswith(_SHOWN_ABOVE_AS))
    }
    if shown:
        yield ""
        yield "attributes"
        yield from _aligned([(key, str(value)) for key, value in shown.items()])


def _children(found: ExecutionDetail) -> Iterator[str]:
    """The executions within it, a line each."""
    if not found.children:
        return
    yield ""
    yield f"{in_words(len(found.children), 'execution', 'executions')} within it"
    rows = [
        (f"{short_id(one.execution_id)}  {one.name}", _how(one))
        for one in found.children[:_CHILDREN]
    ]
    yield from _aligned(rows)
    if len(found.children) > _CHILDREN:
        yield f"  and {len(found.children) - _CHILDREN:,} more"


def _output(found: ExecutionDetail, *, verbose: bool) -> Iterator[str]:
    """The last lines of what it wrote, where they are in the journal."""
    if not found.output:
        return
    shown = found.output if verbose else found.output[-_OUTPUT_LINES:]
    earlier = (found.output_lines or 0) - len(shown)
    yield ""
    yield "output" + (
        f", after {in_words(earlier, 'earlier line', 'earlier lines')}" if earlier else ""
    )
    for line in shown:
        text = (
            line.text if len(line.text) <= _LINE_CHARACTERS else line.text[:_LINE_CHARACTERS] + "…"
        )
        yield f"  {line.stream}  {text}"


def _how(one: ExecutionLine) -> str:
    return f"{one.cause or outcome_words(one.outcome)}, {in_seconds(one.duration_seconds)}"


def _age(unix_ns: int) -> str:
    return in_age(max(0.0, time.time() - unix_ns / 1e9))


def _clock(unix_ns: int) -> str:
    """A time of the last 24 hours without its date."""
    text = local_time(unix_ns)
    is_recent = time.time() - unix_ns / 1e9 < _DAY_SECONDS
    return text.partition(" ")[2].rpartition(":")[0] if is_recent else text


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
            least = "at least " if figure == "processes" else ""  # that samples saw
            yield label, f"{least}{share} ({write(value)} of {write(limit)})"


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
# The figures that a first look needs; the rest are shown with -v.
_FIGURES: Final = frozenset(
    {
        "cpu_seconds",
        "peak_memory_bytes",
        "peak_memory_upper_bytes",
        "disk_read_bytes",
        "disk_write_bytes",
        "processes",
        "is_final",
        "absent_reason",
        "source",
    }
)


def _used(usage: Mapping[str, float | str], *, verbose: bool) -> Iterator[tuple[str, str]]:
    """Label and value of each figure; the value has the unit, so the label needs none."""
    for name, value in usage.items():
        if not verbose and name not in _FIGURES:
            continue
        plain = next((name.removesuffix(unit) for unit in _UNITS if name.endswith(unit)), name)
        label, words = _IN_WORDS.get(name, (plain.replace("_", " "), {None: "{}"}))
        text = words.get(str(usage.get("source")), words[None])
        yield label.replace("cpu", "CPU"), text.format(write_quantity(name, value))


def _aligned(rows: list[tuple[str, str]]) -> Iterator[str]:
    shown = [(printable(key), value) for key, value in rows]
    width = max(len(key) for key, _ in shown)
    for key, value in shown:
        yield f"  {key.ljust(width)}  {value}"


def _pictures(
    curve: Curve, end_seconds: float | None, attributes: Mapping[str, object]
) -> Iterator[str]:
    is_unicode, columns = output.speaks_unicode(), screen_width()
    limit = attributes.get(names.LIMIT_MEMORY)
    for title, values, write, most in (
        ("memory in use", curve.memory_bytes, in_bytes, limit),
        ("cores in use", curve.cores, in_number, None),
    ):
        if not any(values):
            continue
        yield ""
        yield title
        yield from draw_curve(
            curve.seconds,
            values,
            write=write,
            end_seconds=end_seconds,
            width=_WIDTH if columns is None else max(_LEAST_WIDTH, min(_WIDTH, columns - _MARGIN)),
            is_unicode=is_unicode,
            limit=most if isinstance(most, (int, float)) else None,
        )
