"""What the elected process does: deliver, look for the dead, keep to the caps, note how far it is.

One pass after the other, told when by the `Sender`; knows nothing of threads,
elections or the end of the program.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.logs import get_logger
from otel_codomon._platform.otlp_variables import METRICS, TRACES
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.delivery.endpoints import GRPC
from otel_codomon.journal.delivery.signal_queue import SignalQueue
from otel_codomon.journal.delivery.state import load_state, save_state
from otel_codomon.journal.execution_metrics.counting import ExecutionMetrics
from otel_codomon.journal.metric_choice import choice_of
from otel_codomon.journal.recovery import Recovery
from otel_codomon.journal.retention import evict
from otel_codomon.journal.trouble import reason_of
from otel_codomon.journal.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_codomon.journal.delivery.backlog import Item
    from otel_codomon.journal.delivery.counts import Counts
    from otel_codomon.journal.delivery.endpoints import Endpoint
    from otel_codomon.journal.delivery.signal_queue import Pace
    from otel_codomon.journal.retention import Caps

_log = get_logger(__name__)

_RECOVERY_SECONDS: Final = 5.0
"""How often the dead are looked for."""

_RETENTION_SECONDS: Final = 60.0
"""How often the caps are enforced: 256 MiB are not written in less."""


class DeliverySession:
    """The work on one journal, from an election to stepping down.

    Args:
        folder: Path of the journal.
        endpoints: Where to.
        writer: Where the spans of dead processes' executions are written.
        pace: How fast, and how patiently.
        caps: How much is kept.
        counts: Where it is counted what became of records.
    """

    def __init__(
        self,
        folder: str,
        endpoints: Iterable[Endpoint],
        *,
        writer: Writer,
        pace: Pace,
        caps: Caps,
        counts: Counts,
    ) -> None:
        self._folder = folder
        self._kept = VerifiedDescriptor(folders.open_folder(folder))
        self._counts = counts
        self._caps = caps
        self._dead_letters: Writer | None = None
        self._reported = counts.reported
        self.is_noted = True  # how far we are, on disk
        self._state = load_state(self._kept.number)
        self._recovery = Recovery(self._kept, self._state, writer)
        self._executions: ExecutionMetrics | None = None
        endpoints = list(endpoints)
        if any(endpoint.signal == METRICS for endpoint in endpoints):
            choice = choice_of(os.environ)
            self._executions = ExecutionMetrics(
                self._kept, self._state.sent[TRACES], choice, self._reported
            )
        self._queues = [
            SignalQueue(
                self._kept,
                endpoint,
                self._state,
                pace=pace,
                moved=self._save,
                dead_letter=self._keep_dead_letter,
                executions=self._executions if endpoint.signal == METRICS else None,
            )
            for endpoint in endpoints
        ]
        self._recover_at = 0.0
        self._evict_at = 0.0
        if self._state.credit:
            # Ours now. Should this process be killed, the next one begins small.
            self._state.credit.clear()
            self._save()

    @property
    def is_gone(self) -> bool:
        """Whether the folder was removed, renamed or unmounted, or our descriptor was closed."""
        return not (self._kept.is_ours and self._kept.is_at(self._folder))

    @property
    def has_newer(self) -> bool:
        """Whether it came upon something of a later version, which it leaves."""
        return any(queue.has_newer for queue in self._queues)

    @property
    def uses_grpc(self) -> bool:
        """Whether gRPC's threads run in this process."""
        return any(queue.endpoint.protocol == GRPC for queue in self._queues)

    @property
    def trouble(self) -> dict[str, str]:
        """Why the last request of a signal was not taken, by signal."""
        return {queue.endpoint.signal: queue.trouble for queue in self._queues if queue.trouble}

    def nudge(self, *, is_urgent: bool) -> None:
        """Have the lanes that wait for records look now; all of them if it *is_urgent*."""
        for queue in self._queues:
            queue.nudge(even_if_refused=is_urgent)

    def work(self) -> float:
        """Do what is due now; for how long nothing will be, seconds."""
        now = time.monotonic()
        if now >= self._recover_at:
            self._recover()
        if now >= self._evict_at:
            self._evict()
        for queue in self._queues:
            queue.work(time.monotonic())
            queue.hand_over(self._counts)
        due = min([self._recover_at, *(queue.due for queue in self._queues)])
        return max(0.0, due - time.monotonic())

    def clear(self, deadline: float) -> bool:
        """Send everything, one attempt a signal, until *deadline*; whether all was taken."""
        if not self._recover_at:
            self._recover()
        is_clear = True
        for queue in self._queues:
            queue.nudge(even_if_refused=True)
            while time.monotonic() < deadline and queue.work(time.monotonic(), deadline):
                continue
            queue.hand_over(self._counts)
            is_clear = is_clear and not queue.is_refused
        return is_clear

    def leave(self) -> None:
        """Note for the next one how things went, and close."""
        for queue in self._queues:
            self._state.credit[queue.endpoint.signal] = queue.credit
        self._save()
        self.close()

    def close(self) -> None:
        """Let go of connections, files and the folder."""
        for queue in self._queues:
            queue.close()
        if self._dead_letters is not None:
            self._dead_letters.forget()
        self.abandon()

    def abandon(self) -> None:
        """Let go of the folder only: in a forked child the connections are the parent's."""
        self._kept.close()

    def _save(self) -> None:
        """Note how far we are; after each answer, before anything else may happen.

        Counted first: who waits for what is noted finds the counts of that moment.
        """
        for queue in self._queues:
            queue.hand_over(self._counts)
        try:
            save_state(self._kept.checked(), self._state)
            self.is_noted = True
        except OSError as error:  # a full disk, or a directory in the place of the file
            self.is_noted = False
            if "state" not in self._reported:
                self._reported.add("state")
                _log.warning(
                    "cannot record in %s how far it was delivered: %s; the next sender may deliver "
                    "some records again",
                    self._folder,
                    reason_of(error),
                )

    def _recover(self) -> None:
        self._recover_at = time.monotonic() + _RECOVERY_SECONDS
        takeovers = {name: at for queue in self._queues for name, at in queue.takeovers.items()}
        found = self._recovery.search(takeovers)
        if found:
            self._counts.died += found
            _log.info(
                "found %d executions whose process died before they ended; "
                "their spans have the outcome host_died",
                found,
            )

    def _evict(self) -> None:
        self._evict_at = time.monotonic() + _RETENTION_SECONDS
        if self._executions is not None:
            self._executions.count()  # before the ends among them are gone
        evicted = evict(self._kept.checked(), self._state, caps=self._caps)
        self._state.forget_all_but(folders.segment_names(self._kept.checked()))
        self._counts.evicted += evicted.undelivered
        if evicted.undelivered:
            _log.warning(
                "evicted %d records from the journal in %s before they were delivered: it is full "
                "or they are too old",
                evicted.undelivered,
                self._folder,
            )

    def _keep_dead_letter(self, item: Item, reason: str) -> None:
        """Keep what a collector will never take as a dead letter; report each reason once.

        Not the sums of executions: the ends that they are made of are in the journal.
        """
        is_new = reason not in self._reported
        self._reported.add(reason)
        if not item.segment:
            if is_new:
                _log.warning(
                    "the metrics of executions were rejected (%s); they are exported again when "
                    "they change",
                    reason,
                )
            return
        if is_new:
            _log.warning(
                "a record was rejected (%s) and is kept as a dead letter; "
                "`otel-codomon journal status` counts them",
                reason,
            )
        if self._dead_letters is None:
            self._dead_letters = Writer(self._folder, stream=folders.DEAD_LETTERS)
        self._dead_letters.append(
            segments.TRACES, item.payload or b"", time_unix_ns=item.time_unix_ns
        )
