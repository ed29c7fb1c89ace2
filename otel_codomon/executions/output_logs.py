"""What a command writes, as log records: one for each line, bounded, scrubbed, as it comes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon._platform.cleaning import MAX_TEXT
from otel_codomon._platform.known_secrets import known_secrets
from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.scrubbing import scrub_rest
from otel_codomon.executions.log_records import find_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry._logs import Logger

    from otel_codomon._platform.cleaning import AttributeValue
    from otel_codomon.executions.running import Execution

MAX_LINES: Final = 2000
"""Of each stream. To emit one takes 35 us, so all of both streams take 0.14 s."""
MAX_BYTES: Final = 1024 * 1024
"""Of each stream: what is kept of captured output by default."""

_CONTEXT: Final = 1024
"""Characters before a line that may tell that it is a secret, or a part of one."""
_KEY_BEGIN, _KEY, _KEY_END = "-----BEGIN ", "PRIVATE KEY", "-----END "


class OutputLog:
    """The log records of one execution's output.

    Args:
        current: The execution.
    """

    def __init__(self, current: Execution) -> None:
        self._current = current
        attributes = {
            names.EXECUTION_ID: current.execution_id,
            names.EXECUTION_NAME: current.labels.name,
        }
        self.streams: Final = tuple(
            LineLog(current, {**attributes, names.LOG_IOSTREAM: name})
            for name in ("stdout", "stderr")
        )

    @never_raises("emitting the output of a command", default=None)
    def end(self) -> None:
        """Emit what has no end of line, and note how many lines were dropped."""
        for stream in self.streams:
            stream.end()
        dropped = sum(stream.dropped for stream in self.streams)
        if dropped:
            self._current.note(names.OUTPUT_LOGS_DROPPED, dropped)


class LineLog:
    """Emits the lines of one stream.

    A secret may go over several lines, or pieces: so what came before is scrubbed
    along, and within a private key nothing is emitted until its end.

    Args:
        current: The execution that writes it.
        attributes: Of each log record.

    Attributes:
        dropped: Lines beyond `MAX_LINES` or `MAX_BYTES`, for which there is no log record.
    """

    def __init__(self, current: Execution, attributes: dict[str, AttributeValue]) -> None:
        self.dropped = 0
        self._context = current.context
        self._attributes = attributes
        self._logger: Logger | None = None
        self._left_bytes = MAX_BYTES
        self._left_lines = MAX_LINES
        self._unread = bytearray()
        self._before = ""
        self._is_in_key = False
        self._is_within_line = False  # of the lines that are dropped

    @never_raises("emitting the output of a command", default=None)
    def take(self, piece: memoryview) -> None:
        """Emit the lines that end in *piece*, the next that was read."""
        kept = bytes(piece[: self._left_bytes]) if self._left_lines else b""
        self._left_bytes -= len(kept)
        end = kept.rfind(b"\n") + 1
        if end:
            lines = bytes(self._unread) + kept[:end]
            self._unread[:] = kept[end:]
            self._emit_all(lines, is_cut=True)
        else:
            self._unread += kept
        self._drop(piece[len(kept) :])

    def _drop(self, rest: memoryview) -> None:
        if rest:
            if self._unread:  # a line that is kept in part is emitted, and not dropped
                begin = bytes(rest).find(b"\n")
                self._emit_all(bytes(self._unread), is_cut=True)
                self._unread.clear()
                self._is_within_line = begin < 0
                rest = rest[begin + 1 :] if begin >= 0 else rest[:0]
                if not rest:
                    return
            text = bytes(rest)
            self.dropped += text.count(b"\n") + (not text.endswith(b"\n"))
            self.dropped -= self._is_within_line
            self._is_within_line = not text.endswith(b"\n")

    def end(self) -> None:
        """Emit what has no end of line."""
        rest = bytes(self._unread)
        self._unread.clear()
        if rest:
            self._emit_all(rest, is_cut=False)

    def _emit_all(self, lines: bytes, *, is_cut: bool) -> None:
        text = lines.decode("utf-8", "replace")
        for line in self._scrubbed(text, is_cut=is_cut):
            if self._left_lines:
                self._left_lines -= 1
                self._emit(line)
            else:
                self.dropped += 1

    def _scrubbed(self, text: str, *, is_cut: bool) -> Iterator[str]:
        if self._is_in_key:
            end = text.find(_KEY_END)
            if end < 0:
                return
            self._is_in_key, text = False, text[end:].partition("\n")[2]
        if not text:
            return
        whole = self._before + text
        scrubbed = scrub_rest(whole, known_secrets(), begin=len(self._before), is_cut=is_cut)
        begin = text.rfind(_KEY_BEGIN)
        if begin >= 0 and _KEY in text[begin : begin + 64] and _KEY_END not in text[begin:]:
            self._is_in_key = True
            self._before = ""
        else:
            self._before = whole[-_CONTEXT:]
        lines = scrubbed.split("\n")
        if not lines[-1]:
            lines.pop()
        for line in lines:
            yield line.removesuffix("\r")

    def _emit(self, line: str) -> None:
        if self._logger is None:
            self._logger = find_logger()
            if self._logger is None:
                return
        now = time.time_ns()
        body = line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"
        self._logger.emit(
            timestamp=now,
            observed_timestamp=now,
            context=self._context,
            body=body,
            attributes=self._attributes,
        )
