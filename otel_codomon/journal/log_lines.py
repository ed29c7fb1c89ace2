"""Takes the output of an execution back out of the journal, where it was emitted as log records."""

from __future__ import annotations

import heapq
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.index import records_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINES: Final = 200
"""Read back of one execution: the last ones, which tell how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputLine:
    """A line that a command wrote, scrubbed.

    Attributes:
        written_unix_ns: When it was read from the command, nanoseconds since the epoch.
        stream: ``stdout`` or ``stderr``.
        text: The line; anything may be in it.
    """

    written_unix_ns: int
    stream: str
    text: str


def read_output_lines(
    folder: str, span_id: str, *, started_unix_ns: int
) -> tuple[int, tuple[OutputLine, ...]]:
    """How many lines of an execution there are, and the last of them in the order of time.

    Args:
        folder: Path of the journal.
        span_id: Its span, 16 hexadecimal digits.
        started_unix_ns: When it started, nanoseconds since the epoch.
    """
    folder_fd = folders.find_folder(folder)
    if folder_fd is None:
        return 0, ()
    try:
        lines = [
            line
            for record in records_of(
                folder_fd, folders.LOGS, segments.LOGS, bytes.fromhex(span_id), started_unix_ns
            )
            for line in _lines_in(record.payload, span_id)
        ]
    finally:
        os.close(folder_fd)
    last = heapq.nlargest(
        MAX_LINES, enumerate(lines), key=lambda one: (one[1].written_unix_ns, one[0])
    )
    return len(lines), tuple(line for _, line in reversed(last))


def _lines_in(payload: bytes, span_id: str) -> Iterator[OutputLine]:
    # Imported where there are any: 40 ms.
    from google.protobuf.message import DecodeError  # noqa: PLC0415
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (  # noqa: PLC0415
        ExportLogsServiceRequest,
    )

    try:
        request = ExportLogsServiceRequest.FromString(payload)
    except DecodeError:  # content that is not ours
        return
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                attributes = {pair.key: pair.value.string_value for pair in record.attributes}
                stream = attributes.get(names.LOG_IOSTREAM)
                if stream is not None and record.span_id.hex() == span_id:
                    yield OutputLine(
                        written_unix_ns=record.time_unix_nano,
                        stream=stream,
                        text=record.body.string_value,
                    )
