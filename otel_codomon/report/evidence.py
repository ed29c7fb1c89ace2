"""Evidence: the numbers in a tally that show something, or None where they do not.

Each function takes the tally of a period and that of the period before. The
thresholds are the constants at the top.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from otel_codomon.journal.execution_record import Outcome
from otel_codomon.report.cause import growth_bytes_per_second
from otel_codomon.report.distribution import Distribution, compare, compare_rates

if TYPE_CHECKING:
    from otel_codomon.report.findings import Evidence, Look
    from otel_codomon.report.tally import Tally

_FEW: Final = 3
_ENOUGH: Final = 20
_FAILING_SHARE: Final = 0.1
_NEAR_LIMIT_SHARE: Final = 0.9
IDLE_LIMIT_SHARE: Final = 0.25
IDLE_TIMEOUT_SHARE: Final = 0.1
_THROTTLED_SHARE: Final = 0.1
# Shorter ones are over before it matters what they wait for.
_LONG_SECONDS: Final = 1.0
_BUSY_CORES: Final = 0.9
_WAITING_CORES: Final = 0.1
_MANY_CHILDREN: Final = 20
_CHILDREN_PER_SECOND: Final = 10
# A shorter one may only be loading what it needs.
LEAK_SECONDS: Final = 30.0
LEAK_BYTES: Final = 64 * 1024 * 1024
_SLOW_START_RATIO: Final = 2
# A regression must be no chance, and large enough to matter: a fifth slower at
# the median, and the later one larger in two pairs of three.
_CHANCE: Final = 0.001
_REGRESSION_RATIO: Final = 1.2
_REGRESSION_SUPERIORITY: Final = 2 / 3


def _median(tally: Tally, figure: str) -> float | None:
    found = tally.distribution(figure)
    return None if found is None else found.p50


def _usual(tally: Tally, figure: str, *, least: int) -> Distribution | None:
    """The distribution of a figure that at least *least* executions tell."""
    found = tally.distribution(figure)
    return found if found is not None and found.count >= least else None


def ended(outcome: Outcome, *, limit: tuple[str, str] | None = None, **medians: str) -> Look:
    """Some ended like this.

    Args:
        outcome: How they ended.
        limit: Name of the limit that they reached and its figure: the most
            common one of theirs, as a median may be nobody's limit.
        medians: Names and figures of medians of those that ended like this.
    """

    def look(now: Tally, _before: Tally) -> Evidence | None:
        count = now.outcomes[outcome]
        if not count:
            return None
        evidence: Evidence = {"count": count, "executions": now.count}
        figures = now.of_outcome(outcome)
        if limit is not None:
            evidence[limit[0]] = figures.most_common(limit[1])
        for name, figure in medians.items():
            found = figures.distribution(figure)
            evidence[name] = None if found is None else found.p50
        return evidence

    return look


def timed_out(least_cores: float, most_cores: float) -> Look:
    """Some timed out, and used so much CPU at the median; see `_UNDECIDED_CORES`.

    Args:
        least_cores: Cores in use on average, at least.
        most_cores: At most, this one excluded.
    """
    found = ended(
        Outcome.TIMEOUT,
        limit=("timeout_seconds", "timeout_reached_seconds"),
        p50_seconds="duration_seconds",
        cpu_share="cores",
    )

    def look(now: Tally, before: Tally) -> Evidence | None:
        cores = now.of_outcome(Outcome.TIMEOUT).distribution("cores")
        used = _UNDECIDED_CORES if cores is None else cores.p50
        return found(now, before) if least_cores <= used < most_cores else None

    return look


# Neither waiting nor computing, or not known.
_UNDECIDED_CORES: Final = (_WAITING_CORES + _BUSY_CORES) / 2
hanging: Final = timed_out(0.0, _WAITING_CORES)
undecided: Final = timed_out(_WAITING_CORES, _BUSY_CORES)
slow: Final = timed_out(_BUSY_CORES, float("inf"))


def leaking(now: Tally, _before: Tally) -> Evidence | None:
    """Memory rises until the end in most of the largest."""
    rates = [rate for curve in now.curves if (rate := growth_bytes_per_second(curve)) is not None]
    if 2 * len(rates) <= len(now.curves):
        return None
    peaks = now.distribution("peak_memory_bytes")
    return {
        "growth_bytes_per_second": max(rates),
        "largest_bytes": None if peaks is None else peaks.maximum,
        "executions": now.count,
    }


def failing(now: Tally, _before: Tally) -> Evidence | None:
    """A good part of them ended in an error."""
    errors = now.outcomes[Outcome.ERROR]
    if errors < _FEW or errors < _FAILING_SHARE * now.known:
        return None
    common = now.error_types.most_common(1)
    return {
        "errors": errors,
        "executions": now.known,
        "failed_share": errors / now.known,
        "error_type": common[0][0] if common else None,
    }


def near_limit(figure: str) -> Look:
    """One in ten uses nearly all of a limit; *figure* is a share of that limit."""

    def look(now: Tally, _before: Tally) -> Evidence | None:
        found = _usual(now, figure, least=_FEW)
        if found is None or found.p90 < _NEAR_LIMIT_SHARE:
            return None
        return {"p90_share": found.p90, "executions": found.count}

    return look


def idle_limit(figure: str, below: float) -> Look:
    """None uses more than *below* of a limit; *figure* is a share of that limit."""

    def look(now: Tally, _before: Tally) -> Evidence | None:
        found = _usual(now, figure, least=_ENOUGH)
        if found is None or found.maximum > below:
            return None
        return {"largest_share": found.maximum, "executions": found.count}

    return look


def throttled(now: Tally, _before: Tally) -> Evidence | None:
    """A CPU quota holds them back."""
    found = _usual(now, "throttled_share", least=_FEW)
    if found is None or found.p50 < _THROTTLED_SHARE:
        return None
    return {"p50_share": found.p50, "executions": found.count}


def _long(now: Tally) -> tuple[float, float] | None:
    """Median duration and cores of executions that take long enough to judge."""
    seconds, cores = _median(now, "duration_seconds"), _median(now, "cores")
    if now.count < _FEW or seconds is None or cores is None or seconds < _LONG_SECONDS:
        return None
    return seconds, cores


def cpu_bound(now: Tally, _before: Tally) -> Evidence | None:
    """They are long, and compute all the time."""
    found = _long(now)
    if found is None or found[1] < _BUSY_CORES:
        return None
    return {
        "p50_seconds": found[0],
        "cores": found[1],
        "cpu_share": found[1],
        "executions": now.count,
    }


def waiting(now: Tally, _before: Tally) -> Evidence | None:
    """They are long, and hardly compute."""
    found = _long(now)
    if found is None or found[1] > _WAITING_CORES:
        return None
    return {"p50_seconds": found[0], "waited_share": 1 - found[1], "executions": now.count}


def many_children(now: Tally, _before: Tally) -> Evidence | None:
    """They start many processes that live for a short time."""
    children = _usual(now, "processes", least=1)
    rate = _median(now, "processes_per_second")
    if children is None or rate is None:
        return None
    if children.p50 < _MANY_CHILDREN or rate < _CHILDREN_PER_SECOND:
        return None
    return {"p50_processes": children.p50, "per_second": round(rate, 1), "executions": now.count}


def slow_start(now: Tally, _before: Tally) -> Evidence | None:
    """The first in each process takes much longer than the later ones."""
    firsts = now.first_seconds()
    if len(firsts) < _FEW or now.count < 2 * len(firsts):
        return None
    rest = _without(list(now.numbers("duration_seconds")), firsts)
    first, later, found = Distribution.of(firsts), Distribution.of(rest), compare(rest, firsts)
    if first is None or later is None or found is None or found.probability > _CHANCE:
        return None
    if first.p50 < _SLOW_START_RATIO * later.p50:
        return None
    return {
        "first_seconds": first.p50,
        "later_seconds": later.p50,
        "hosts": len(firsts),
        "probability": found.probability,
    }


def _without(numbers: list[float], taken: list[float]) -> list[float]:
    """*numbers* less one of each of *taken*."""
    left = Counter(taken)
    kept = []
    for number in numbers:
        if left[number] > 0:
            left[number] -= 1
        else:
            kept.append(number)
    return kept


def regression(figure: str, unit: str) -> Look:
    """A figure rose since the period before, beyond chance and enough to matter."""

    def look(now: Tally, before: Tally) -> Evidence | None:
        earlier = _usual(before, figure, least=_ENOUGH)
        later = _usual(now, figure, least=_ENOUGH)
        if earlier is None or later is None or later.p50 <= _REGRESSION_RATIO * earlier.p50:
            return None
        found = compare(before.numbers(figure), now.numbers(figure))
        if found is None or found.probability > _CHANCE:
            return None
        if found.superiority < _REGRESSION_SUPERIORITY:
            return None
        return {
            f"before_{unit}": earlier.p50,
            f"now_{unit}": later.p50,
            "before_executions": earlier.count,
            "executions": later.count,
            "probability": found.probability,
            "superiority_share": found.superiority,
        }

    return look


def more_failures(now: Tally, before: Tally) -> Evidence | None:
    """More of them fail than in the period before, beyond chance."""
    if min(now.known, before.known) < _ENOUGH:
        return None
    probability = compare_rates(before.failures, before.known, now.failures, now.known)
    earlier, later = before.failures / before.known, now.failures / now.known
    if probability is None or probability > _CHANCE or later < _REGRESSION_RATIO * earlier:
        return None
    return {
        "before_share": earlier,
        "now_share": later,
        "before_executions": before.known,
        "executions": now.known,
        "probability": probability,
    }
