"""The sender: one per journal, elected, ships everybody's records in order.

A thread of a process that writes, or a process of its own. It never reaches
into the program: it raises nothing, prints nothing, is not traced, and when
the program ends it is given a moment and then left where it is, since what it
did not ship is still in the journal.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_codomon.emit.guard import harmless
from otel_codomon.journal import election, folder as folders, light, segments
from otel_codomon.journal.backlog import Backlog
from otel_codomon.journal.endpoints import GRPC, environment_of
from otel_codomon.journal.lane import Lane, Pace
from otel_codomon.journal.recovery import Recovery
from otel_codomon.journal.retention import DEFAULT_CAPS, Caps, evict
from otel_codomon.journal.state import load_state, save_state
from otel_codomon.journal.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_codomon.journal.backlog import Item
    from otel_codomon.journal.endpoints import Endpoint
    from otel_codomon.journal.state import State

_log = logging.getLogger(__name__)

_ELECTION_SECONDS: Final = 1.0
"""How often one that was not elected asks again: how long nobody ships after a sender died."""

_LOOK_SECONDS: Final = 0.05
"""How often somebody who waits looks how far another process is."""

_RECOVERY_SECONDS: Final = 5.0
"""How often the dead are looked for."""

_RETENTION_SECONDS: Final = 60.0
"""How often the caps are enforced: 256 MiB are not written in less."""


@dataclass(slots=True)
class Counts:
    """What became of records in this process, by fate, since it began."""

    delivered: int = 0
    rejected: int = 0
    evicted: int = 0
    quarantined: int = 0
    died: int = 0


@dataclass(slots=True)
class _Office:
    """What the elected process has and others have not."""

    folder_fd: int
    state: State
    lanes: list[Lane]
    recovery: Recovery
    recover_at: float = 0.0
    evict_at: float = 0.0


class Sender:
    """Ships a journal while this process is the elected one.

    Args:
        folder: Path of the journal.
        endpoints: Where to, by signal; a signal that is absent stays here.
        writer: Where the spans of dead processes' executions are written.
        pace: How fast, and how patiently.
        caps: How much is kept.

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
    ) -> None:
        self.folder = folder
        self.counts = Counts()
        self.trouble: dict[str, str] = {}
        self.pace = pace or Pace()
        self._endpoints = dict(endpoints)
        self._writer = writer
        self._aside: Writer | None = None
        self._caps = caps
        self._is_tainted = False
        self._other: int | None = None
        self._abandoned: list[_Office] = []
        self._chance = random.Random()  # noqa: S311 - jitter, no secret
        self._reset()
        _senders.add(self)

    def _reset(self) -> None:
        """Have no thread, no connection and no office."""
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._working = threading.Lock()
        self._wake = threading.Event()  # something was written
        self._hurry = threading.Event()  # somebody waits
        self._stop = threading.Event()
        self._moved = threading.Condition()
        self._office: _Office | None = None
        self._exit_deadline = 0.0

    # --- from the program's threads ---

    def start(self) -> bool:
        """Have a thread that sends; whether there is one.

        Where none can be started, as while the interpreter exits, `finish`
        does the work itself.
        """
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                thread = threading.Thread(target=self._run, name="codomon-sender", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter exits, or there are too many threads
                    return False
                self._thread = thread
            return self._thread is not None

    def notice(self) -> None:
        """Something was written."""
        if self._thread is None:
            self.start()
        if not self._wake.is_set():
            self._wake.set()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all that is in the journal now is delivered; whether it is.

        Whoever ships it: this process or the elected one.
        """
        deadline = time.monotonic() + timeout_seconds
        goal = self._waiting()
        is_threaded = self.start()
        self._hurry.set()
        while not self._is_delivered(goal):
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
        self._stop.set()
        self._wake.set()
        self._hurry.set()
        thread = self._thread
        if thread is None or not thread.is_alive():
            self._work_here(self._exit_deadline)
        else:
            thread.join(timeout_seconds)
        return self._is_delivered(self._waiting())

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
            while not self._stop.is_set():
                pause_seconds = self._step()
                if self._wake.wait(pause_seconds):
                    # More may come together before a request is made of it.
                    self._hurry.wait(self.pace.linger_seconds)
                    self._wake.clear()
                    self._nudge()
            self._close_up(self._exit_deadline)

    def _nudge(self) -> None:
        """Have the lanes that wait for records look now; all of them where somebody waits."""
        is_urgent = self._hurry.is_set()
        self._hurry.clear()
        for lane in self._office.lanes if self._office else ():
            lane.nudge(even_if_refused=is_urgent)

    @harmless("sending the journal", default=5.0)
    def _step(self) -> float:
        """Do what is due; for how long nothing will be, seconds."""
        office = self._take_office()
        if office is None:
            return self._chance.uniform(0.5, 1.0) * _ELECTION_SECONDS
        self._keep_house(office, time.monotonic())
        for lane in office.lanes:
            lane.work(time.monotonic())
        self._take_stock(office)
        due = min([office.recover_at, *(lane.due for lane in office.lanes)])
        return max(0.0, due - time.monotonic())

    @harmless("sending the rest of the journal", default=None)
    def _close_up(self, deadline: float) -> None:
        """Send everything, one attempt a signal, until *deadline*, and step down.

        Who is not elected leaves it to who is. That one may have looked for
        the last time before our last record: so it looks again once it has
        stepped down, for as long as all goes well.
        """
        is_clear = True
        while is_clear and time.monotonic() < deadline:
            office = self._take_office()
            if office is None:
                return
            is_clear = self._clear(office, deadline)
            self._leave_office()
            if not any(self._waiting().values()):
                return

    def _clear(self, office: _Office, deadline: float) -> bool:
        """Send everything; whether all was taken."""
        if not office.recover_at:
            self._recover(office)
        is_clear = True
        for lane in office.lanes:
            lane.nudge(even_if_refused=True)
            while time.monotonic() < deadline and lane.work(time.monotonic(), deadline):
                continue
            is_clear = is_clear and not lane.is_refused
        self._take_stock(office)
        return is_clear

    # --- office ---

    def _take_office(self) -> _Office | None:
        """Be elected, or stay it; None while somebody else is."""
        if self._is_tainted:
            self._send_another()
            return None
        if not election.stand(self.folder):
            self._drop_office()
            return None
        if self._office is not None and not os.fstat(self._office.folder_fd).st_nlink:
            self._drop_office()  # the folder was removed, and has been made again
        if self._office is None:
            folder_fd = folders.open_folder(self.folder)
            state = load_state(folder_fd)
            lanes = [
                Lane(folder_fd, endpoint, state, pace=self.pace, set_aside=self._set_aside)
                for endpoint in self._endpoints.values()
            ]
            self._office = _Office(
                folder_fd, state, lanes, Recovery(folder_fd, state, self._writer)
            )
        return self._office

    def _leave_office(self) -> None:
        self._drop_office()
        election.step_down(self.folder)
        if self._aside is not None:
            self._aside.forget()
            self._aside = None

    def _drop_office(self) -> None:
        office, self._office = self._office, None
        if office is not None:
            for lane in office.lanes:
                lane.close()
            os.close(office.folder_fd)

    def _send_another(self) -> None:
        """After a fork gRPC cannot be used here: have a process of its own do it."""
        with suppress(OSError):
            if self._other is not None:
                os.waitpid(self._other, os.WNOHANG)
            if election.holder_pid(self.folder) is None:
                environ = {**os.environ, **environment_of(self._endpoints)}
                self._other = light.spawn_sender(self.folder, environ=environ)

    def _keep_house(self, office: _Office, now: float) -> None:
        if now >= office.recover_at:
            office.recover_at = now + _RECOVERY_SECONDS
            self._recover(office)
        if now >= office.evict_at:
            office.evict_at = now + _RETENTION_SECONDS
            self._evict(office)

    def _recover(self, office: _Office) -> None:
        found = office.recovery.search()
        if found:
            self.counts.died += found
            _log.info(
                "found %d executions whose process died before they ended; "
                "their spans have the outcome host_died",
                found,
            )

    def _evict(self, office: _Office) -> None:
        evicted = evict(office.folder_fd, office.state, caps=self._caps)
        office.state.forget_all_but(folders.segment_names(office.folder_fd))
        self.counts.evicted += evicted.undelivered
        if evicted.undelivered:
            _log.warning(
                "evicted %d records from the journal in %s before they were delivered: it is full "
                "or they are too old",
                evicted.undelivered,
                self.folder,
            )

    def _take_stock(self, office: _Office) -> None:
        """Save how far we are, and count."""
        if any(lane.has_moved for lane in office.lanes):
            with suppress(OSError):  # a full disk: sent again should we be started again
                save_state(office.folder_fd, office.state)
        for lane in office.lanes:
            lane.hand_over(self.counts)
        self.trouble = {lane.endpoint.signal: lane.trouble for lane in office.lanes if lane.trouble}
        with self._moved:
            self._moved.notify_all()

    def _set_aside(self, item: Item, reason: str) -> None:
        """Keep what a collector will never take, for whoever wants to know why."""
        _log.warning("a record was refused by the collector (%s) and is set aside", reason)
        if self._aside is None:
            self._aside = Writer(self.folder, stream=folders.ASIDE)
        self._aside.append(segments.TRACES, item.payload or b"", time_unix_ns=item.time_unix_ns)

    # --- how far ---

    def backlog_bytes(self) -> dict[str, int]:
        """What waits to be delivered, by signal, bytes."""
        return {
            signal: sum(
                size for name, size in waiting.items() if name[:1] == folders.STREAMS[signal]
            )
            for signal, waiting in self._waiting().items()
        }

    def _waiting(self) -> dict[str, dict[str, int]]:
        """Where each segment ends that was not delivered up to there, for each signal."""
        try:
            folder_fd = folders.open_folder(self.folder)
        except OSError:  # no folder, nothing in it
            return {}
        try:
            state = load_state(folder_fd)
            return {
                signal: Backlog(folder_fd, signal, state).waiting_ends()
                for signal in self._endpoints
            }
        finally:
            os.close(folder_fd)

    def _is_delivered(self, goal: dict[str, dict[str, int]]) -> bool:
        """Whether each segment of *goal* was delivered up to there, or is gone."""
        waiting = self._waiting()
        return not any(
            name in waiting.get(signal, {}) and self._sent(signal, name) < end
            for signal, ends in goal.items()
            for name, end in ends.items()
        )

    def _sent(self, signal: str, name: str) -> int:
        """How far a segment was delivered, bytes."""
        with suppress(OSError):
            folder_fd = folders.open_folder(self.folder)
            try:
                return load_state(folder_fd).sent[signal].get(name, 0)
            finally:
                os.close(folder_fd)
        return 0

    # --- fork ---

    def _after_fork(self) -> None:
        """Begin anew in a forked child: the thread and the office are the parent's."""
        office = self._office
        self._reset()
        self.counts = Counts()
        self._aside = None
        if office is not None:
            self._is_tainted = self._is_tainted or any(
                lane.endpoint.protocol == GRPC for lane in office.lanes
            )
            # Kept: to destroy a channel of the parent's may hang.
            self._abandoned.append(office)
            os.close(office.folder_fd)


_senders: weakref.WeakSet[Sender] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for sender in tuple(_senders):
        sender._after_fork()  # noqa: SLF001 - same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
