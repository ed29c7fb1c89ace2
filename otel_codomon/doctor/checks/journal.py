"""Whether the journal is healthy, what is undelivered, and which process delivers it."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.quantities import in_bytes, in_seconds, in_words
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.doctor.checks.result import CheckResult, State
from otel_codomon.journal import folder as folders
from otel_codomon.journal.delivery.backlog import Backlog
from otel_codomon.journal.delivery.endpoints import SIGNALS
from otel_codomon.journal.delivery.state import load_state
from otel_codomon.journal.index import build_index
from otel_codomon.journal.leader import LOCK_FILE, holder_pid
from otel_codomon.journal.operation import (
    count_dead_letters,
    describe_sender,
    describe_waiting,
    waiting_of,
)
from otel_codomon.journal.records import is_delivery_wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.doctor.checks.result import Scene

CATEGORY: Final = "journal"
# Below this a full disk is near enough to say so.
_SCARCE_BYTES: Final = 512 * 1024 * 1024


def check(scene: Scene) -> Iterator[CheckResult]:
    """Check the directory, its segments, the backlog and the sender."""
    if scene.journal is None:
        yield _line(
            "directory",
            State.WARNING,
            "switched off: executions are lost while no receiver accepts them",
            hint="unset OTEL_PYTHON_CODOMON_JOURNAL, or set it to a directory",
        )
        return
    if not os.path.lexists(scene.journal):
        yield _line(
            "directory", State.OFF, f"{scene.journal} does not exist yet; it is created when needed"
        )
        return
    try:
        folder_fd = folders.find_folder(scene.journal)
    except OSError as error:  # JournalUnavailableError says what to do itself
        yield _line("directory", State.FAILURE, str(error))
        return
    if folder_fd is None:  # a link that leads nowhere, or removed in this instant
        yield _line("directory", State.FAILURE, f"{scene.journal} links to nothing that exists")
        return
    try:
        yield from _look(scene, scene.journal, folder_fd)
    finally:
        os.close(folder_fd)


def _look(scene: Scene, folder: str, folder_fd: int) -> Iterator[CheckResult]:
    yield _folder(folder, folder_fd)
    yield _health(folder_fd)
    yield from _dead_letters(folder_fd)
    yield from _backlog(scene, folder_fd)
    yield _sender(scene, folder)


def _line(name: str, state: State, detail: str, *, hint: str | None = None) -> CheckResult:
    return CheckResult(category=CATEGORY, name=name, state=state, detail=detail, hint=hint)


def _folder(folder: str, folder_fd: int) -> CheckResult:
    names = folders.segment_names(folder_fd)
    size = sum(_size(folder_fd, name) for name in names)
    space = os.fstatvfs(folder_fd)
    free = space.f_bavail * space.f_frsize
    held = in_words(len(names), "segment", "segments")
    detail = f"{folder} has {in_bytes(size)} in {held}, {in_bytes(free)} free"
    mode = stat.S_IMODE(os.fstat(folder_fd).st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        return _line(
            "directory",
            State.WARNING,
            f"{detail}; other users may write there (mode {mode:04o})",
            hint=f"chmod 700 {folder}: other users could delete undelivered records",
        )
    if free < _SCARCE_BYTES:
        return _line(
            "directory",
            State.WARNING,
            detail,
            hint="free some space: nothing is recorded on a full disk",
        )
    return _line("directory", State.OK, detail)


def _size(folder_fd: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder_fd).st_size
    except OSError:  # evicted since it was listed
        return 0


def _health(folder_fd: int) -> CheckResult:
    begin = time.monotonic()
    index = build_index(folder_fd)
    took = in_seconds(time.monotonic() - begin)
    detail = (
        f"{in_words(len(index.places), 'execution', 'executions')} can be read, indexed in {took}"
    )
    future = [p for p in index.places.values() if p.written_unix_ns > time.time_ns() + 60 * 10**9]
    if index.damaged:
        return _line(
            "records",
            State.WARNING,
            f"{detail}; skipped {in_words(index.damaged, 'damaged part', 'damaged parts')}",
            hint="intact records are still read and sent; check the disk if the count grows",
        )
    if future:
        return _line(
            "records",
            State.WARNING,
            f"{detail}; {in_words(len(future), 'has', 'have')} a time in the future",
            hint="check the clock: it was set back, and a report's period may not include them",
        )
    return _line("records", State.OK, detail)


def _dead_letters(folder_fd: int) -> Iterator[CheckResult]:
    count = count_dead_letters(folder_fd)
    if count:
        yield _line(
            "dead letters",
            State.WARNING,
            f"{in_words(count, 'dead letter', 'dead letters')}: records that the receiver rejected",
            hint="see the log of the sending process for the reason; the records are in x-*.seg",
        )


def _backlog(scene: Scene, folder_fd: int) -> Iterator[CheckResult]:
    state = load_state(folder_fd)
    is_wanted = is_delivery_wanted(scene.environ)
    for signal in SIGNALS:
        waiting = waiting_of(folder_fd, signal, state, None)
        name, detail = f"backlog of {signal}", describe_waiting(waiting)
        if waiting.records and not is_wanted:
            detail += ", not exported: no OTLP endpoint is set"
        elif waiting.records:
            segments = Backlog(VerifiedDescriptor(folder_fd), signal, state).waiting_bytes()
            age = time.time() - min(map(folders.created_unix_ns, segments), default=0) / 1e9
            detail += f", in segments of up to {in_seconds(age)} ago"
        is_off = waiting.records and not is_wanted
        yield _line(name, State.OFF if is_off else State.OK, detail)


def _sender(scene: Scene, folder: str) -> CheckResult:
    try:
        pid = holder_pid(folder)
    except OSError as error:
        return _line(
            "sender",
            State.FAILURE,
            f"no process can deliver: {error}",
            hint=f"remove {LOCK_FILE} from the journal",
        )
    if pid is not None:
        return _line("sender", State.OK, describe_sender(pid))
    if not is_delivery_wanted(scene.environ):
        return _line("sender", State.OFF, f"{describe_sender(pid)}: no OTLP endpoint is set")
    return _line(
        "sender",
        State.OFF,
        describe_sender(pid),
        hint="start a program that calls configure(), or run `otel-codomon journal send`",
    )
