"""A journal of a test's own, with private providers over it."""

from __future__ import annotations

import json
import os
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from otel_codomon.executions import providers
from otel_codomon.journal import segments
from otel_codomon.journal.processor import JournalSpanProcessor
from otel_codomon.journal.reader import JournalReader
from otel_codomon.journal.segments import Record, decode
from otel_codomon.journal.writer import MAX_SEGMENT_BYTES, Writer

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.sdk.trace.sampling import Sampler
    from typing_extensions import Self

    from otel_codomon.journal.execution_record import ExecutionRecord
    from otel_codomon.words import Durability

PATIENCE_SECONDS = 120.0  # only a hang takes so long


class Journal:
    """A writer, a processor on a private provider, and executions that go there."""

    def __init__(
        self,
        folder: Path | str,
        *,
        deliver: bool = True,
        durability: Durability = "process",
        max_segment_bytes: int = MAX_SEGMENT_BYTES,
        sampler: Sampler | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.path = str(folder)
        self._wrote = threading.Condition()
        self.writer = Writer(self.path, durability=durability, max_segment_bytes=max_segment_bytes)
        self.processor = JournalSpanProcessor(self.writer, deliver=deliver, on_write=self._note)
        self.provider = TracerProvider(sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(self.processor)
        self.tracer = self.provider.get_tracer("test")
        self._entered = ExitStack()
        self._owner = os.getpid()

    def _note(self) -> None:
        if os.getpid() == self._owner:
            with self._wrote:
                self._wrote.notify_all()

    def __enter__(self) -> Self:
        meter_provider = MeterProvider(shutdown_on_exit=False)
        self._entered.enter_context(providers.providers(self.provider, meter_provider))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered.close()
        self.provider.shutdown()
        self.writer.forget()

    def executions(self) -> list[ExecutionRecord]:
        """What the reader finds, newest first."""
        return list(JournalReader(self.path).executions())

    def records(self, signal: int | None = None) -> list[Record]:
        """All whole records, oldest segment first; those of one kind."""
        return [
            item
            for path in sorted(self.folder.glob("?-*.seg"))
            for item in decode(path.read_bytes())
            if isinstance(item, Record) and signal in (None, item.signal)
        ]

    def wait_for_records(self, signal: int, count: int) -> list[Record]:
        """Wait until there are *count* records of one kind."""
        with self._wrote:
            enough = self._wrote.wait_for(
                lambda: len(self.records(signal)) >= count, PATIENCE_SECONDS
            )
        assert enough, f"waited for {count} records, there are {len(self.records(signal))}"
        return self.records(signal)

    def span_names(self) -> list[str]:
        """Names of all spans in TRACES and ENDED records, in their order."""
        return [name for record in self.records() for name in _span_names(record)]


def _span_names(record: Record) -> list[str]:
    if record.signal == segments.ENDED:
        return [json.loads(record.payload)["name"]]
    if record.signal != segments.TRACES:
        return []
    return [
        span.name
        for group in ExportTraceServiceRequest.FromString(record.payload).resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]
