"""The log record processor: what was emitted is on disk, for any SDK logger provider.

Imported where log records are wanted only: the SDK's part for them takes 7 ms.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LogRecordProcessor

from otel_codomon import names
from otel_codomon._platform.never_raises import never_raises
from otel_codomon.journal import segments
from otel_codomon.journal.flusher import Flusher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_codomon.journal.direct_export import PlainExport
    from otel_codomon.journal.writer import Writer

_MAX_PENDING: Final = 512
"""Log records that wait for the next write: the stock batch's size."""


class JournalLogProcessor(LogRecordProcessor):
    """Writes the log records of a provider to the journal, within 100 ms.

    Those of an execution are there when its call returns: see `write_pending`.

    Args:
        writer: Where to; of the stream `folder.LOGS`.
        deliver: Whether the journal delivers. If not, somebody else's exporter
            does: then those of executions are kept, as this machine's history, and
            others are none of the journal's business.
        on_write: Called after log records were written.
        plain: Exports what the journal delivers and cannot take; None where
            there is no receiver.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        deliver: bool = True,
        on_write: Callable[[], None] = lambda: None,
        plain: PlainExport[Any] | None = None,
    ) -> None:
        self._writer = writer
        self.deliver = deliver
        self.is_on = True
        self._on_write = on_write
        self._plain = plain
        self._flusher = Flusher(self._write_pending, writer)
        self._pending: list[Any] = []
        self._make_locks()
        self._flusher.on_fork_in_child(self._after_fork)

    def _make_locks(self) -> None:
        # Reentrant: a signal handler may emit while this thread does.
        self._lock = threading.RLock()
        self._writing = threading.RLock()

    def _after_fork(self) -> None:
        self._make_locks()
        self._pending = []  # the parent writes them

    @never_raises("writing a log record to the journal", default=None)
    def on_emit(self, log_record: Any) -> None:  # noqa: ANN401 - of another class before 1.39
        """Take a log record into the next batch."""
        if not self.is_on or not (self.deliver or _is_ours(log_record)):
            return
        with self._lock:
            self._pending.append(log_record)
            count = len(self._pending)
        if count == 1 or count >= _MAX_PENDING:
            self._flusher.flush_soon(now=count >= _MAX_PENDING)

    def _write_pending(self) -> None:
        with self._writing:  # a second flush waits for the first
            with self._lock:
                pending, self._pending = self._pending, []
            by_span: dict[bytes, list[Any]] = defaultdict(list)
            for one in pending:
                by_span[_key(one)].append(one)
            for key, batch in by_span.items():
                self._write(key, batch)

    @never_raises("writing log records to the journal", default=None)
    def _write(self, key: bytes, batch: list[Any]) -> None:
        requests, refused = encode_logs_data(batch)
        self._writer.unwritten += refused
        flags = 0 if self.deliver else segments.HISTORY
        # One record for all of a span: requests concatenate, and `show` finds them by it.
        if not requests:
            return
        if self._writer.append(segments.LOGS, b"".join(requests), key=key, flags=flags):
            if self.deliver:
                self._on_write()
        elif self.deliver and self._plain is not None:
            for one in batch:
                self._plain.add(one)

    @never_raises("writing log records to the journal", default=False)
    def write_pending(self) -> bool:
        """Write what is pending; whether all of it is on disk."""
        before = self._writer.unwritten
        self._flusher.flush_now()
        return self._writer.unwritten == before

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Write what is pending; whether all of it is on disk."""
        del timeout_millis
        return self.write_pending()

    def shutdown(self) -> None:
        """Write what is pending."""
        self._flusher.stop()


def encode_logs_data(batch: Sequence[Any]) -> tuple[list[bytes], int]:
    """*batch* as one request; if that fails as one for each log record that can be encoded.

    Args:
        batch: What the SDK hands to processors: ``LogData`` before 1.39,
            ``ReadWriteLogRecord`` since. The encoder of the same release takes it.

    Returns:
        The requests, and how many log records are in none of them.
    """
    try:
        return [encode_logs(batch).SerializeToString()], 0
    except Exception:  # noqa: BLE001 - one log record that cannot be encoded, somewhere
        encoded = [_encode_alone(one) for one in batch]
    whole = [request for request in encoded if request is not None]
    return whole, len(encoded) - len(whole)


@never_raises("encoding a log record", default=None)
def _encode_alone(one: Any) -> bytes | None:  # noqa: ANN401 - as above
    return encode_logs([one]).SerializeToString()


def _is_ours(one: Any) -> bool:  # noqa: ANN401 - as above
    scope = one.instrumentation_scope
    return scope is not None and scope.name == names.SCOPE


def _key(one: Any) -> bytes:  # noqa: ANN401 - as above
    """The span of a log record of an execution; nothing for others."""
    span_id = one.log_record.span_id if _is_ours(one) else None
    return span_id.to_bytes(8, "big") if span_id else segments.NO_KEY
