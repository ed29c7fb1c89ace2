"""What was lost, and what came twice: acknowledged executions against a collector's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.collector import Collector
    from support.workload import Heard


@dataclass(frozen=True)
class OutcomeDetails:
    """The count of a run.

    Attributes:
        acknowledged: Executions whose call has returned.
        lost: Those of them that no collector has.
        unfinished: Executions that were entered and not acknowledged as ended.
        unfinished_lost: Those of them that no collector has.
        died: How many arrived as ``host_died``.
        doubled: Executions with spans of different outcomes: never.
        copies: Spans that arrived again, by design of OTLP.
        corrupt: Requests that were no requests.
    """

    acknowledged: int
    lost: frozenset[str]
    unfinished: int
    unfinished_lost: frozenset[str]
    died: int
    doubled: frozenset[str]
    copies: int
    corrupt: int

    @property
    def copied_share(self) -> float:
        """Copies, as a share of what was acknowledged."""
        return self.copies / max(1, self.acknowledged)


def classify(heard: Heard, collector: Collector) -> OutcomeDetails:
    """Compare what *heard* says with what *collector* has."""
    spans = [span for span in collector.spans() if "number" in span.attributes]
    outcomes: dict[str, set[str]] = {}
    for span in spans:
        outcomes.setdefault(span.attributes["number"], set()).add(
            # Missing where a SIGINT came between an end and its telling.
            span.attributes.get("codomon.execution.outcome", "none")
        )
    unfinished = heard.entered - heard.ended
    copies = Counter((span.trace_id, span.span_id) for span in spans)
    return OutcomeDetails(
        acknowledged=len(heard.ended),
        lost=frozenset(n for n in heard.ended if "success" not in outcomes.get(n, ())),
        unfinished=len(unfinished),
        unfinished_lost=frozenset(unfinished - outcomes.keys()),
        died=sum("host_died" in found for found in outcomes.values()),
        doubled=frozenset(number for number, found in outcomes.items() if len(found) > 1),
        copies=sum(copies.values()) - len(copies),
        corrupt=collector.counts()["corrupt"],
    )
