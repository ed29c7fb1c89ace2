"""What is not delivered yet, and how to deliver or delete it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.quantities import in_bytes, in_words
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.errors import CodomonError
from otel_codomon.journal import folder as folders, leader, segments
from otel_codomon.journal.delivery.backlog import (
    Backlog,
    count_damaged,
    count_records,
)
from otel_codomon.journal.delivery.endpoints import SIGNALS, endpoints
from otel_codomon.journal.delivery.sender import Sender
from otel_codomon.journal.delivery.state import State, load_state
from otel_codomon.journal.location import find_journal
from otel_codomon.journal.retention import Caps, Evicted, evict
from otel_codomon.journal.segment_reader import segment_size
from otel_codomon.journal.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOOK_SECONDS: Final = 0.25
SEND_SECONDS: Final = 60.0
"""How long `send_journal` goes on by default, seconds."""


class NoEndpointError(CodomonError):
    """No endpoint is configured."""

    def __init__(self) -> None:
        super().__init__(
            "cannot send the journal: no endpoint is configured; set OTEL_EXPORTER_OTLP_ENDPOINT, "
            "for example to http://localhost:4318"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The undelivered records of one signal.

    Attributes:
        endpoint: Where they go; None where none is configured.
        records: Records that are not delivered yet.
        bytes: Size of the undelivered parts of the segments, bytes.
    """

    endpoint: str | None
    records: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalStatus:
    """What is in a journal.

    Attributes:
        journal: Its folder.
        exists: Whether there is one.
        segments: How many segments it has.
        bytes: Their size together, bytes.
        oldest_unix_ns: When the oldest was begun, nanoseconds since the epoch;
            None where there is none.
        set_aside: Dead letters: records that the receiver rejected.
        damaged: Damaged parts of segments, which are skipped.
        sender_pid: Process that delivers it now; None where there is none, 0 where
            its id cannot be known.
        waiting: What is not delivered yet, by signal.
    """

    journal: str
    exists: bool
    segments: int = 0
    bytes: int = 0
    oldest_unix_ns: int | None = None
    set_aside: int = 0
    damaged: int = 0
    sender_pid: int | None = None
    waiting: Mapping[str, Waiting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of the records of a journal.

    Attributes:
        journal: Its folder.
        delivered: Records that were accepted.
        rejected: Records, spans or points that the receiver rejected.
        died: Executions of dead processes that were found.
        waiting_bytes: What is not delivered yet, by signal, bytes.
        trouble: Why, by signal.
        sender_pid: Another process that delivers the journal; None where it was this one.
    """

    journal: str
    delivered: int
    rejected: int
    died: int
    waiting_bytes: Mapping[str, int]
    trouble: Mapping[str, str]
    sender_pid: int | None

    @property
    def is_complete(self) -> bool:
        """Whether everything is delivered."""
        return not any(self.waiting_bytes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What was deleted.

    Attributes:
        journal: Its folder.
        segments: How many segments.
        undelivered: Records in them that were not delivered.
        kept: Segments that stayed, because a running process writes them.
    """

    journal: str
    segments: int
    undelivered: int
    kept: int


def journal_status(*, journal: str | None = None) -> JournalStatus:
    """What is in the journal, and what of it is not delivered yet.

    Args:
        journal: Its folder; None for what the environment says.
    """
    folder = find_journal(journal)
    named = {signal: endpoint.place for signal, endpoint in endpoints(os.environ).items()}
    with _opened(folder) as folder_fd:
        if folder_fd is None:
            nothing = {s: Waiting(endpoint=named.get(s), records=0, bytes=0) for s in SIGNALS}
            return JournalStatus(journal=folder, exists=False, waiting=nothing)
        state = load_state(folder_fd)
        names = folders.segment_names(folder_fd)
        return JournalStatus(
            journal=folder,
            exists=True,
            segments=len(names),
            bytes=sum(segment_size(folder_fd, name) for name in names),
            oldest_unix_ns=min(map(folders.created_unix_ns, names), default=None),
            set_aside=count_dead_letters(folder_fd),
            damaged=sum(count_damaged(folder_fd, name) for name in names),
            sender_pid=_sender_pid(folder),
            waiting={s: waiting_of(folder_fd, s, state, named.get(s)) for s in SIGNALS},
        )


def waiting_of(folder_fd: int, signal: str, state: State, endpoint: str | None) -> Waiting:
    """What of *signal* is not delivered yet: the one figure that every command shows.

    Args:
        folder_fd: The journal's folder.
        signal: One of `SIGNALS`.
        state: How far each signal was delivered.
        endpoint: Where it goes; None where none is configured.
    """
    backlog = Backlog(VerifiedDescriptor(folder_fd), signal, state)
    records = backlog.waiting_records()
    size = sum(backlog.waiting_bytes().values()) if records else 0
    return Waiting(endpoint=endpoint, records=records, bytes=size)


def describe_waiting(waiting: Waiting) -> str:
    """How many records are not delivered, with their size: ``1 record (2.2 KiB)``."""
    return f"{in_words(waiting.records, 'record', 'records')} ({in_bytes(waiting.bytes)})"


def describe_sender(pid: int | None) -> str:
    """Which process delivers the journal now: ``process 4711``, ``not running``."""
    if pid is None:
        return "not running"
    return f"process {pid}" if pid else "a process in another PID namespace"


def _sender_pid(folder: str) -> int | None:
    try:
        return leader.holder_pid(folder)
    except OSError:  # what has the name of the lock file is not one: `doctor` says so
        return None


def count_dead_letters(folder_fd: int) -> int:
    """How many records are kept that the receiver rejected."""
    return sum(
        count_records(folder_fd, name, signals=(segments.TRACES,))
        for name in folders.segment_names(folder_fd, folders.DEAD_LETTERS)
    )


def send_journal(
    *,
    journal: str | None = None,
    timeout_seconds: float = SEND_SECONDS,
    on_progress: Callable[[int], None] = lambda _delivered: None,
) -> Sent:
    """Deliver what is not delivered yet, or wait for the process that does.

    Args:
        journal: Folder of the journal; None for what the environment says.
        timeout_seconds: How long to go on, seconds.
        on_progress: Called with how many records were delivered, now and then.

    Raises:
        NoEndpointError: No endpoint is configured.
    """
    folder = find_journal(journal)
    named = endpoints(os.environ)
    if not named:
        raise NoEndpointError
    writer = Writer(folder)
    sender = Sender(folder, named, writer=writer)
    other = leader.holder_pid(folder)
    deadline = time.monotonic() + timeout_seconds
    try:
        while not sender.flush(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic()))):
            on_progress(sender.counts.delivered)
            if time.monotonic() >= deadline:
                break
    finally:
        sender.finish(1.0)
        writer.forget()
    return Sent(
        journal=folder,
        delivered=sender.counts.delivered,
        rejected=sender.counts.rejected,
        died=sender.counts.died,
        waiting_bytes=sender.backlog_bytes(),
        trouble=sender.trouble,
        sender_pid=other,
    )


def purge_journal(*, journal: str | None = None) -> Purged:
    """Delete everything but what a running process writes.

    Args:
        journal: Folder of the journal; None for what the environment says.
    """
    folder = find_journal(journal)
    with _opened(folder) as folder_fd:
        if folder_fd is None:
            return Purged(journal=folder, segments=0, undelivered=0, kept=0)
        evicted: Evicted = evict(folder_fd, load_state(folder_fd), caps=Caps(size_bytes=-1))
        kept = len(folders.segment_names(folder_fd))
    return Purged(
        journal=folder, segments=evicted.segments, undelivered=evicted.undelivered, kept=kept
    )


@contextmanager
def _opened(folder: str) -> Iterator[int | None]:
    """A descriptor of *folder*; None where there is none: to look does not make one."""
    folder_fd = folders.find_folder(folder)
    try:
        yield folder_fd
    finally:
        if folder_fd is not None:
            os.close(folder_fd)
