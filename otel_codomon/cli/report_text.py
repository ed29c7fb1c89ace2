"""How `otel-codomon report` prints for people: the answer first, then what was asked for."""

from __future__ import annotations

import shlex
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.printable import printable
from otel_codomon._platform.quantities import (
    in_bytes,
    in_words,
    write_quantity,
)
from otel_codomon._platform.relative_times import in_age
from otel_codomon.cli import output
from otel_codomon.cli.report_tables import print_all
from otel_codomon.cli.wrapping import print_wrapped, screen_width
from otel_codomon.report.brief import rule_words, verdict
from otel_codomon.report.findings import Severity
from otel_codomon.report.short_ids import short_id
from otel_codomon.report.values import Slot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otel_codomon.report.execution_lines import ExampleLine
    from otel_codomon.report.problems import Problem
    from otel_codomon.report.values import Report

SHOWN: Final = 5
_STYLES: Final = {Severity.HIGH: "red", Severity.MEDIUM: "yellow", Severity.LOW: "cyan"}
_INDENT: Final = "   "
_CURVE_WIDTH: Final = 20
_WIDE: Final = 200
_NARROW: Final = 72
# Of the height of a bar: the second lowest of eight.
_LEAST_SEEN: Final = 0.2


# --- text ---


def print_text(report: Report, *, verbose: bool, journal: str | None) -> None:
    """Print the answer.

    Args:
        report: What was found.
        verbose: Print everything that it rests on as well.
        journal: The journal that was named, for the next steps; None for the default.
    """
    print_wrapped(verdict(report))
    if report.executions:
        output.print_line(_strip(report))
    for line in notes(report):
        print_wrapped(line)
    shown = report.problems if verbose else report.problems[:SHOWN]
    examples = {one.line.execution_id: one for one in report.examples}
    for number, problem in enumerate(shown, 1):
        output.print_line("")
        _print_problem(number, problem, examples.get(problem.example or ""), report.until_unix_ns)
        _print_step(problem, journal)
    _print_rest(report.problems[len(shown) :])
    _print_caches(report)
    if verbose:
        print_all(report)


def notes(report: Report) -> Iterator[str]:
    """What else is to be known of it, a line each."""
    if report.running:
        yield f"{report.running:,} still running"
    if report.unreadable:
        count = in_words(report.unreadable, "record", "records")
        yield f"{count} of the journal could not be read: see `otel-codomon doctor`"


def _strip(report: Report) -> str:
    """Outcomes over time: a low bar where all succeeded, a higher one where more failed."""
    width = screen_width()
    slots = list(report.timeline)
    if width is not None and width < _NARROW:
        slots = [_merged(pair) for pair in zip(slots[::2], slots[1::2], strict=True)]
    seconds = (report.until_unix_ns - report.since_unix_ns) / 1e9
    bars = output.spark(list(map(_height, slots)), top=1.0, width=len(slots))
    line = f"{in_age(seconds)} {bars} now"
    return line if len(slots) < len(report.timeline) else f"failures: {line}"


def _height(slot: Slot) -> float | None:
    """Share that failed; a single failure is seen as well."""
    if not slot.executions:
        return None
    return max(_LEAST_SEEN, slot.failures / slot.executions) if slot.failures else 0.0


def _merged(slots: Iterable[Slot]) -> Slot:
    first, *more = slots
    return Slot(
        started_unix_ns=first.started_unix_ns,
        executions=first.executions + sum(slot.executions for slot in more),
        failures=first.failures + sum(slot.failures for slot in more),
    )


def _print_problem(
    number: int, problem: Problem, example: ExampleLine | None, now_unix_ns: int
) -> None:
    print_wrapped(
        f"{problem.name}: {problem.message}",
        first=f"{number}. ",
        indent=_INDENT,
        style=_STYLES[problem.severity],
    )
    for line in _facts(problem, example, now_unix_ns):
        print_wrapped(line, first=_INDENT, indent=_INDENT)
    if example is not None and (curve := _curve(example)):
        output.print_line(_INDENT + curve)
    for line in problem.also:
        print_wrapped(f"also: {line}", first=_INDENT, indent=_INDENT)
    print_wrapped(f"advice: {problem.advice}{recommended(problem)}", first=_INDENT, indent=_INDENT)


def _print_step(problem: Problem, journal: str | None) -> None:
    """The next step on one line, to be pasted; with its journal where that fits."""
    line, width = f"{_INDENT}$ {problem.next_step}", screen_width()
    whole = _with_journal(line, journal)
    output.print_line(whole if width is None or len(printable(whole)) <= width else line)


def _with_journal(step: str, journal: str | None) -> str:
    return step if journal is None else f"{step} --journal {shlex.quote(journal)}"


def _facts(problem: Problem, example: ExampleLine | None, now_unix_ns: int) -> Iterator[str]:
    ran = in_words(problem.affected, "execution", "executions")
    first, last = (_age(at, now_unix_ns) for at in (problem.first_unix_ns, problem.last_unix_ns))
    yield ran + _since(first, last)
    if example is not None:
        line = example.line
        cause = f": {line.cause}" if line.cause else ""
        yield (
            f"example: {short_id(line.execution_id)}, "
            f"{_age(line.started_unix_ns, now_unix_ns)}{cause}"
        )


def _since(first: str | None, last: str | None) -> str:
    if first is None or last is None:
        return ""
    return f", {first}" if first == last else f", first {first}, last {last}"


def _age(unix_ns: int | None, now_unix_ns: int) -> str | None:
    return None if unix_ns is None else in_age(max(0, now_unix_ns - unix_ns) / 1e9)


def _curve(example: ExampleLine) -> str:
    """Its memory in use over time, up to the most a sample saw, against its limit."""
    curve, limit = example.line.curve, example.memory_limit_bytes
    if curve is None or not curve.memory_bytes:
        return ""
    use = f" {in_bytes(max(curve.memory_bytes))}"
    use += f" of {in_bytes(limit)}" if limit is not None else ""
    room = (screen_width() or _WIDE) - len(f"{_INDENT}memory in use {use}")
    step = max(1, -(-len(curve.memory_bytes) // max(1, min(room, _CURVE_WIDTH))))
    bars = output.spark(curve.memory_bytes[::-step][::-1], top=limit, width=_CURVE_WIDTH)
    return f"memory in use {bars}{use}"


def recommended(problem: Problem) -> str:
    """The limits that would fit, as the end of a sentence."""
    limits = [
        f"{name.rsplit('_', 1)[0]} {write_quantity(name, value)}"
        for name, value in problem.recommended.items()
    ]
    return f"; a limit that would fit: {', '.join(limits)}" if limits else ""


def _print_rest(problems: Sequence[Problem]) -> None:
    if problems:
        named = ", ".join(f"{one.name} ({rule_words(one.rule)})" for one in problems)
        output.print_line("")
        print_wrapped(f"and {len(problems)} more: {named}; see them with -v")


def _print_caches(report: Report) -> None:
    for cache in report.caches:
        output.print_line("")
        print_wrapped(f"cache {cache.name} of process {cache.pid} {cache.message}")
        print_wrapped(f"advice: {cache.advice}", first=_INDENT, indent=_INDENT)


# --- markdown ---

_MARKS: Final = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>#|~"})


def print_markdown(report: Report, *, verbose: bool, journal: str | None) -> None:
    """Print the problems as a task list."""
    output.print_line(_plain(verdict(report)))
    shown = report.problems if verbose else report.problems[:SHOWN]
    if shown or report.caches:
        output.print_line("")
    for problem in shown:
        output.print_line(_task(problem, journal))
    for cache in report.caches:
        said = f"cache {cache.name} of process {cache.pid} {cache.message}"
        output.print_line(f"- [ ] {_plain(said)}. {_plain(_sentence(cache.advice))}.")


def _task(problem: Problem, journal: str | None) -> str:
    since = "" if problem.first_unix_ns is None else f" Since {_utc(problem.first_unix_ns)}."
    advice = _plain(_sentence(problem.advice + recommended(problem)))
    step = _with_journal(problem.next_step, journal)
    fence = "``" if "`" in step else "`"
    return (
        f"- [ ] **{_plain(problem.name)}**: {_plain(problem.message)}.{since} "
        f"{advice}. See {fence}{step}{fence}"
    )


def _plain(text: str) -> str:
    return text.translate(_MARKS)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _utc(unix_ns: int) -> str:
    try:
        at = datetime.fromtimestamp(unix_ns / 1e9, tz=timezone.utc)
    except (OverflowError, ValueError, OSError):
        return "an unknown time"
    return at.strftime("%Y-%m-%d %H:%M UTC")
