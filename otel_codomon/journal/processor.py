"""The span processor: what ends is on disk, for any SDK tracer provider."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final, Literal

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

from otel_codomon import names
from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.scrubbed_values import scrubbed_words
from otel_codomon.journal import records, segments
from otel_codomon.journal.encoding import SpanEncoder, cleaned, restored
from otel_codomon.journal.flusher import Flusher
from otel_codomon.journal.own_attributes import own_of
from otel_codomon.journal.span_json import ended_payload, started_payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from otel_codomon.journal.direct_export import PlainExport
    from otel_codomon.journal.own_attributes import OwnFacts
    from otel_codomon.journal.writer import Writer

    MetricsBy = Literal["ends", "instruments", "nothing"]

_MAX_PENDING: Final = 512
"""Spans that are not executions and wait for the next write: the stock batch's size."""


class JournalSpanProcessor(SpanProcessor):
    """Writes the spans of a provider to the journal.

    An execution's start is on disk when its block is entered, and its end
    when its call returns. Other spans follow within 100 ms.

    Args:
        writer: Where to.
        deliver: Whether the journal delivers. If not, somebody else's exporter
            does: then executions are kept, as this machine's history, and
            other spans are none of the journal's business.
        metrics_by: What the metrics of executions are made from: their ends, by
            whoever delivers them; instruments of this process; or nothing, where no
            metrics are wanted.
        on_write: Called after spans were written.
        on_flush: Waits, for so many seconds at most, until what was written is
            delivered, and says whether it is; None where nobody delivers.
        beat: Called about once a second while executions run.
        plain: Exports what the journal delivers and cannot take; None where
            there is no receiver.
        before_end: Called before the end of an execution is written.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        deliver: bool = True,
        metrics_by: MetricsBy = "instruments",
        on_write: Callable[[], None] = lambda: None,
        on_flush: Callable[[float], bool] | None = None,
        beat: Callable[[], None] | None = None,
        plain: PlainExport[ReadableSpan] | None = None,
        before_end: Callable[[], object] = lambda: None,
    ) -> None:
        self._writer = writer
        self._plain = plain
        self.deliver = deliver
        self._counts = metrics_by == "ends"
        self._started_flags = segments.UNCOUNTED if metrics_by == "nothing" else 0
        self.is_on = True
        self._on_write = on_write
        self._on_flush = on_flush
        self._before_end = before_end
        self._encoder = SpanEncoder()
        self._resource_keys: dict[tuple[int, int], tuple[Resource, str]] = {}
        self._flusher = Flusher(self._write_pending, writer)
        if beat is not None:
            self._flusher.beat = never_raises("writing heartbeats", default=None)(beat)
        self._pending: list[ReadableSpan] = []
        self._own: dict[int, OwnFacts] = {}
        self._parents: frozenset[bytes] = frozenset()
        self._make_locks()
        self._flusher.on_fork_in_child(self._after_fork)

    def _make_locks(self) -> None:
        # Reentrant: a signal handler may end a span while this thread does.
        self._lock = threading.RLock()
        self._writing = threading.RLock()

    def _after_fork(self) -> None:
        self._make_locks()
        self._pending, self._own = [], {}  # the parent writes them
        # Some SDKs end a span when it is let go of, as here in the child.
        self._parents |= self._writer.open_keys()

    @never_raises("writing the start of a span to the journal", default=None)
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Write the start of an execution."""
        if not (self.is_on and _is_in_scope(span)):
            return
        own = own_of(parent_context)
        if own is None and not is_execution(span):
            return
        context = _context(span)
        if own is not None:
            self._own[context.span_id] = own
        payload = started_payload(span, own, resource=self._resource_key(span.resource))
        if own is not None and own.command:
            payload[records.COMMAND] = scrubbed_words(own.command)
        self._writer.append(
            segments.STARTED,
            records.to_json(payload),
            key=_key(context),
            flags=self._started_flags | _unsampled(context),
            # Not now: one that had ended before it was recorded started long ago.
            dated_unix_ns=span.start_time,
        )
        self._flusher.watch_life()

    def _resource_key(self, resource: Resource) -> str:
        place = (id(resource), os.getpid())  # a fork need not call hooks to be one
        found = self._resource_keys.get(place)
        if found is None:
            declared = records.to_json(dict(resource.attributes))
            key = records.key_of(declared)
            self._writer.declare(key, declared)
            found = self._resource_keys[place] = (resource, key.hex())
        return found[1]

    @never_raises("writing the end of a span to the journal", default=None)
    def on_end(self, span: ReadableSpan) -> None:
        """Write the span of an execution; take any other into the next batch."""
        context = _context(span)
        own = self._own.pop(context.span_id, None)
        if not self.is_on:
            return
        if own is not None or is_execution(span):
            self._write_execution(span, context, own)
        elif self.deliver and context.trace_flags.sampled:
            with self._lock:
                self._pending.append(span)
                count = len(self._pending)
            if count == 1 or count >= _MAX_PENDING:
                self._flusher.flush_soon(now=count >= _MAX_PENDING)

    def _write_execution(
        self, span: ReadableSpan, context: SpanContext, own: OwnFacts | None
    ) -> None:
        key = _key(context)
        if key in self._parents:
            return  # it goes on in the process that was forked from
        self._before_end()
        payload = self._encoded_end(span, own)
        flags = _unsampled(context)
        flags |= 0 if self._counts else segments.UNCOUNTED
        flags |= 0 if self.deliver else segments.HISTORY
        is_written = self._writer.append(segments.ENDED, payload, key=key, flags=flags)
        if is_written and (self.deliver or self._counts):
            self._on_write()
        elif self.deliver and context.trace_flags.sampled:
            self._export_plainly(span if own is None else restored(span, own))

    def _encoded_end(self, span: ReadableSpan, own: OwnFacts | None) -> bytes:
        resource = self._resource_key(span.resource)
        try:
            return records.to_json(ended_payload(span, own, resource=resource))
        except (TypeError, ValueError):  # a value of the user's that JSON has no form for
            return records.to_json(ended_payload(cleaned(span), own, resource=resource))

    def _write_pending(self) -> None:
        with self._writing:  # a second flush waits for the first
            with self._lock:
                spans, self._pending = self._pending, []
            requests = [self._encoder.encode(span) for span in spans]
            whole = [request for request in requests if request is not None]
            self._writer.unwritten += len(requests) - len(whole)
            # One record for all: requests concatenate.
            if whole and self._writer.append(segments.TRACES, b"".join(whole)):
                self._on_write()
            elif whole:
                self._export_plainly(*spans)

    def _export_plainly(self, *spans: ReadableSpan) -> None:
        if self._plain is not None:
            for span in spans:
                self._plain.add(cleaned(span))

    def write_pending(self) -> bool:
        """Write what is pending; whether everything that ended is on disk."""
        before = self._writer.unwritten
        self._flusher.flush_now()
        return self._writer.unwritten == before

    @never_raises("flushing the journal", default=False)
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Write what is pending, and wait for its delivery; whether it is where it should be."""
        deadline = time.monotonic() + timeout_millis / 1000
        is_written = self.write_pending()
        if self._plain is not None:
            is_written &= self._plain.flush(deadline - time.monotonic())
        if self._on_flush is None:
            return is_written
        return self._on_flush(max(0.0, deadline - time.monotonic())) and is_written

    def shutdown(self) -> None:
        """Write what is pending. Executions that end later are written too."""
        self._flusher.stop()


def is_execution(span: ReadableSpan) -> bool:
    """Whether *span* is the span of one of our executions."""
    return (
        _is_in_scope(span) and span.attributes is not None and names.EXECUTION_ID in span.attributes
    )


def _is_in_scope(span: ReadableSpan) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and scope.name == names.SCOPE


def _key(context: SpanContext) -> bytes:
    return context.span_id.to_bytes(8, "big")


def _unsampled(context: SpanContext) -> int:
    """The flag of an execution that is not sampled; none for one that is."""
    return 0 if context.trace_flags.sampled else segments.UNSAMPLED


def _context(span: ReadableSpan) -> SpanContext:
    return span.get_span_context() or INVALID_SPAN_CONTEXT
