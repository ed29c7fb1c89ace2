"""The answer to a question about executions in a few kilobytes, for readers with a budget. Pure.

A language model pays for every character, so what does not fit is left out from
the end, where it matters least, and the answer says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from otel_codomon._platform.json_values import as_json, iso_time
from otel_codomon._platform.quantities import in_seconds, in_words
from otel_codomon._platform.relative_times import in_age
from otel_codomon.report.cause import alike_words
from otel_codomon.report.execution_lines import ExecutionLine
from otel_codomon.report.short_ids import short_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_codomon.report.executions import ExecutionDetail
    from otel_codomon.report.problems import Problem
    from otel_codomon.report.values import CacheProblem, Group, Report

# With what is around it, an answer is less than 6 KiB.
MAX_BYTES: Final = 5900
PROBLEMS: Final = 5
_NAMES: Final = 10
_FEWEST_NAMES: Final = 2
# As wide as a number of records can be.
_MOST_UNREADABLE: Final = 10**12
_LONGEST_NAME: Final = 60
_LONGEST_TEXT: Final = 200
_NOT_FAILED: Final = frozenset({"success", "unknown", "cancelled"})


# --- words that every form of a report shares ---


def verdict(report: Report) -> str:
    """The answer in one line."""
    ran = in_words(report.executions, "execution", "executions")
    failed = failures(report.outcomes)
    problems = len(report.problems) + len(report.caches)
    if not problems and failed:
        return f"no recurring problem: {failed:,} of {ran} failed"
    if not problems:
        return f"no problems found: {ran}" + (
            ", all succeeded" if report.executions else " finished"
        )
    found = f"{in_words(problems, 'problem', 'problems')} in {ran} ({failed:,} failed)"
    if not report.problems:
        return found
    worst = report.problems[0]
    return f"{found}; worst: {worst.name}, {rule_words(worst.rule)}"


def failures(outcomes: Mapping[str, int]) -> int:
    """How many executions failed."""
    return sum(count for outcome, count in outcomes.items() if outcome not in _NOT_FAILED)


def rule_words(rule: str) -> str:
    """The name of a rule as words.

    >>> rule_words("out_of_memory")
    'out of memory'
    """
    return rule.replace("_", " ")


def summary_of(line: ExecutionLine, now_unix_ns: int) -> str:
    """How an execution went, in one sentence.

    Args:
        line: The execution.
        now_unix_ns: Nanoseconds since the epoch.
    """
    if line.cause is not None:
        return line.cause
    if line.outcome is None:
        return f"running for {in_seconds(max(0, now_unix_ns - line.started_unix_ns) / 1e9)}"
    return f"{line.outcome.replace('_', ' ')} after {in_seconds(line.duration_seconds)}"


# --- a list ---


@dataclass(frozen=True, slots=True, kw_only=True)
class BriefExecution:
    """One execution in a brief list. None is not known.

    Attributes:
        id: Identifies it, as far as `show_execution` needs.
        name: Its name.
        outcome: How it ended; None while it runs.
        started_unix_ns: Start, nanoseconds since the epoch.
        age: How long ago that was.
        duration_seconds: From start to end, seconds; None while it runs.
        cpu_seconds: CPU time, seconds.
        peak_memory_bytes: Most memory in use at one instant, bytes.
        summary: Why it ended as it did; None on plain success.
    """

    id: str
    name: str
    outcome: str | None
    started_unix_ns: int
    age: str
    duration_seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    summary: str | None

    @classmethod
    def of(cls, line: ExecutionLine, now_unix_ns: int) -> BriefExecution:
        """What a brief list says of *line*."""
        return cls(
            id=short_id(line.execution_id),
            name=_short(line.name, _LONGEST_NAME),
            outcome=line.outcome,
            started_unix_ns=line.started_unix_ns,
            age=_age(line.started_unix_ns, now_unix_ns),
            duration_seconds=_rounded(line.duration_seconds),
            cpu_seconds=_rounded(line.cpu_seconds),
            peak_memory_bytes=line.peak_memory_bytes,
            summary=None if line.cause is None else _short(line.cause),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BriefList:
    """Executions, as many of them as fit.

    Attributes:
        executions: One line for each.
        more: Whether there are others that were asked for.
        unreadable: Records of the journal that could not be understood.
        next_step: Which tool shows more.
    """

    executions: tuple[BriefExecution, ...]
    more: bool
    unreadable: int
    next_step: str


def brief_list(
    lines: Iterable[ExecutionLine],
    *,
    now_unix_ns: int,
    limit: int | None,
    unreadable: Callable[[], int],
) -> BriefList:
    """The first of *lines*.

    Args:
        lines: Executions in their order; read no further than needed.
        now_unix_ns: Nanoseconds since the epoch.
        limit: How many; None for what fits in `MAX_BYTES`.
        unreadable: How many records could not be understood; called when all are read.
    """
    found: list[BriefExecution] = []
    room = MAX_BYTES - size_of(_list((), more=True, unreadable=_MOST_UNREADABLE))
    for line in lines:
        one = BriefExecution.of(line, now_unix_ns)
        room -= size_of(one) + len(",,")
        if len(found) == limit or (limit is None and room < 0):
            return _list(tuple(found), more=True, unreadable=unreadable())
        found.append(one)
    return _list(tuple(found), more=False, unreadable=unreadable())


def _list(executions: tuple[BriefExecution, ...], *, more: bool, unreadable: int) -> BriefList:
    next_step = "call show_execution with an id for everything about one"
    if more:
        next_step += "; list others with name, outcome, since_seconds or until_seconds"
    return BriefList(executions=executions, more=more, unreadable=unreadable, next_step=next_step)


# --- one execution ---


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedExecution:
    """Everything about one execution, and the answer first.

    Attributes:
        summary: How it went, in one sentence.
        age: How long ago it began.
        line: What a line of a list shows, and its curve.
        usage: What it used; what is not known is absent.
        attributes: All attributes of its span.
        host_pid: The process that observed it; None where it is not known.
    """

    summary: str
    age: str
    line: ExecutionLine
    usage: Mapping[str, float | str]
    attributes: Mapping[str, object]
    host_pid: int | None

    @classmethod
    def of(cls, detail: ExecutionDetail, now_unix_ns: int) -> DescribedExecution:
        """What *detail* says, with its answer."""
        summary = summary_of(detail.line, now_unix_ns)
        if detail.alike is not None:
            summary += f"; {alike_words(detail.alike, _iso)}"
        return cls(
            summary=summary,
            age=_age(detail.line.started_unix_ns, now_unix_ns),
            line=detail.line,
            usage=detail.usage,
            attributes=detail.attributes,
            host_pid=detail.host_pid,
        )


# --- a report ---


@dataclass(frozen=True, slots=True, kw_only=True)
class BriefName:
    """The finished executions of one name.

    Attributes:
        name: Their name.
        executions: How many there are.
        failed: How many of them failed.
        median_seconds: What half of them took at most, seconds; None where it is not known.
        peak_memory_bytes: Most memory that one of them used, bytes; as above.
    """

    name: str
    executions: int
    failed: int
    median_seconds: float | None
    peak_memory_bytes: float | None

    @classmethod
    def of(cls, group: Group) -> BriefName:
        """What is said of *group*."""
        seconds, memory = group.duration_seconds, group.peak_memory_bytes
        return cls(
            name=_short(group.name, _LONGEST_NAME),
            executions=group.executions,
            failed=failures(group.outcomes),
            median_seconds=None if seconds is None else _rounded(seconds.p50),
            peak_memory_bytes=None if memory is None else memory.maximum,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BriefProblem:
    """What is wrong with the executions of one name.

    Attributes:
        name: Their name.
        problem: What it is, in two or three words.
        severity: ``high``, ``medium`` or ``low``.
        summary: What was found, with its numbers.
        advice: What to do about it.
        recommended: Limits that would fit, by the arguments of the tool `run`.
        affected: How many executions it concerns.
        first_unix_ns: Start of the first of them, nanoseconds since the epoch; None where it is
            not known.
        last_unix_ns: Start of the last of them; as above.
        age: How long ago the last of them began; as above.
        example: Id of one of them, for `show_execution`; None where there is none.
        also: What else was found about this name.
    """

    name: str
    problem: str
    severity: str
    summary: str
    advice: str
    recommended: Mapping[str, float] | None
    affected: int
    first_unix_ns: int | None
    last_unix_ns: int | None
    age: str | None
    example: str | None
    also: tuple[str, ...] | None

    @classmethod
    def of(cls, problem: Problem, now_unix_ns: int) -> BriefProblem:
        """What a brief report says of *problem*."""
        last = problem.last_unix_ns
        return cls(
            name=_short(problem.name, _LONGEST_NAME),
            problem=rule_words(problem.rule),
            severity=problem.severity.value,
            summary=_short(problem.message),
            advice=_short(problem.advice),
            recommended=problem.recommended or None,
            affected=problem.affected,
            first_unix_ns=problem.first_unix_ns,
            last_unix_ns=last,
            age=None if last is None else _age(last, now_unix_ns),
            example=None if problem.example is None else short_id(problem.example),
            also=tuple(map(_short, problem.also)) or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BriefReport:
    """What ran in a period, how it ended, and what is wrong with it: as much as fits.

    Attributes:
        summary: The answer in one line.
        since_unix_ns: Begin of the period, nanoseconds since the epoch.
        until_unix_ns: Its end.
        executions: Finished executions that began in the period.
        before: Those of the period before, of equal length.
        running: Executions that began in it and have not ended.
        outcomes: How many ended in each way.
        problems: What is wrong, what matters most first.
        more_problems: How many problems are not told here.
        caches: What is wrong with the caches of the processes that run now.
        names: What ran, by name; what took the most time goes first.
        more_names: How many names are not told here.
        next_step: Which tool shows more.
    """

    summary: str
    since_unix_ns: int
    until_unix_ns: int
    executions: int
    before: int
    running: int
    outcomes: Mapping[str, int]
    problems: tuple[BriefProblem, ...]
    more_problems: int
    caches: tuple[str, ...] | None
    names: tuple[BriefName, ...]
    more_names: int
    next_step: str


def brief_report(report: Report, *, limit: int | None = None) -> BriefReport:
    """The answer in *report*.

    Args:
        report: All of it.
        limit: How many problems; None for the first five, as far as all fits in `MAX_BYTES`.
    """
    told = report.problems[: PROBLEMS if limit is None else limit]
    now = report.until_unix_ns
    whole = BriefReport(
        summary=_short(verdict(report)),
        since_unix_ns=report.since_unix_ns,
        until_unix_ns=now,
        executions=report.executions,
        before=report.before,
        running=report.running,
        outcomes=report.outcomes,
        problems=tuple(BriefProblem.of(one, now) for one in told),
        more_problems=len(report.problems) - len(told),
        caches=tuple(map(_cache, report.caches[:PROBLEMS])) or None,
        names=tuple(map(BriefName.of, report.groups[:_NAMES])),
        more_names=max(0, len(report.groups) - _NAMES),
        next_step=_next_step(report),
    )
    return whole if limit is not None else _fitted(whole)


def _cache(found: CacheProblem) -> str:
    return _short(f"cache {found.name} of process {found.pid} {found.message}; {found.advice}")


def _next_step(report: Report) -> str:
    if report.problems:
        return "call show_execution with the example of a problem, or list_executions with its name"
    if report.executions or report.running:
        return "call list_executions to see them"
    return "call report or list_executions with a longer since_seconds"


def _fitted(whole: BriefReport) -> BriefReport:
    """*whole* with the least important left out until it fits."""
    for shorten in (_less_names, _less_also, _less_caches, _less_problems):
        while size_of(whole) > MAX_BYTES and (shorter := shorten(whole)) is not whole:
            whole = shorter
    return whole


def _less_names(whole: BriefReport) -> BriefReport:
    # A few show what there is, also where the problems are many.
    if len(whole.names) <= _FEWEST_NAMES:
        return whole
    return replace(whole, names=whole.names[:-1], more_names=whole.more_names + 1)


def _less_also(whole: BriefReport) -> BriefReport:
    if all(one.also is None for one in whole.problems):
        return whole
    return replace(whole, problems=tuple(replace(one, also=None) for one in whole.problems))


def _less_caches(whole: BriefReport) -> BriefReport:
    return whole if whole.caches is None else replace(whole, caches=whole.caches[:-1] or None)


def _less_problems(whole: BriefReport) -> BriefReport:
    if len(whole.problems) <= 1:
        return whole
    return replace(whole, problems=whole.problems[:-1], more_problems=whole.more_problems + 1)


# --- sizes ---


def size_of(answer: object) -> int:
    """Length of *answer* in UTF-8, bytes: an MCP answer has it twice, as JSON and as text."""
    text = compact(as_json(answer))
    return len(f"{text}{compact(text)}".encode("utf-8", "backslashreplace"))


def compact(value: Any) -> str:  # noqa: ANN401 - JSON
    """*value* as JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _short(text: str, most: int = _LONGEST_TEXT) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _iso(unix_ns: int) -> str:
    return iso_time(unix_ns) or "an unknown time"


def _age(unix_ns: int, now_unix_ns: int) -> str:
    return in_age(max(0, now_unix_ns - unix_ns) / 1e9)


def _rounded(seconds: float | None) -> float | None:
    """To four digits: more cost room and say nothing."""
    return None if seconds is None else float(f"{seconds:.4g}")
