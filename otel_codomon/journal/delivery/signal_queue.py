"""One signal on its way out: when to send, how much, and what to do when it is not taken."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.logs import get_logger
from otel_codomon.journal.delivery.answers import Answer, AnswerKind
from otel_codomon.journal.delivery.backlog import DAMAGED, MALFORMED, OUTDATED, Backlog
from otel_codomon.journal.delivery.batch_sender import BatchSender
from otel_codomon.journal.delivery.endpoints import GRPC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
    from otel_codomon.journal.delivery.backlog import Item
    from otel_codomon.journal.delivery.batch_sender import Transport
    from otel_codomon.journal.delivery.counts import Counts
    from otel_codomon.journal.delivery.endpoints import Endpoint
    from otel_codomon.journal.delivery.state import State
    from otel_codomon.journal.execution_metrics.counting import ExecutionMetrics

_log = get_logger(__name__)

_MIN_TIMEOUT_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast records are sent, and how patiently.

    Attributes:
        poll_seconds: How often records of other processes are looked for.
        linger_seconds: How long to let records come together before a request
            is made of them; the stock batch processor waits 5 s.
        first_retry_seconds: Wait after a first failure; doubled after each more.
        last_retry_seconds: Longest of these waits: how late delivery starts
            again after an outage.
        parked_seconds: Wait after an answer that says that somebody must mend
            something.
    """

    poll_seconds: float = 1.0
    linger_seconds: float = 0.3
    first_retry_seconds: float = 0.5
    last_retry_seconds: float = 15.0
    blocked_seconds: float = 60.0


class SignalQueue:
    """Delivers the records of one signal.

    Args:
        kept: The journal's folder.
        endpoint: Where to.
        state: How far it was delivered.
        pace: How fast, and how patiently.
        moved: Called as soon as some of it need not be looked at again.
        dead_letter: Takes what no collector will ever take, and why.
        executions: The metrics of executions; None where this signal has none.
    """

    def __init__(
        self,
        kept: VerifiedDescriptor,
        endpoint: Endpoint,
        state: State,
        *,
        pace: Pace,
        moved: Callable[[], None],
        dead_letter: Callable[[Item, str], None],
        executions: ExecutionMetrics | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.due = 0.0
        self.trouble = ""  # why the last request was not taken
        self._pace = pace
        self._moved = moved
        self._keep_dead_letter = dead_letter
        self._backlog = Backlog(kept, endpoint.signal, state, executions)
        self._executions = executions
        self._is_urgent = False
        self._transport = make_transport(endpoint)
        self._batch_sender = BatchSender(
            endpoint.signal,
            self._transport,
            done=self._done,
            dead_letter=dead_letter,
            timeout_seconds=self._timeout_seconds,
            credit=state.credit.get(endpoint.signal, 0),
        )
        self._failures = 0
        self._is_blocked = False
        self._deadline: float | None = None
        self._chance = random.Random()  # noqa: S311 - jitter, no secret

    @property
    def is_refused(self) -> bool:
        """Whether the last request was not taken."""
        return self._failures > 0

    @property
    def has_newer(self) -> bool:
        """Whether it came upon something of a later version, which it leaves."""
        executions = self._executions
        return self._backlog.has_newer or (executions is not None and executions.has_newer)

    @property
    def takeovers(self) -> Mapping[str, int]:
        """The segments that a process has taken over: see `SegmentReader`."""
        counted = {} if self._executions is None else self._executions.takeovers
        return {**self._backlog.takeovers, **counted}

    @property
    def credit(self) -> int:
        """What the next lane of this signal may begin with: see `BatchSender`."""
        return self._batch_sender.credit

    def nudge(self, *, even_if_refused: bool) -> None:
        """Look for records at once; also where the last request was not taken?"""
        if even_if_refused or not self._failures:
            self.due = 0.0
        self._is_urgent = self._is_urgent or even_if_refused

    def work(self, now: float, deadline: float | None = None) -> bool:
        """Deliver one batch, if it is time; whether there may be more at once.

        Args:
            now: Monotonic clock, seconds.
            deadline: When requests must be over, on that clock; None for when
                the endpoint's timeout says.
        """
        if now < self.due:
            return False
        self._deadline = deadline
        is_urgent = self._is_urgent or deadline is not None
        batch = self._backlog.next_batch(self._batch_sender.max_batch_bytes, is_urgent=is_urgent)
        if not batch:
            self._is_urgent = False
            self.due = now + self._pace.poll_seconds
            if self._executions is not None:
                self.due = min(self.due, max(now, self._executions.due))
            return False
        stopped = self._batch_sender.deliver(batch)
        if stopped is not None:
            self._wait(stopped)
            return False
        self._succeed(batch)
        return True

    def _timeout_seconds(self) -> float:
        if self._deadline is None:
            return self.endpoint.timeout_seconds
        return max(_MIN_TIMEOUT_SECONDS, self._deadline - time.monotonic())

    def _done(self, items: list[Item]) -> None:
        for item in items:
            if item.fate == MALFORMED:
                self._keep_dead_letter(item._replace(payload=item.content), "it is malformed")
        self._backlog.done(items)
        self._moved()

    def _succeed(self, batch: list[Item]) -> None:
        if any(item.payload is not None for item in batch):
            if self._failures:
                _log.info("%s are delivered to %s again", self.endpoint.signal, self.endpoint.place)
            self._failures, self._is_blocked, self.trouble = 0, False, ""
        self.due = 0.0

    def _wait(self, answer: Answer) -> None:
        """Set when to try again, and say so the first time."""
        self._failures += 1
        self.trouble = answer.reason
        if answer.kind is AnswerKind.BLOCKED:
            wait_seconds = self._pace.blocked_seconds
        else:
            doubled = self._pace.first_retry_seconds * 2 ** min(self._failures - 1, 20)
            wait_seconds = min(doubled, self._pace.last_retry_seconds)
        wait_seconds *= self._chance.uniform(0.5, 1.0)
        # The collector's word goes before ours, and is not shortened by chance.
        self.due = time.monotonic() + max(wait_seconds, answer.delay_seconds or 0.0)
        self._log_answer(answer)

    def _log_answer(self, answer: Answer) -> None:
        is_blocked = answer.kind is AnswerKind.BLOCKED
        if is_blocked and not self._is_blocked:
            _log.warning(
                "cannot deliver %s to %s: %s; they stay in the journal until that is fixed",
                self.endpoint.signal,
                self.endpoint.place,
                answer.reason,
            )
        elif self._failures == 1:
            _log.warning(
                "cannot deliver %s to %s now: %s; they stay in the journal until then",
                self.endpoint.signal,
                self.endpoint.place,
                answer.reason,
            )
        self._is_blocked = is_blocked

    def hand_over(self, counts: Counts) -> None:
        """Add what became of records since the last time to *counts*."""
        tally, backlog = self._batch_sender.tally, self._backlog
        counts.delivered += tally.delivered
        fates = backlog.fates
        counts.rejected += tally.rejected + tally.rejected_items + fates[MALFORMED]
        counts.quarantined += fates[DAMAGED]
        counts.evicted += fates[OUTDATED]
        tally.delivered = tally.rejected = tally.rejected_items = 0
        fates.clear()

    def close(self) -> None:
        """Let go of the connection."""
        self._transport.close()


def make_transport(endpoint: Endpoint) -> Transport:
    """What sends to *endpoint*."""
    # Imported here: gRPC takes 100 ms, and most use HTTP.
    if endpoint.protocol == GRPC:
        from otel_codomon.journal.delivery.grpc_transport import GrpcTransport  # noqa: PLC0415

        return GrpcTransport(endpoint)
    from otel_codomon.journal.delivery.http_transport import HttpTransport  # noqa: PLC0415

    return HttpTransport(endpoint)
