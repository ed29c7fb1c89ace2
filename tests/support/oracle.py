"""What was lost, and what came twice: acknowledged executions against a collector's."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_codomon import names

if TYPE_CHECKING:
    from support.collector import Collector, ReceivedPoint, ReceivedSpan
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
        arrived: Executions that have a span, by outcome.
        counted: What the metrics of executions say, by outcome.
    """

    acknowledged: int
    lost: frozenset[str]
    unfinished: int
    unfinished_lost: frozenset[str]
    died: int
    doubled: frozenset[str]
    copies: int
    corrupt: int
    arrived: Counter[str]
    counted: Counter[str]

    @property
    def copied_share(self) -> float:
        """Copies, as a share of what was acknowledged."""
        return self.copies / max(1, self.acknowledged)


def classify(heard: Heard, collector: Collector) -> OutcomeDetails:
    """Compare what *heard* says with what *collector* has."""
    spans = [span for span in collector.spans() if "number" in span.attributes]
    outcomes: dict[str, set[str]] = {}
    for span in spans:
        outcomes.setdefault(span.attributes["number"], set()).add(_outcome(span))
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
        arrived=Counter(
            {(span.trace_id, span.span_id): _outcome(span) for span in collector.spans()}.values()
        ),
        counted=counted_executions(collector),
    )


def counted_executions(collector: Collector, *, name: str | None = None) -> Counter[str]:
    """How many executions the latest point of each series counts, by outcome; of *name* only."""
    latest: dict[str, ReceivedPoint] = {}
    for point in collector.points(names.EXECUTION_DURATION.name):
        if name not in (None, point.attributes[names.EXECUTION_NAME]):
            continue
        key = json.dumps((point.resource, point.attributes), sort_keys=True)
        if key not in latest or latest[key].unix_ns <= point.unix_ns:
            latest[key] = point
    found: Counter[str] = Counter()
    for point in latest.values():
        found[point.attributes.get(names.EXECUTION_OUTCOME, "none")] += point.count
    return found


def _outcome(span: ReceivedSpan) -> str:
    # Missing where a SIGINT came between an end and its telling.
    return str(span.attributes.get(names.EXECUTION_OUTCOME, "none"))
