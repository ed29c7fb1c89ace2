"""The journal against a plain list: write, rotate, send, fail, crash, restart, evict."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.delivery.answers import Answer, AnswerKind
from otel_codomon.journal.delivery.backlog import Backlog, Item
from otel_codomon.journal.delivery.batch_sender import BatchSender
from otel_codomon.journal.delivery.state import State, load_state, save_state
from otel_codomon.journal.retention import Caps, evict
from otel_codomon.journal.writer import Writer

pytestmark = pytest.mark.long

POISON = b"poison"


def payload_of(number: int, *, poison: bool) -> bytes:
    """A payload that concatenates: a number between bars."""
    return b"|%d%s|" % (number, POISON if poison else b"")


class Inbox:
    """A collector as a list: takes what it is told to take."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.answer = Answer(kind=AnswerKind.DELIVERED)

    def send(self, body: bytes, *, timeout_seconds: float) -> Answer:
        """Take *body*, refuse it, or say what is planned."""
        del timeout_seconds
        if self.answer.kind is not AnswerKind.DELIVERED:
            return self.answer
        if POISON in body:
            return Answer(kind=AnswerKind.REFUSED, reason="poison")
        self.taken += [int(number) for number in body.split(b"|") if number]
        return self.answer

    def close(self) -> None:
        """Nothing to close."""


class JournalMachine(RuleBasedStateMachine):
    """What was written is delivered, refused for its poison, waiting, or counted as evicted."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="journal-model-")
        self.folder_fd = folders.open_folder(self.folder)
        self.inbox = Inbox()
        self.written: dict[int, int] = {}  # number: life of the writer
        self.poisoned: set[int] = set()
        self.aside: list[bytes] = []
        self.evicted = 0
        self.life = 0

    @initialize()
    def begin(self) -> None:
        self.writer = Writer(self.folder, max_segment_bytes=700)
        self.restart_sender()

    def teardown(self) -> None:
        try:
            self.inbox.answer = Answer(kind=AnswerKind.DELIVERED)
            while batch := self.backlog.next_batch(10_000):
                assert self.courier.deliver(batch) is None
            missing = self.written.keys() - set(self.inbox.taken) - self.poisoned
            assert len(missing) <= self.evicted
            assert set(self.inbox.taken) <= self.written.keys() - self.poisoned
        finally:
            self.writer.forget()
            os.close(self.folder_fd)
            shutil.rmtree(self.folder)

    @rule(count=st.integers(1, 6), poison=st.booleans())
    def write(self, count: int, *, poison: bool) -> None:
        for _ in range(count):
            number = len(self.written)
            assert self.writer.append(segments.TRACES, payload_of(number, poison=poison))
            self.written[number] = self.life
            if poison:
                self.poisoned.add(number)

    @rule(max_bytes=st.integers(1, 200))
    def send(self, max_bytes: int) -> None:
        assert self.courier.deliver(self.backlog.next_batch(max_bytes)) is None

    @rule(kind=st.sampled_from([AnswerKind.RETRY, AnswerKind.BLOCKED, AnswerKind.AMBIGUOUS]))
    def collector_fails(self, kind: AnswerKind) -> None:
        waiting = self.backlog.waiting_records()
        self.inbox.answer = Answer(kind=kind)
        self.courier.deliver(self.backlog.next_batch(100))
        self.inbox.answer = Answer(kind=AnswerKind.DELIVERED)
        assert self.backlog.waiting_records() == waiting

    @rule()
    def save(self) -> None:
        save_state(self.folder_fd, self.state)

    @rule()
    def restart_sender(self) -> None:
        """The sender dies, and the next one knows what was saved."""
        self.state = load_state(self.folder_fd)
        self.backlog = Backlog(VerifiedDescriptor(self.folder_fd), "traces", self.state)
        self.courier = BatchSender(
            "traces",
            self.inbox,
            done=self.backlog.done,
            dead_letter=self.dead_letter,
            timeout_seconds=lambda: 1.0,
        )

    @rule(torn=st.binary(max_size=60))
    def restart_writer(self, torn: bytes) -> None:
        """The writer dies in the middle of a record, and another begins."""
        self.writer.forget()
        names = folders.segment_names(self.folder_fd, folders.TRACES)
        if names and torn:
            record = segments.encode(segments.TRACES, b"x" * 70, time_unix_ns=1)
            with (Path(self.folder) / names[-1]).open("ab") as segment:
                segment.write(record[: len(torn)])
        self.life += 1
        self.writer = Writer(self.folder, max_segment_bytes=700)

    @rule(size_bytes=st.integers(0, 4000))
    def make_room(self, size_bytes: int) -> None:
        self.evicted += evict(
            self.folder_fd, self.state, caps=Caps(size_bytes=size_bytes)
        ).undelivered

    def dead_letter(self, item: Item, reason: str) -> None:
        assert reason == "poison"
        self.aside.append(item.payload or b"")

    @invariant()
    def each_writer_is_delivered_in_order(self) -> None:
        first_seen = list(dict.fromkeys(self.inbox.taken))
        for life in range(self.life + 1):
            of_one = [number for number in first_seen if self.written[number] == life]
            assert of_one == sorted(of_one)

    @invariant()
    def nothing_was_made_up(self) -> None:
        assert all(POISON in payload for payload in self.aside)
        assert State().sent == {"traces": {}, "metrics": {}, "logs": {}}


JournalMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestJournalAgainstAList = JournalMachine.TestCase
