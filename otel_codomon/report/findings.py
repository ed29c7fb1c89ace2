"""What a rule finds, and what a rule is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.journal.execution_record import Outcome
    from otel_codomon.report.tally import Tally

    Evidence = dict[str, float | str | None]
    Look = Callable[[Tally, Tally], Evidence | None]


class Severity(str, Enum):
    """How much a finding matters: ``high`` loses work, ``medium`` time, ``low`` room."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with the executions of a name, and what to do about it.

    Attributes:
        rule: Which rule found it.
        severity: How much it matters.
        name: Name of the executions.
        kind: Their kind.
        language: Their language; None where it is not known.
        message: What was found, with its numbers.
        advice: What to do about it.
        evidence: The numbers it rests on; the end of a name is the unit, None
            is not known.
        recommended: Limits that would fit, by the names of `Limits`; ``timeout_seconds`` too.
        executions: Ids of a few executions that show it.
        affected: How many executions it concerns.
        first_unix_ns: Start of the first of them, of the period before too,
            nanoseconds since the epoch; None where it is not known.
        last_unix_ns: Start of the last of them; as above.
    """

    rule: str
    severity: Severity
    name: str
    kind: str
    language: str | None
    message: str
    advice: str
    evidence: Mapping[str, float | str | None]
    recommended: Mapping[str, float] = field(default_factory=dict)
    executions: tuple[str, ...] = ()
    affected: int = 0
    first_unix_ns: int | None = None
    last_unix_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table.

    Attributes:
        name: Its name.
        severity: How much it matters.
        look: The numbers that show it, from the tallies of now and before; or None.
        message: Says it, with the evidence as fields.
        advice: What to do about it, with the evidence as fields.
        details: More of the evidence, each shown only if it is known.
        recommend: A limit that would fit: its name and what to make it from.
        outcomes: It concerns the executions that ended like this; all where none is named.
        largest: Figure whose largest values are examples, where no outcome is named.
        weight: How it ranks among rules of the same severity.
    """

    name: str
    severity: Severity
    look: Look
    message: str
    advice: str
    details: tuple[str, ...] = ()
    recommend: Callable[[Tally], Mapping[str, float]] = lambda _: {}
    outcomes: tuple[Outcome, ...] = ()
    largest: str | None = None
    weight: float = 1.0
