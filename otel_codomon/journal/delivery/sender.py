"""The sender: one per journal, elected, ships everybody's records in order.

A thread of a process that writes, or a process of its own. It never reaches
into the program: it raises nothing, prints nothing, is not traced, and when
the program ends it is given a moment and then left where it is, since what it
did not ship is still in the journal.
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_codomon._platform.logs import get_logger
from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.threads_and_forks import PausableThread, Wake, on_fork
from otel_codomon.errors import JournalUnavailableError
from otel_codomon.journal import leader, records
from otel_codomon.journal.delivery.counts import Counts
from otel_codomon.journal.delivery.endpoints import environment_of
from otel_codomon.journal.delivery.progress import Progress
from otel_codomon.journal.delivery.session import DeliverySession
from otel_codomon.journal.delivery.signal_queue import Pace
from otel_codomon.journal.retention import DEFAULT_CAPS, Caps
from otel_codomon.journal.trouble import TroubleReport, reason_of
from otel_codomon.resources.reaping import note_owner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_codomon.journal.delivery.endpoints import Endpoint
    from otel_codomon.journal.writer import Writer

_log = get_logger(__name__)

_ELECTION_SECONDS: Final = 1.0
"""How often one that was not elected asks again: how long nobody ships after a sender died."""

_STAND_DOWN_SECONDS: Final = 3.0
"""How long one that came upon records of a later version leaves the journal to others: who
waits to be elected asks each second."""

_STAND_DOWN_EVERY_SECONDS: Final = 60.0
"""How often it does so; between, it delivers what it knows."""

_NOT_DELIVERED: Final = "until it can be used nothing is delivered from it"

_LOOK_SECONDS: Final = 0.05
"""How often somebody who waits looks how far another process is."""


class Sender:
    """Ships a journal while this process is the elected one.

    Args:
        folder: Path of the journal.
        endpoints: Where to, by signal; a signal that is absent stays here.
        writer: Where the spans of dead processes' executions are written.
        pace: How fast, and how patiently.
        caps: How much is kept.
        report: Reports why the journal cannot be used; shared with the writers.

    Attributes:
        counts: What became of records.
        trouble: Why the last request of a signal was not taken, by signal.
    """

    def __init__(
        self,
        folder: str,
        endpoints: Mapping[str, Endpoint],
        *,
        writer: Writer,
        pace: Pace | None = None,
        caps: Caps = DEFAULT_CAPS,
        report: TroubleReport | None = None,
    ) -> None:
        self.folder = folder
        self._report = report or TroubleReport(folder, _NOT_DELIVERED)
        self._is_lost = False
        self.counts = Counts()
        self.trouble: dict[str, str] = {}
        self.pace = pace or Pace()
        self._progress = Progress(folder, endpoints)
        self._endpoints = dict(endpoints)
        self._writer = writer
        self._caps = caps
        self._is_tainted = False
        self._other: int | None = None
        self._abandoned: list[DeliverySession] = []
        self._chance = random.Random()  # noqa: S311 - jitter, no secret
        self._reset()
        self._thread = PausableThread(self._run, name="codomon-sender", wake=self._wake_up)
        _senders.add(self)

    def _reset(self) -> None:
        """Have no connection and no session."""
        self._working = threading.Lock()
        self._wake = Wake()  # something was written
        self._hurry = Wake()  # somebody waits
        self._moved = threading.Condition()
        self._session: DeliverySession | None = None
        self._exit_deadline = 0.0
        self._standing_down_until = self._stand_down_at = 0.0

    def _wake_up(self) -> None:
        self._wake.set()
        self._hurry.set()

    # --- from the program's threads ---

    def start(self) -> bool:
        """Have a thread that sends; whether there is one.

        Where none can be started, as while the interpreter exits, `finish`
        does the work itself.
        """
        return self._thread.start()

    def notice(self) -> None:
        """Something was written."""
        if not self._thread.is_there:
            self.start()
        if not self._wake.is_set():
            self._wake.set()

    def flush(self, timeout_seconds: float, *, is_urgent: bool = True) -> bool:
        """Wait until all that is in the journal now is delivered; whether it is.

        Whoever ships it: this process or the elected one.

        Args:
            timeout_seconds: How long, seconds.
            is_urgent: Whether it is to be sent at once, or when it is its time.
        """
        deadline = time.monotonic() + timeout_seconds
        goal = self._progress.waiting()
        is_threaded = self.start()
        if is_urgent:
            self._hurry.set()
            self._wake.set()
        while not self._progress.has_reached(goal):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if not is_threaded:
                self._work_here(deadline)
            with self._moved:
                self._moved.wait(min(left, _LOOK_SECONDS))
        return True

    def finish(self, timeout_seconds: float) -> bool:
        """Send what can be sent by then, and stop; whether all was sent.

        One attempt a signal: a collector that is away now is tried by the next
        process, from the journal.
        """
        self._exit_deadline = time.monotonic() + timeout_seconds
        self._thread.stop()
        if not self._thread.join(timeout_seconds):
            self._work_here(self._exit_deadline)
        return self._progress.has_reached(self._progress.waiting())

    def _work_here(self, deadline: float) -> None:
        """Do in this thread what the sender's own would do, until *deadline*."""
        if self._working.acquire(blocking=False):
            try:
                with suppress_instrumentation():
                    self._close_up(deadline)
            finally:
                self._working.release()

    # --- the sender's thread ---

    def _run(self) -> None:
        with self._working, suppress_instrumentation():
            # Who lives for milliseconds, as a forked child may, is gone before
            # it is elected, and leaves no request behind that nobody awaits.
            self._hurry.wait(self.pace.linger_seconds)
            while not self._thread.is_ending:
                pause_seconds = self._step()
                due = time.monotonic() + pause_seconds
                if self._wake.wait(pause_seconds):
                    # More may come together before a request is made of it.
                    left = max(0.0, due - time.monotonic())
                    self._hurry.wait(min(self.pace.linger_seconds, left))
                    self._wake.clear()
                    self._nudge()
            if self._thread.is_stopped:
                self._close_up(self._exit_deadline)

    def _nudge(self) -> None:
        """Have what was written sent; whatever it is, where somebody waits."""
        is_urgent = self._hurry.is_set()
        self._hurry.clear()
        if self._session is not None:
            self._session.nudge(is_urgent=is_urgent)

    @never_raises("sending the journal", default=5.0)
    def _step(self) -> float:
        """Do what is due; for how long nothing will be, seconds."""
        try:
            session = self._acquire_session()
            if session is not None:
                pause_seconds = session.work()
                if self._is_lost:
                    self._is_lost = False
                    self._report.right()
                self._notify_waiting(session)
                if session.has_newer and time.monotonic() >= self._stand_down_at:
                    self._stand_down()
                return pause_seconds
        except OSError as error:
            self._lose(error)
        return self._chance.uniform(0.5, 1.0) * _ELECTION_SECONDS

    def _lose(self, error: OSError) -> None:
        """The folder is away or another user's, or other code closed a descriptor."""
        self._drop_session()
        self._is_lost = True
        is_of_folder = isinstance(error, JournalUnavailableError)
        self._report.wrong(reason_of(error), None if is_of_folder else _NOT_DELIVERED)

    @never_raises("sending the rest of the journal", default=None)
    def _close_up(self, deadline: float) -> None:
        """Send everything, one attempt a signal, until *deadline*, and step down.

        Who is not elected leaves it to who is. That one may have looked for
        the last time before our last record: so it looks again once it has
        stepped down, for as long as all goes well.
        """
        is_clear = True
        while is_clear and time.monotonic() < deadline:
            try:
                session = self._acquire_session()
                if session is None:
                    return
                is_clear = session.clear(deadline)
                self._notify_waiting(session)
                self._release_session()
            except OSError as error:
                self._lose(error)
                return
            # Where it cannot be noted how far we are all would be sent again.
            if not session.is_noted or not any(self._progress.waiting().values()):
                return

    def _notify_waiting(self, session: DeliverySession) -> None:
        """Let those who wait look how far we are."""
        self.trouble = session.trouble
        with self._moved:
            self._moved.notify_all()

    # --- office ---

    def _acquire_session(self) -> DeliverySession | None:
        """Be elected, or stay it; None while somebody else is."""
        if self._is_tainted:
            self._send_another()
            return None
        if time.monotonic() < self._standing_down_until or not leader.try_acquire(self.folder):
            self._drop_session()
            return None
        if self._session is not None and self._session.is_gone:
            self._drop_session()  # the folder is another one than before
        if self._session is None:
            self._session = DeliverySession(
                self.folder,
                self._endpoints.values(),
                writer=self._writer,
                pace=self.pace,
                caps=self._caps,
                counts=self.counts,
            )
        return self._session

    def _stand_down(self) -> None:
        """Let a process of a later version deliver what it alone knows."""
        now = time.monotonic()
        self._standing_down_until = now + _STAND_DOWN_SECONDS
        self._stand_down_at = now + _STAND_DOWN_EVERY_SECONDS
        self._release_session()
        if "newer" not in self.counts.reported:
            self.counts.reported.add("newer")
            _log.warning(
                "the journal in %s is shared with a newer version of otel_codomon: this process "
                "leaves to that one what it does not know; upgrade this one",
                self.folder,
            )

    def _release_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.leave()
        leader.release(self.folder)

    def _drop_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _send_another(self) -> None:
        """After a fork gRPC cannot be used here: have a process of its own do it."""
        with suppress(OSError):
            if self._other is not None:
                pid, _, used = os.wait4(self._other, os.WNOHANG)
                if pid:
                    cpu_ns = round((used.ru_utime + used.ru_stime) * 1e9)
                    note_owner(cpu_ns, helper_ns=cpu_ns)
            if leader.holder_pid(self.folder) is None:
                environ = {**os.environ, **environment_of(self._endpoints)}
                self._other = records.spawn_sender(self.folder, environ=environ)

    def backlog_bytes(self) -> dict[str, int]:
        """What waits to be delivered, by signal, bytes."""
        return self._progress.waiting_bytes()

    # --- fork ---

    def _after_fork(self) -> None:
        """Begin anew in a forked child: the thread and the office are the parent's."""
        session = self._session
        self._reset()
        self._thread.forget()
        self.counts = Counts()
        if session is not None:
            self._is_tainted = self._is_tainted or session.uses_grpc
            # Kept: to destroy a channel of the parent's may hang.
            self._abandoned.append(session)
            session.abandon()


_senders: weakref.WeakSet[Sender] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for sender in tuple(_senders):
        sender._after_fork()  # noqa: SLF001 - same module


on_fork("sender", in_child=_after_fork_in_child)
