"""Problems: what is wrong with the executions of a name, what matters most first. Pure."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_codomon.report.findings import Finding, Severity
from otel_codomon.report.rules import RULES
from otel_codomon.report.short_ids import short_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_codomon.report.tally import Tally

_SEVERITIES: Final = {Severity.HIGH: 8.0, Severity.MEDIUM: 4.0, Severity.LOW: 1.0}
_WEIGHTS: Final = {rule.name: rule.weight for rule in RULES}
# A command that failed to start and ran so often is a mistake on the command line.
_TYPED_RUNS: Final = 1
_TYPED_RULES: Final = frozenset({"setup_error", "killed", "failing"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with the executions of one name: its worst finding, and the others.

    Attributes:
        name: Name of the executions.
        rule: Which rule found the worst.
        severity: How much it matters.
        message: What was found, with its numbers.
        advice: What to do about it.
        affected: How many executions it concerns.
        first_unix_ns: Start of the first of them, nanoseconds since the epoch; None where it is
            not known.
        last_unix_ns: Start of the last of them; as above.
        next_step: A command that shows more.
        recommended: Limits that would fit, by the names of `Limits`; ``timeout_seconds`` too.
        example: Id of an execution that shows it; None where there is none.
        also: What else was found about this name.
    """

    name: str
    rule: str
    severity: Severity
    message: str
    advice: str
    affected: int
    first_unix_ns: int | None
    last_unix_ns: int | None
    next_step: str
    recommended: Mapping[str, float] = field(default_factory=dict)
    example: str | None = None
    also: tuple[str, ...] = ()


def problems_in(
    findings: Iterable[Finding], tallies: Iterable[Tally], *, since_unix_ns: int, until_unix_ns: int
) -> tuple[Problem, ...]:
    """Merge the findings of each name and rank them: severity, executions affected, recency.

    Findings of low severity are hints and not problems. A command that ran once and failed
    was most likely mistyped: it comes last.

    Args:
        findings: What was found.
        tallies: The executions of both periods, for how often each name ran.
        since_unix_ns: Begin of the period, nanoseconds since the epoch.
        until_unix_ns: Its end.
    """
    runs: dict[str, int] = {}
    for tally in tallies:
        runs[tally.labels.name] = runs.get(tally.labels.name, 0) + tally.count

    def rank(one: Finding) -> tuple[bool, float]:
        return _is_typed(one, runs), -_score(one, since_unix_ns, until_unix_ns)

    merged: dict[str, list[Finding]] = {}
    for one in sorted((one for one in findings if one.severity is not Severity.LOW), key=rank):
        merged.setdefault(one.name, []).append(one)
    return tuple(_problem(*group) for group in merged.values())


def _is_typed(one: Finding, runs: Mapping[str, int]) -> bool:
    return (
        one.kind == "command" and one.rule in _TYPED_RULES and runs.get(one.name, 0) <= _TYPED_RUNS
    )


def _score(one: Finding, since_unix_ns: int, until_unix_ns: int) -> float:
    """Severity x executions affected, in steps of twice as many, x recency from 1/2 to 1."""
    last = since_unix_ns if one.last_unix_ns is None else one.last_unix_ns
    age_share = (until_unix_ns - last) / max(1, until_unix_ns - since_unix_ns)
    recency = 1 - min(1.0, max(0.0, age_share)) / 2
    weight = _SEVERITIES[one.severity] * _WEIGHTS.get(one.rule, 1.0)
    return weight * math.log2(1 + one.affected) * recency


def _problem(worst: Finding, *others: Finding) -> Problem:
    example = next(iter(worst.executions), None)
    return Problem(
        name=worst.name,
        rule=worst.rule,
        severity=worst.severity,
        message=worst.message,
        advice=worst.advice,
        affected=worst.affected,
        first_unix_ns=worst.first_unix_ns,
        last_unix_ns=worst.last_unix_ns,
        next_step=_next_step(worst.name, example),
        recommended=worst.recommended,
        example=example,
        also=tuple(one.message for one in others),
    )


def _next_step(name: str, example: str | None) -> str:
    if example is None:
        return f"otel-codomon list --name {shlex.quote(name)}"
    return f"otel-codomon show {shlex.quote(short_id(example))}"
