"""Says when processes of a cgroup end, before whoever made it can remove it.

A container engine removes a cgroup milliseconds after its last process has ended,
and with it what the kernel has counted. A descriptor of each process tells that at once.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.threads_and_forks import OwnThread
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_REFRESH_SECONDS: Final = 0.1
"""How soon a process is known that has joined. The first process ends last, as a rule."""

_MOST_WATCHED: Final = 64
"""Processes of one cgroup: each takes a descriptor."""


class ExitWatch:
    """Watches the processes of one cgroup, in a thread of its own, until it is stopped.

    Args:
        pids: Lists the processes that are in it now.
        on_exit: Called in that thread each time that some of them have ended.
    """

    def __init__(self, pids: Callable[[], Sequence[int]], on_exit: Callable[[], object]) -> None:
        self._pids = pids
        self._on_exit = on_exit
        self._is_stopped = False
        self._watched: dict[int, VerifiedDescriptor] = {}

    def start(self) -> None:
        """Begin, where the kernel has descriptors of processes; elsewhere nothing is told."""
        if hasattr(os, "pidfd_open") and hasattr(select, "poll"):
            OwnThread(self._run, name="otel_codomon exits").start()

    def stop(self) -> None:
        """Tell nothing more; the thread ends within a tenth of a second."""
        self._is_stopped = True

    def close(self) -> None:
        """Close the descriptors: at the end of the thread, or in a forked child without it."""
        for kept in self._watched.values():
            kept.close()

    def _run(self) -> None:
        watched = self._watched
        try:
            while not self._is_stopped:
                self._add(watched)
                poller = select.poll()
                by_number = {kept.number: pid for pid, kept in watched.items() if kept.is_ours}
                for number in by_number:
                    poller.register(number, select.POLLIN)
                ended = poller.poll(_REFRESH_SECONDS * 1000)
                for number, _ in ended:
                    watched.pop(by_number[number]).close()
                if ended and not self._is_stopped:
                    self._on_exit()
        finally:
            self.close()

    def _add(self, watched: dict[int, VerifiedDescriptor]) -> None:
        for pid in self._pids():
            if len(watched) >= _MOST_WATCHED:
                return
            if pid in watched:
                continue
            try:
                watched[pid] = VerifiedDescriptor(os.pidfd_open(pid))
            except OSError:  # it has ended, or there are no more descriptors
                continue
