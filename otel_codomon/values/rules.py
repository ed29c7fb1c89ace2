"""The table of rules: what is wrong with the executions of one name, and what to do.

A rule looks at the executions of a period and of the period before, and gives
the numbers that show what it looks for, or None. Everything else - the words,
the advice, the limit that would fit - is a column of the table.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from otel_codomon.values.evidence import (
    IDLE_LIMIT_SHARE,
    IDLE_TIMEOUT_SHARE,
    cpu_bound,
    ended,
    failing,
    idle_limit,
    many_children,
    more_failures,
    near_limit,
    regression,
    slow_start,
    throttled,
    waiting,
)
from otel_codomon.values.execution import Outcome
from otel_codomon.values.findings import Finding, Rule, Severity
from otel_codomon.values.quantities import write_quantities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_codomon.values.findings import Evidence
    from otel_codomon.values.tally import Tally

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
    """The same, where it is more than what they have; who hangs needs none."""
    fitting, limit = _fitting_timeout(now), now.distribution("timeout_limit_seconds")
    if limit is None or fitting.get("timeout_seconds", 0) <= limit.maximum:
        return {}
    return fitting


def _ids(*outcomes: Outcome) -> Callable[[Tally], tuple[str, ...]]:
    return lambda tally: tally.examples(*outcomes)


def _largest(figure: str) -> Callable[[Tally], tuple[str, ...]]:
    return lambda tally: tally.largest(figure)


_SLOWER: Final = (
    "the median went from {before_%(unit)s} to {now_%(unit)s}: of two executions, one of each "
    "period, the later one needs more in {superiority_share} of the pairs; by chance with a "
    "probability of {probability} (Mann-Whitney)"
)


def _regression_rule(name: str, figure: str, unit: str, advice: str) -> Rule:
    return Rule(
        name=name,
        severity=Severity.MEDIUM,
        look=regression(figure, unit),
        message=_SLOWER % {"unit": unit},
        advice=advice,
        examples=_largest(figure),
    )


RULES: Final = (
    Rule(
        name="out_of_memory",
        severity=Severity.HIGH,
        look=ended(
            Outcome.OOM_KILLED,
            limit=("memory_limit_bytes", "memory_limit_bytes"),
            p50_bytes="peak_memory_bytes",
        ),
        message="{count} of {executions} ran out of memory (limit {memory_limit_bytes}, "
        "their median peak {p50_bytes})",
        advice="raise the memory limit, or make it hold less at once",
        recommend=_fitting_memory,
        examples=_ids(Outcome.OOM_KILLED),
    ),
    Rule(
        name="timeout",
        severity=Severity.HIGH,
        look=ended(
            Outcome.TIMEOUT,
            limit=("timeout_seconds", "timeout_reached_seconds"),
            p50_seconds="duration_seconds",
        ),
        message="{count} of {executions} ran out of time (timeout {timeout_seconds}, "
        "their median {p50_seconds})",
        advice="look whether they hang or are slow: see the curves of the examples; "
        "raise the timeout only for the slow ones",
        recommend=_longer_timeout,
        examples=_ids(Outcome.TIMEOUT),
    ),
    Rule(
        name="limit_exceeded",
        severity=Severity.HIGH,
        look=ended(Outcome.LIMIT_EXCEEDED),
        message="{count} of {executions} were ended by a limit",
        advice="see which limit in the examples; raise it, or leave it: it did its work",
        examples=_ids(Outcome.LIMIT_EXCEEDED),
    ),
    Rule(
        name="killed",
        severity=Severity.HIGH,
        look=ended(Outcome.KILLED),
        message="{count} of {executions} were ended by a signal that was not ours",
        advice="see which signal in the examples: SIGSEGV is a crash, SIGKILL somebody or "
        "the kernel",
        examples=_ids(Outcome.KILLED),
    ),
    Rule(
        name="host_died",
        severity=Severity.HIGH,
        look=ended(Outcome.HOST_DIED),
        message="{count} of {executions} were lost with the process that observed them",
        advice="look why that process died: an execution inside it, or the machine's memory",
        examples=_ids(Outcome.HOST_DIED),
    ),
    Rule(
        name="setup_error",
        severity=Severity.HIGH,
        look=ended(Outcome.SETUP_ERROR),
        message="{count} of {executions} could not be started",
        advice="`otel-codomon doctor` says what works on this machine",
        examples=_ids(Outcome.SETUP_ERROR),
    ),
    Rule(
        name="failing",
        severity=Severity.MEDIUM,
        look=failing,
        message="{errors} of {executions} failed ({failed_share}); most common error: {error_type}",
        advice="begin with the most common error",
        examples=_ids(Outcome.ERROR),
    ),
    Rule(
        name="memory_near_limit",
        severity=Severity.MEDIUM,
        look=near_limit("memory_limit_share"),
        message="one in ten of {executions} uses {p90_share} of its memory limit or more",
        advice="the next larger input will be killed: raise the limit",
        recommend=_fitting_memory,
        examples=_largest("peak_memory_bytes"),
    ),
    Rule(
        name="cpu_near_limit",
        severity=Severity.MEDIUM,
        look=near_limit("cpu_limit_share"),
        message="one in ten of {executions} uses {p90_share} of its CPU time limit or more",
        advice="the next larger input will be killed: raise the limit",
        examples=_largest("cpu_seconds"),
    ),
    Rule(
        name="throttled",
        severity=Severity.MEDIUM,
        look=throttled,
        message="a CPU quota holds them back for {p50_share} of their time at the median",
        advice="give them a larger quota, or fewer threads than the quota has cores",
        examples=_largest("duration_seconds"),
    ),
    Rule(
        name="cpu_bound",
        severity=Severity.LOW,
        look=cpu_bound,
        message="they compute for all of their {p50_seconds} ({cores} cores at the median)",
        advice="only less work or more cores make them faster: profile one; "
        "memory and storage are not what holds them up",
        examples=_largest("cpu_seconds"),
    ),
    Rule(
        name="waiting",
        severity=Severity.LOW,
        look=waiting,
        message="they wait for {waited_share} of their {p50_seconds}",
        advice="find what for (network, a lock, sleep, storage) and overlap it; "
        "more cores will not help",
        examples=_largest("duration_seconds"),
    ),
    Rule(
        name="many_short_children",
        severity=Severity.MEDIUM,
        look=many_children,
        message="each starts at least {p50_processes} processes at the median, "
        "{per_second} per second",
        advice="starting a process costs milliseconds: do the work of many in one, "
        "or keep a pool of them",
        examples=_largest("processes"),
    ),
    Rule(
        name="slow_start",
        severity=Severity.LOW,
        look=slow_start,
        message="the first in each of {hosts} processes takes {first_seconds}, the later ones "
        "{later_seconds}; by chance with a probability of {probability} (Mann-Whitney)",
        advice="load what it needs before the first is asked for, or keep the processes longer",
    ),
    _regression_rule(
        "slower_than_before",
        "duration_seconds",
        "seconds",
        "look what changed between the periods: the code, its input, or its neighbours",
    ),
    _regression_rule(
        "more_cpu_than_before",
        "cpu_seconds",
        "seconds",
        "it does more work for the same: look at what changed in the code or its input",
    ),
    _regression_rule(
        "more_memory_than_before",
        "peak_memory_bytes",
        "bytes",
        "it holds more at once: look at what changed in the code or its input",
    ),
    Rule(
        name="fails_more_than_before",
        severity=Severity.HIGH,
        look=more_failures,
        message="failures went from {before_share} to {now_share}; by chance with a probability "
        "of {probability} (Fisher's exact test)",
        advice="look what changed between the periods",
        examples=_ids(*(outcome for outcome in Outcome if outcome.is_failure)),
    ),
    Rule(
        name="idle_memory_limit",
        severity=Severity.LOW,
        look=idle_limit("memory_limit_share", IDLE_LIMIT_SHARE),
        message="the largest of {executions} uses {largest_share} of its memory limit",
        advice="a lower limit lets more of them run side by side, and finds a leak sooner",
        recommend=_fitting_memory,
    ),
    Rule(
        name="idle_timeout",
        severity=Severity.LOW,
        look=idle_limit("timeout_limit_share", IDLE_TIMEOUT_SHARE),
        message="the longest of {executions} takes {largest_share} of its timeout",
        advice="a shorter timeout frees the place of one that hangs sooner",
        recommend=_fitting_timeout,
    ),
)

_ORDER: Final = {severity: rank for rank, severity in enumerate(Severity)}


def find_in(
    pairs: Iterable[tuple[Tally, Tally]], rules: tuple[Rule, ...] = RULES
) -> tuple[Finding, ...]:
    """Apply every rule to every pair of tallies, now and before; what matters most goes first."""
    found = [
        _finding(rule, now, evidence)
        for now, before in pairs
        for rule in rules
        if (evidence := rule.look(now, before)) is not None
    ]
    return tuple(sorted(found, key=lambda one: (_ORDER[one.severity], one.name, one.rule)))


def _finding(rule: Rule, now: Tally, evidence: Evidence) -> Finding:
    written = write_quantities(evidence)
    return Finding(
        rule=rule.name,
        severity=rule.severity,
        name=now.labels.name,
        kind=now.labels.kind.value,
        language=now.labels.language,
        message=rule.message.format(**written),
        advice=rule.advice.format(**written),
        evidence=evidence,
        recommended=rule.recommend(now),
        executions=rule.examples(now),
    )
