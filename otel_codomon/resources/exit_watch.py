"""Reports the ends of processes in a cgroup, before its creator removes it.

A container engine removes a cgroup milliseconds after its last process has ended,
and with it what the kernel has counted. A descriptor of each process shows that at once.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.threads_and_forks import OwnThread
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_REFRESH_SECONDS: Final = 0.1
"""How soon a process is known that has joined. The first process ends last, as a rule."""

_MOST_WATCHED: Final = 64
"""Processes of one cgroup: each takes a descriptor."""


class ExitWatch:
    """Watches the processes of one cgroup, in a thread of its own, until it is stopped.

    Args:
        pids: Lists the processes that are in it now.
        on_exit: Called in that thread each time that some of them have ended, with
            those that have and may still be listed: nobody has waited for them yet.
    """

    def __init__(
        self,
        pids: Callable[[], Collection[int]],
        on_exit: Callable[[Collection[int]], object],
    ) -> None:
        self._pids = pids
        self._on_exit = on_exit
        self._is_stopped = False
        self._watched: dict[int, VerifiedDescriptor] = {}

    def start(self) -> None:
        """Begin, where the kernel has descriptors of processes; elsewhere no end is reported."""
        if hasattr(os, "pidfd_open") and hasattr(select, "poll"):
            with suppress(RuntimeError):  # no more threads: the last sample has to do
                OwnThread(self._run, name="otel_codomon exits").start()

    def stop(self) -> None:
        """Report nothing more; the thread ends within a tenth of a second."""
        self._is_stopped = True

    def close(self) -> None:
        """Close the descriptors: at the end of the thread, or in a forked child without it."""
        for kept in self._watched.values():
            kept.close()

    def _run(self) -> None:
        watched = self._watched
        ended: set[int] = set()
        try:
            while not self._is_stopped:
                members = set(self._pids())
                ended &= members
                self._add(members - ended)
                poller = select.poll()
                by_number = {kept.number: pid for pid, kept in watched.items() if kept.is_ours}
                for number in by_number:
                    poller.register(number, select.POLLIN)
                told = poller.poll(_REFRESH_SECONDS * 1000)
                for number, _ in told:
                    ended.add(by_number[number])
                    watched.pop(by_number[number]).close()
                if told and not self._is_stopped:
                    self._on_exit(ended)
        finally:
            self.close()

    def _add(self, members: set[int]) -> None:
        for pid in sorted(members - self._watched.keys()):
            if len(self._watched) >= _MOST_WATCHED:
                return
            try:
                self._watched[pid] = VerifiedDescriptor(os.pidfd_open(pid))
            except OSError:  # it has ended, or there are no more descriptors
                continue
