"""An execution that is told to the journal alone, by a process without the SDK.

For `otel-codomon run`, whose command may take milliseconds. What is written is
what the SDK would have been told; whoever sends makes the span of it.
"""

from __future__ import annotations

import os
import time

from otel_codomon.errors import CodomonError
from otel_codomon.sandbox import sampling

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from otel_codomon.journal.execution_record import Outcome
    from otel_codomon.journal.outcome_details import OutcomeDetails
    from otel_codomon.journal.writer import Writer
    from otel_codomon.resources.labels import Labels

    Event = Mapping[str, object]

_HEX = frozenset("0123456789abcdef")
_TRACE_ID, _SPAN_ID = 32, 16  # hexadecimal digits


_NOT_DELIVERED = (
    "OTEL_CONFIG_FILE is set, which this command does not read: the execution is in the journal "
    "and not delivered; set the OTEL_EXPORTER_OTLP_* variables instead"
)


class Identity:
    """The ids of an execution, drawn before anything else is known of it.

    Attributes:
        execution_id: Identifies it.
        trace_id: Its trace: the inherited one, or its own.
        span_id: Its span.
        parent_span_id: The inherited span; None for a root.
        flags: The trace's flags, two hexadecimal digits.
        is_sampled: Whether its span is to be delivered.
        started_unix_ns: Now, nanoseconds since the epoch.
        started_ns: Now, monotonic clock, nanoseconds.
        linked: Trace id and span id that it has a link to; None without one.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Inherit a trace from *environ*, or draw one, and decide whether it is sampled."""
        inherited = parse_traceparent(environ.get("TRACEPARENT", ""))
        parent_flags: str | None = None
        self.parent_span_id: str | None = None
        if inherited is None:
            self.trace_id = os.urandom(16).hex()
        else:
            self.trace_id, self.parent_span_id, parent_flags = inherited
        self.is_sampled = sampling.is_sampled(self.trace_id, parent_flags, environ)
        others = int(parent_flags or "00", 16) & ~sampling.SAMPLED
        self.flags = f"{others | self.is_sampled:02x}"
        self.span_id = os.urandom(8).hex()
        self.execution_id = os.urandom(16).hex()
        self.started_unix_ns = time.time_ns()
        self.started_ns = time.monotonic_ns()
        self.linked: tuple[str, str] | None = None

    def link(self) -> str:
        """Draw a trace for the command, which this one has a link to; what it inherits of that."""
        self.linked = trace_id, span_id = os.urandom(16).hex(), os.urandom(8).hex()
        return f"00-{trace_id}-{span_id}-{int(self.is_sampled):02x}"

    @property
    def traceparent(self) -> str:
        """What makes another program's spans children of this execution's."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def parse_traceparent(text: str) -> tuple[str, str, str] | None:
    """Read trace id, span id and flags; None where *text* is none by W3C Trace Context, 3.2."""
    parts = text.strip().split("-")
    if len(parts) < 4 or (parts[0] == "00" and len(parts) > 4):  # noqa: PLR2004 - as specified
        return None
    version, trace_id, span_id, flags = parts[:4]
    fields = ((version, 2), (trace_id, _TRACE_ID), (span_id, _SPAN_ID), (flags, 2))
    if any(len(field) != length or not _HEX.issuperset(field) for field, length in fields):
        return None
    if version == "ff" or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return trace_id, span_id, flags


class LightExecution:
    """One execution in the journal, from its start to its end.

    Nothing here raises for what is wrong with the journal: the command goes on.

    Attributes:
        identity: Its ids and its start.
        labels: What its metrics are summed by.
        problem: Why it is not in the journal, or stays there; None where neither.
    """

    def __init__(
        self,
        identity: Identity,
        labels: Labels,
        attributes: Mapping[str, object],
        command: Sequence[str] = (),
    ) -> None:
        """Write the start."""
        # Imported after the command was started, as is this module's caller.
        from otel_codomon import names  # noqa: PLC0415
        from otel_codomon.journal import records  # noqa: PLC0415

        self.identity = identity
        self.labels = labels
        self.problem: str | None = None
        self._record = records
        self._attributes: dict[str, object] = {
            names.EXECUTION_ID: identity.execution_id,
            **labels.attributes(),
            **attributes,
        }
        self._is_passing = False
        self._writer = self._open()
        if self._writer is not None:
            records.write_started(self._writer, **self._span(), command=command)

    def _open(self) -> Writer | None:
        if os.environ.get(self._record.CONFIG_FILE):
            self.problem = _NOT_DELIVERED
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return None
        writer = self._tried(self._record.open_writer)
        if writer is None and self._record.is_delivery_wanted():
            self._is_passing = True
            writer = self._tried(lambda: self._record.open_writer(_passing_folder()))
        return writer

    def _tried(self, open_writer: Callable[[], Writer | None]) -> Writer | None:
        try:
            return open_writer()
        except (CodomonError, OSError) as error:
            self.problem = str(error)
            return None

    def _span(self) -> dict[str, Any]:
        identity = self.identity
        return {
            "trace_id": identity.trace_id,
            "span_id": identity.span_id,
            "parent_span_id": identity.parent_span_id,
            "name": self.labels.name,
            "span_kind": self._record.KIND_CLIENT,
            "started_unix_ns": identity.started_unix_ns,
            "attributes": self._attributes,
            "resource": self._record.resource(service_name="otel-codomon"),
            "links": () if identity.linked is None else (identity.linked,),
            "is_sampled": identity.is_sampled,
        }

    @property
    def folder(self) -> str | None:
        """The journal that it is in, and that others read; None without one."""
        return None if self._writer is None or self._is_passing else self._writer.folder

    def sign_of_life(self) -> None:
        """Leave a sign of life: should this process be killed, the execution ended after it."""
        if self._writer is not None:
            self._writer.sign_of_life()

    def end(
        self,
        details: OutcomeDetails,
        attributes: Mapping[str, object],
        events: Sequence[Event] = (),
    ) -> float:
        """Write the end, and see that somebody sends it where it is to be sent.

        Args:
            details: How it went.
            attributes: What its span has besides what it started with.
            events: Events of its span.

        Returns:
            How long it took, seconds.
        """
        from otel_codomon.journal.execution_record import STATUS_WORDS, Outcome  # noqa: PLC0415 - late

        elapsed_ns = time.monotonic_ns() - self.identity.started_ns
        outcome = details.outcome or Outcome.ERROR
        self._attributes.update(attributes)
        self._attributes.update(_details_attributes(details, outcome))
        if self._writer is not None:
            words = STATUS_WORDS.get(outcome)
            self._record.write_ended(
                self._writer,
                **self._span(),
                ended_unix_ns=self.identity.started_unix_ns + elapsed_ns,
                status=self._record.STATUS_UNSET if words is None else self._record.STATUS_ERROR,
                status_message=words or "",
                events=events,
            )
            self._writer.close()
            if self._writer.trouble:
                self.problem = (
                    f"cannot write to the journal in {self._writer.folder}: "
                    f"{self._writer.trouble}; this execution is not recorded"
                )
            self._send(self._writer.folder)
        return elapsed_ns / 1e9

    def _send(self, folder: str) -> None:
        if self._is_passing:
            self._record.spawn_sender(folder, once=True)
        elif self._record.is_delivery_wanted() and not self._record.sender_is_running(folder):
            self._record.spawn_sender(folder)


def _passing_folder() -> str:
    """A folder for one execution on its way out, where the journal is switched off.

    Not by `tempfile`, whose import takes as long as the start of Python.
    """
    path = f"{os.environ.get('TMPDIR') or '/tmp'}/otel-codomon-{os.urandom(8).hex()}"  # noqa: S108 - 0700, and of a name nobody can guess
    os.mkdir(path, 0o700)  # noqa: PTH102 - pathlib takes as long
    return path


def _details_attributes(details: OutcomeDetails, outcome: Outcome) -> dict[str, object]:
    from otel_codomon import names  # noqa: PLC0415 - as above

    told = {
        names.EXECUTION_OUTCOME: outcome.value,
        names.PROCESS_EXIT_CODE: details.exit_code,
        names.EXECUTION_SIGNAL: details.signal,
        names.ERROR_REASON: details.reason,
        names.ERROR_TYPE: details.error_type,
    }
    return {key: value for key, value in told.items() if value is not None}
