"""The thread that writes what may wait a tenth of a second, and leaves signs of life."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.threads_and_forks import PausableThread, Wake, on_fork

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.journal.writer import Writer

FLUSH_SECONDS: Final = 0.1
"""How long a span that is no execution may wait in memory; the bound DESIGN gives."""

SIGN_OF_LIFE_SECONDS: Final = 1.0
"""How often the segment is touched while executions run: how exactly the end
of one whose process dies can be told."""


class Flusher:
    """Calls *flush* a tenth of a second after `flush_soon`, from one lazy thread.

    Where no thread can be started, as while the interpreter exits, it flushes
    at once instead.

    Args:
        flush: Writes what is pending.
        writer: Whose segment gets the signs of life, and is synced where its
            durability asks for it.

    Attributes:
        beat: Called after each sign of life; never raises.
    """

    def __init__(self, flush: Callable[[], None], writer: Writer) -> None:
        self._flush = flush
        self._writer = writer
        self.beat: Callable[[], None] = lambda: None
        self._after_fork: Callable[[], None] = lambda: None
        self._reset()
        self._thread = PausableThread(self._run, name="codomon-journal", wake=self._wake_up)
        _flushers.add(self)

    def _reset(self) -> None:
        self._wake = Wake()
        self._hurry = Wake()
        self._parked = True

    def _wake_up(self) -> None:
        self._wake.set()
        self._hurry.set()

    def after_fork(self) -> None:
        """Begin anew in a forked child: the thread is the parent's."""
        self._reset()
        self._thread.forget()
        self._after_fork()

    def on_fork_in_child(self, forget: Callable[[], None]) -> None:
        """Call *forget* in every forked child, before anything else there."""
        self._after_fork = forget

    def flush_soon(self, *, now: bool = False) -> None:
        """See that *flush* is called, within 100 ms or *now*."""
        if now:
            self._hurry.set()
        self._wake.set()
        if self._thread.is_stopped or not (self._thread.is_there or self._thread.start()):
            self._flush()

    def watch_life(self) -> None:
        """Leave signs of life, and sync, from now on for as long as executions run."""
        if self._parked:
            self._parked = False
            self._wake.set()
            if not self._thread.is_there:
                self._thread.start()

    def flush_now(self) -> None:
        """Flush in this thread, and sync."""
        self._flush()
        self._writer.sync()

    def stop(self) -> None:
        """Flush, and end the thread."""
        self._thread.stop()
        self.flush_now()
        self._thread.join(1)  # it only ever waits for the disk

    def _run(self) -> None:
        while not self._thread.is_ending:
            # Parked first, then a look: a start that comes in between wakes us.
            self._parked = True
            if self._writer.running or self._needs_sync():
                self._parked = False
            self._wake.wait(None if self._parked else self._period_seconds())
            self._parked = False
            if self._wake.is_set():
                self._wake.clear()
                self._hurry.wait(FLUSH_SECONDS)
                self._hurry.clear()
                self._flush()
            self._writer.sync()
            if self._writer.running:
                self._writer.sign_of_life()
                self.beat()

    def _needs_sync(self) -> bool:
        return self._writer.durability != "process" and self._writer.must_sync

    def _period_seconds(self) -> float:
        return SIGN_OF_LIFE_SECONDS if self._writer.durability == "process" else FLUSH_SECONDS


_flushers: weakref.WeakSet[Flusher] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for flusher in tuple(_flushers):
        flusher.after_fork()


on_fork("flusher", in_child=_after_fork_in_child)
