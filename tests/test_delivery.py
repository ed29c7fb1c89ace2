"""How much is sent at once: as much as may be sent in vain."""

from __future__ import annotations

from hypothesis import given, strategies as st

from otel_codomon.journal.delivery.answers import Answer, AnswerKind
from otel_codomon.journal.delivery.backlog import MAX_BATCH_BYTES, Item
from otel_codomon.journal.delivery.batch_sender import BatchSender

TAKEN = Answer(kind=AnswerKind.DELIVERED)
NO_ANSWER = Answer(kind=AnswerKind.RETRY, is_answer=False)
TOO_BUSY = Answer(kind=AnswerKind.RETRY)
SMALL = 4 * 1024


class Line:
    """A collector that answers as planned."""

    def __init__(self) -> None:
        self.answer = TAKEN
        self.sent: list[tuple[int, Answer]] = []

    def send(self, body: bytes, *, timeout_seconds: float) -> Answer:
        """Note the size of *body*, bytes."""
        del timeout_seconds
        self.sent.append((len(body), self.answer))
        return self.answer

    def close(self) -> None:
        """Nothing to close."""


def courier_to(line: Line, *, credit: int = 0) -> BatchSender:
    return BatchSender(
        "traces",
        line,
        done=lambda _items: None,
        dead_letter=lambda _item, _reason: None,
        timeout_seconds=lambda: 1.0,
        credit=credit,
    )


def deliver_a_full_batch(courier: BatchSender) -> None:
    courier.deliver([Item("t", courier.max_batch_bytes, b"x" * courier.max_batch_bytes, 0)])


@given(st.lists(st.sampled_from([TAKEN, TAKEN, TAKEN, NO_ANSWER, TOO_BUSY]), max_size=200))
def test_what_is_sent_in_vain_is_a_twentieth_of_what_was_taken_and_little_each_time(
    answers: list[Answer],
) -> None:
    line = Line()
    courier = courier_to(line)

    for line.answer in answers:
        deliver_a_full_batch(courier)

    in_vain = [size for size, answer in line.sent if answer is NO_ANSWER]
    taken = sum(size for size, answer in line.sent if answer is TAKEN)
    assert sum(in_vain) <= taken / 20 + SMALL * len(in_vain)


def test_a_journal_that_is_taken_is_soon_sent_in_large_requests() -> None:
    line = Line()
    courier = courier_to(line)

    while courier.max_batch_bytes < MAX_BATCH_BYTES:
        deliver_a_full_batch(courier)

    assert len(line.sent) < 200
    assert sum(size for size, _ in line.sent) < 21 * MAX_BATCH_BYTES


def test_what_was_earned_is_handed_on() -> None:
    line = Line()
    before = courier_to(line)
    for _ in range(100):
        deliver_a_full_batch(before)

    after = courier_to(line, credit=before.credit)

    assert after.max_batch_bytes == before.max_batch_bytes > SMALL
