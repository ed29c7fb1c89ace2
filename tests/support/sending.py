"""A sender of a test's own, in a hurry."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from otel_codomon.journal.delivery.endpoints import endpoints
from otel_codomon.journal.delivery.sender import Sender
from otel_codomon.journal.delivery.signal_queue import Pace
from otel_codomon.journal.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HASTE = Pace(
    poll_seconds=0.02,
    linger_seconds=0.01,
    first_retry_seconds=0.02,
    last_retry_seconds=0.05,
    blocked_seconds=0.05,
)

# Only guards against a hang.
PATIENCE_SECONDS = 120.0


@contextmanager
def sending(folder: str, environ: Mapping[str, str], *, pace: Pace = HASTE) -> Iterator[Sender]:
    """A sender for the journal in *folder*, by the settings of *environ*."""
    writer = Writer(folder)
    sender = Sender(folder, endpoints(environ), writer=writer, pace=pace)
    try:
        yield sender
    finally:
        sender.finish(PATIENCE_SECONDS)
        writer.forget()
