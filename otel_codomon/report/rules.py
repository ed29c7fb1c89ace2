"""The table of rules: what is wrong with the executions of one name, and what to do.

A rule looks at the executions of a period and of the period before, and gives
the numbers that show what it looks for, or None. Everything else - the words,
the advice, the limit that would fit - is a column of the table.
"""

from __future__ import annotations

import math
from string import Formatter
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.quantities import write_quantities
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.report.evidence import (
    IDLE_LIMIT_SHARE,
    IDLE_TIMEOUT_SHARE,
    cpu_bound,
    ended,
    failing,
    hanging,
    idle_limit,
    leaking,
    many_children,
    more_failures,
    near_limit,
    regression,
    slow,
    slow_start,
    throttled,
    undecided,
    waiting,
)
from otel_codomon.report.findings import Finding, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_codomon.report.findings import Evidence
    from otel_codomon.report.tally import Example, Tally

# Room above the largest that is usual.
_MEMORY_ROOM: Final = 1.5
_TIMEOUT_ROOM: Final = 3.0

_MIB: Final = 1024 * 1024


def _fitting_memory(now: Tally) -> Mapping[str, float]:
    """Half as much again as 99 in 100 use, or as the limit that was not enough; whole MiB."""
    found, limit = now.distribution("peak_memory_bytes"), now.distribution("memory_limit_bytes")
    was_killed = now.outcomes[Outcome.OOM_KILLED] > 0
    base = max(
        found.p99 if found is not None else 0,
        limit.maximum if limit is not None and was_killed else 0,
    )
    return {"memory_bytes": math.ceil(_MEMORY_ROOM * base / _MIB) * _MIB} if base else {}


def _fitting_timeout(now: Tally) -> Mapping[str, float]:
    """Three times what 99 in 100 take."""
    found = now.distribution("duration_seconds")
    if found is None:
        return {}
    return {"timeout_seconds": float(math.ceil(_TIMEOUT_ROOM * found.p99))}


def _longer_timeout(now: Tally) -> Mapping[str, float]:
    """The same, where it is more than what they have; one that hangs needs none."""
    fitting, limit = _fitting_timeout(now), now.distribution("timeout_limit_seconds")
    if limit is None or fitting.get("timeout_seconds", 0) <= limit.maximum:
        return {}
    return fitting


_TIMED_OUT: Final = "{count} of {executions} timed out"
_TIMEOUT_DETAILS: Final = ("timeout {timeout_seconds}", "{cpu_share} CPU")


def _regression_rule(name: str, figure: str, unit: str, what: str, advice: str) -> Rule:
    return Rule(
        name=name,
        severity=Severity.MEDIUM,
        look=regression(figure, unit),
        message=f"the median {what} rose from {{before_{unit}}} to {{now_{unit}}}",
        advice=advice,
        largest=figure,
    )


RULES: Final = (
    Rule(
        name="out_of_memory",
        severity=Severity.HIGH,
        weight=2.0,
        look=ended(
            Outcome.OOM_KILLED,
            limit=("memory_limit_bytes", "memory_limit_bytes"),
            p50_bytes="peak_memory_bytes",
        ),
        message="{count} of {executions} ran out of memory",
        details=("limit {memory_limit_bytes}", "median peak {p50_bytes}"),
        advice="raise the memory limit, or keep less in memory at once",
        recommend=_fitting_memory,
        outcomes=(Outcome.OOM_KILLED,),
    ),
    Rule(
        name="hang",
        severity=Severity.HIGH,
        look=hanging,
        message=_TIMED_OUT + " while waiting",
        details=_TIMEOUT_DETAILS,
        advice="find what they wait for (network, a lock, input) and give it a timeout of its "
        "own; more time will not help",
        outcomes=(Outcome.TIMEOUT,),
    ),
    Rule(
        name="too_slow",
        severity=Severity.HIGH,
        look=slow,
        message=_TIMED_OUT + " while still computing",
        details=_TIMEOUT_DETAILS,
        advice="raise the timeout, or profile one to make it faster",
        recommend=_longer_timeout,
        outcomes=(Outcome.TIMEOUT,),
    ),
    Rule(
        name="timeout",
        severity=Severity.HIGH,
        look=undecided,
        message=_TIMED_OUT,
        details=_TIMEOUT_DETAILS,
        advice="compare the curve of one that timed out with one that succeeded; "
        "raise the timeout only if they are slow, not if they hang",
        recommend=_longer_timeout,
        outcomes=(Outcome.TIMEOUT,),
    ),
    Rule(
        name="limit_exceeded",
        severity=Severity.HIGH,
        weight=0.5,
        look=ended(Outcome.LIMIT_EXCEEDED),
        message="{count} of {executions} exceeded a limit",
        advice="raise the limit if the work is legitimate; otherwise the limit did its job",
        outcomes=(Outcome.LIMIT_EXCEEDED,),
    ),
    Rule(
        name="killed",
        severity=Severity.HIGH,
        weight=1.5,
        look=ended(Outcome.KILLED),
        message="{count} of {executions} crashed or were killed by a signal",
        advice="SIGSEGV and SIGABRT are crashes in native code: run one under a debugger; "
        "SIGKILL and SIGTERM come from another process or the kernel",
        outcomes=(Outcome.KILLED,),
    ),
    Rule(
        name="host_died",
        severity=Severity.HIGH,
        weight=1.5,
        look=ended(Outcome.HOST_DIED),
        message="{count} of {executions} did not finish: the process observing them died",
        advice="look for a crash or an out-of-memory kill in its log and in that of the kernel",
        outcomes=(Outcome.HOST_DIED,),
    ),
    Rule(
        name="setup_error",
        severity=Severity.HIGH,
        look=ended(Outcome.SETUP_ERROR),
        message="{count} of {executions} could not start",
        advice="check the command and its path; `otel-codomon doctor` shows what works on this "
        "machine",
        outcomes=(Outcome.SETUP_ERROR,),
    ),
    Rule(
        name="failing",
        severity=Severity.MEDIUM,
        look=failing,
        message="{errors} of {executions} failed",
        details=("{failed_share}", "most common error: {error_type}"),
        advice="start with the most common error",
        outcomes=(Outcome.ERROR,),
    ),
    Rule(
        name="leak",
        severity=Severity.MEDIUM,
        weight=1.5,
        look=leaking,
        message="memory grows until the end, by {growth_bytes_per_second} and up to "
        "{largest_bytes}",
        advice="look for a list, cache or buffer that is never emptied, and set a memory limit",
        largest="peak_memory_bytes",
    ),
    Rule(
        name="memory_near_limit",
        severity=Severity.MEDIUM,
        look=near_limit("memory_limit_share"),
        message="1 in 10 of {executions} uses {p90_share} or more of its memory limit",
        advice="raise the limit before a larger input runs out of memory",
        recommend=_fitting_memory,
        largest="peak_memory_bytes",
    ),
    Rule(
        name="cpu_near_limit",
        severity=Severity.MEDIUM,
        look=near_limit("cpu_limit_share"),
        message="1 in 10 of {executions} uses {p90_share} or more of its CPU time limit",
        advice="raise the limit before a larger input exceeds it",
        largest="cpu_seconds",
    ),
    Rule(
        name="tight_timeout",
        severity=Severity.MEDIUM,
        look=near_limit("timeout_used_share"),
        message="1 in 10 of {executions} that finished in time needed {p90_share} or more of the "
        "timeout",
        advice="raise the timeout: a slightly slower run will exceed it",
        recommend=_longer_timeout,
        largest="duration_seconds",
    ),
    Rule(
        name="throttled",
        severity=Severity.MEDIUM,
        look=throttled,
        message="a CPU quota held them back for {p50_share} of the time (median)",
        advice="raise the quota, or use no more threads than the quota has cores",
        largest="duration_seconds",
    ),
    Rule(
        name="cpu_bound",
        severity=Severity.LOW,
        look=cpu_bound,
        message="they compute all the time: {cpu_share} CPU over {p50_seconds} (medians)",
        advice="profile one: only less work or more cores will make it faster",
        largest="cpu_seconds",
    ),
    Rule(
        name="waiting",
        severity=Severity.LOW,
        look=waiting,
        message="they wait for {waited_share} of {p50_seconds} (medians)",
        advice="find what they wait for (network, a lock, sleep, storage) and overlap it; "
        "more cores will not help",
        largest="duration_seconds",
    ),
    Rule(
        name="many_short_children",
        severity=Severity.MEDIUM,
        look=many_children,
        message="each starts {p50_processes} processes or more, {per_second} per second (medians)",
        advice="starting a process takes milliseconds: handle many items in one process, "
        "or keep a pool",
        largest="processes",
    ),
    Rule(
        name="slow_start",
        severity=Severity.LOW,
        look=slow_start,
        message="the first in each of {hosts} processes takes {first_seconds}, later ones "
        "{later_seconds}",
        advice="load what it needs when the process starts, or keep processes longer",
    ),
    _regression_rule(
        "slower_than_before",
        "duration_seconds",
        "seconds",
        "duration",
        "check what changed since the period before: code, input, or load on the machine",
    ),
    _regression_rule(
        "more_cpu_than_before",
        "cpu_seconds",
        "seconds",
        "CPU time",
        "check what changed since the period before in the code or its input",
    ),
    _regression_rule(
        "more_memory_than_before",
        "peak_memory_bytes",
        "bytes",
        "peak memory",
        "check what changed since the period before in the code or its input",
    ),
    Rule(
        name="fails_more_than_before",
        severity=Severity.HIGH,
        look=more_failures,
        message="failures rose from {before_share} to {now_share}",
        advice="check what changed since the period before",
        outcomes=tuple(outcome for outcome in Outcome if outcome.is_failure),
    ),
    Rule(
        name="idle_memory_limit",
        severity=Severity.LOW,
        look=idle_limit("memory_limit_share", IDLE_LIMIT_SHARE),
        message="the largest of {executions} uses {largest_share} of its memory limit",
        advice="lower the limit to run more side by side and to catch a leak sooner",
        recommend=_fitting_memory,
        largest="peak_memory_bytes",
    ),
    Rule(
        name="idle_timeout",
        severity=Severity.LOW,
        look=idle_limit("timeout_limit_share", IDLE_TIMEOUT_SHARE),
        message="the longest of {executions} takes {largest_share} of its timeout",
        advice="lower the timeout so that one that hangs is stopped sooner",
        recommend=_fitting_timeout,
        largest="duration_seconds",
    ),
)

_ORDER: Final = {severity: rank for rank, severity in enumerate(Severity)}


def find_in(
    pairs: Iterable[tuple[Tally, Tally]], rules: tuple[Rule, ...] = RULES
) -> tuple[Finding, ...]:
    """Apply every rule to every pair of tallies, now and before; what matters most goes first."""
    found = [
        _finding(rule, now, before, evidence)
        for now, before in pairs
        for rule in rules
        if (evidence := rule.look(now, before)) is not None
    ]
    return tuple(sorted(found, key=lambda one: (_ORDER[one.severity], one.name, one.rule)))


def _finding(rule: Rule, now: Tally, before: Tally, evidence: Evidence) -> Finding:
    written = write_quantities(evidence)
    earlier, later = before.started_unix_ns(*rule.outcomes), now.started_unix_ns(*rule.outcomes)
    # What does not show in an outcome is only known of the period itself.
    first = earlier if rule.outcomes and earlier is not None else later
    return Finding(
        rule=rule.name,
        severity=rule.severity,
        name=now.labels.name,
        kind=now.labels.kind.value,
        language=now.labels.language,
        message=rule.message.format(**written) + _details(rule, evidence),
        advice=rule.advice.format(**written),
        evidence=evidence,
        recommended=rule.recommend(now),
        executions=tuple(example.execution_id for example in _examples(rule, now)),
        affected=sum(now.outcomes[one] for one in rule.outcomes) if rule.outcomes else now.count,
        first_unix_ns=None if first is None else first[0],
        last_unix_ns=None if later is None else later[1],
    )


def _details(rule: Rule, evidence: Evidence) -> str:
    """The details whose figures are all known, in parentheses."""
    known = write_quantities({key: x for key, x in evidence.items() if x is not None})
    found = [each.format(**known) for each in rule.details if _fields(each) <= known.keys()]
    return f" ({', '.join(found)})" if found else ""


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def _examples(rule: Rule, now: Tally) -> tuple[Example, ...]:
    if rule.outcomes:
        return now.examples(*rule.outcomes)
    return () if rule.largest is None else now.largest(rule.largest)
