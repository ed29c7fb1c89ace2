"""Gets a batch delivered, or finds out which of its records never will be.

Knows nothing of files, threads or clocks: it is given items, sends them, and
says which are done with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from otel_codomon.journal.delivery.answers import Answer, AnswerKind
from otel_codomon.journal.delivery.backlog import MAX_BATCH_BYTES, Item
from otel_codomon.journal.encoding import split_request

if TYPE_CHECKING:
    from collections.abc import Callable

_FAILURES_BEFORE_BISECTION: Final = 3
"""How often a doubtful answer is taken for trouble of the collector's before
its cause is looked for in the records."""

_AMBIGUOUS_BEFORE_PAUSE: Final = 8
"""How many records in a row may be doubted before a collector that takes
nothing is left in peace for a while."""

_FIRST_BATCH_BYTES: Final = 4 * 1024
"""Of the first requests, and of those after trouble: some seven executions."""

_CREDIT_SHARE: Final = 20
"""A request may hold a twentieth of what was taken since the last one that was
not answered, or whose sender was killed. Such a request is sent again, perhaps
in vain: so all copies together are at most a twentieth of what was delivered,
and `_FIRST_BATCH_BYTES` for each mishap."""

_MIN_LIMIT: Final = 32 * 1024
"""Batches do not get smaller than this by learning from refusals, bytes."""


class Transport(Protocol):
    """Sends requests to one endpoint."""

    def send(self, body: bytes, *, timeout_seconds: float) -> Answer:
        """Send *body*; never raises for what the other side does."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


@dataclass(slots=True)
class Tally:
    """What became of records, since the process began.

    Attributes:
        delivered: Records a collector took.
        rejected: Records, or parts of one, that no collector will take.
        rejected_items: Spans and points that partial success said were not kept.
        requests: Requests that were taken.
    """

    delivered: int = 0
    rejected: int = 0
    rejected_items: int = 0
    requests: int = 0


@dataclass(slots=True)
class BatchSender:
    """Delivers batches of one signal.

    Args:
        signal: One of `endpoints.SIGNALS`.
        transport: Where to.
        done: Takes the items that need not be looked at again.
        set_aside: Takes a request that will never be delivered, and why.
        timeout_seconds: How long a request may take now.
        credit: How large a request may be that turns out to be sent in vain, bytes.
    """

    signal: str
    transport: Transport
    done: Callable[[list[Item]], None]
    dead_letter: Callable[[Item, str], None]
    timeout_seconds: Callable[[], float]
    tally: Tally = field(default_factory=Tally)
    credit: int = 0
    _ceiling: int = MAX_BATCH_BYTES
    _ambiguous_answers: int = 0
    _ambiguous_limit: int = _AMBIGUOUS_BEFORE_PAUSE
    _ambiguous: list[tuple[Item, Answer]] = field(default_factory=list)

    @property
    def max_batch_bytes(self) -> int:
        """How much is sent at once."""
        return min(self._ceiling, max(_FIRST_BATCH_BYTES, self.credit))

    def deliver(self, batch: list[Item]) -> Answer | None:
        """Deliver *batch* as far as possible.

        Returns:
            None when all is done with; else the answer that says why the rest
            has to wait.
        """
        self._ambiguous.clear()
        stopped = self._deliver(batch)
        if stopped is None and self._ambiguous:
            # Nothing that came after was taken either: the collector's trouble.
            return self._ambiguous[0][1]
        return stopped

    def _deliver(self, items: list[Item]) -> Answer | None:
        payloads = [item.payload for item in items if item.payload is not None]
        if not payloads:
            self._finish(items)
            return None
        body = b"".join(payloads)
        answer = self.transport.send(body, timeout_seconds=self.timeout_seconds())
        self._earn(answer, len(body))
        if answer.kind is AnswerKind.DELIVERED:
            self._count(answer, sum(bool(item.segment and item.payload) for item in items))
            self._reject_ambiguous()
            self._finish(items)
            return None
        if answer.kind is AnswerKind.AMBIGUOUS:
            self._ambiguous_answers += 1
            if self._ambiguous_answers <= _FAILURES_BEFORE_BISECTION:
                return answer
        elif answer.kind is not AnswerKind.REFUSED:
            return answer
        return self._bisect(items, answer)

    def _count(self, answer: Answer, records: int) -> None:
        self._ambiguous_answers, self._ambiguous_limit = 0, _AMBIGUOUS_BEFORE_PAUSE
        self.tally.requests += 1
        self.tally.delivered += records
        self.tally.rejected_items += answer.rejected

    def _bisect(self, items: list[Item], answer: Answer) -> Answer | None:
        """Something in *items* is not taken: halve them until it is alone."""
        parts = items if _payloads(items) > 1 else _split(self.signal, items)
        if _payloads(parts) == 1:
            return self._give_up(parts, answer)
        self._learn_limit(items, answer)
        middle = len(parts) // 2
        for half in (parts[:middle], parts[middle:]):
            stopped = self._deliver(half)
            if stopped is not None:
                return stopped
        return None

    def _learn_limit(self, items: list[Item], answer: Answer) -> None:
        """Make the next batches smaller where this one was too large."""
        if answer.reason == "HTTP 413":
            size = sum(len(item.payload or b"") for item in items)
            self._ceiling = max(_MIN_LIMIT, min(self._ceiling, size // 2))

    def _earn(self, answer: Answer, size: int) -> None:
        """Let requests grow with what is taken, and shrink with what may be sent twice."""
        if answer.kind is AnswerKind.DELIVERED:
            self.credit = min(MAX_BATCH_BYTES, self.credit + size // _CREDIT_SHARE)
        elif not answer.is_answer:
            self.credit = max(0, self.credit - size)

    def _give_up(self, items: list[Item], answer: Answer) -> Answer | None:
        """One record, or part of one, that is not taken."""
        (item,) = [item for item in items if item.payload is not None]
        if answer.kind is AnswerKind.AMBIGUOUS:
            # Whose trouble it is, the next record will tell.
            self._ambiguous.append((item, answer))
            return (
                None if len(self._ambiguous) < self._ambiguous_limit else self._open_circuit(answer)
            )
        self._reject(item, answer)
        self._finish(items)
        return None

    def _open_circuit(self, answer: Answer) -> Answer:
        """Nothing is taken at all: stop, and look twice as far the next time."""
        self._ambiguous_limit *= 2
        return answer

    def _reject_ambiguous(self) -> None:
        """A record was taken that came after these: they are at fault."""
        for item, answer in self._ambiguous:
            self._reject(item, answer)
        self._ambiguous.clear()

    def _reject(self, item: Item, answer: Answer) -> None:
        self.tally.rejected += bool(item.segment)
        self.dead_letter(item, answer.reason)

    def _finish(self, items: list[Item]) -> None:
        """Done with *items*, unless one before them is still in doubt."""
        if not self._ambiguous:
            self.done(items)


def _payloads(items: list[Item]) -> int:
    return sum(item.payload is not None for item in items)


def _split(signal: str, items: list[Item]) -> list[Item]:
    """The one payload of *items*, as one item for each span or metric in it."""
    (whole,) = [item for item in items if item.payload is not None]
    parts = split_request(signal, whole.payload or b"")
    if len(parts) == 1:
        return items
    split = [whole._replace(end=None, payload=part) for part in parts]
    split[-1] = split[-1]._replace(end=whole.end)
    at = items.index(whole)
    return [*items[:at], *split, *items[at + 1 :]]
