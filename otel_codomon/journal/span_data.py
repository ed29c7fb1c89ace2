"""The span of an execution, as a record of any kind tells it, and what becomes of it."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_codomon import names
from otel_codomon._platform.cleaning import MAX_NAME, clean_text
from otel_codomon.journal import records, segments
from otel_codomon.journal.execution_record import ExecutionRecord, Outcome
from otel_codomon.journal.json_text import bounded, bounded_mapping, read_object
from otel_codomon.resources.labels import Kind, Labels, SandboxType
from otel_codomon.resources.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from otel_codomon.journal.segments import Record

STATUS_ERROR: Final = 2
_HEX: Final = frozenset("0123456789abcdef")
_KINDS: Final = 6  # of spans, as OTLP numbers them
_STATUSES: Final = 3
_END_OF_TIME: Final = 2**63  # nanoseconds: in the year 2262
_MAX_DROPPED: Final = 2**32
_NONE_DROPPED: Final = (0, 0, 0)
_DIED: Final = "the process that observed it died"
IDENTITY: Final = frozenset(
    {
        names.EXECUTION_ID,
        names.EXECUTION_NAME,
        names.EXECUTION_KIND,
        names.EXECUTION_LANGUAGE,
        names.EXECUTION_OUTCOME,
        names.SANDBOX_TYPE,
    }
)
"""The attributes that say which execution it is, and how it ended."""


class SpanLink(NamedTuple):
    """A link of a span.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        attributes: Its attributes.
        is_remote: Whether the linked span is of another process.
        dropped: Attributes that a limit of the SDK dropped.
    """

    trace_id: str
    span_id: str
    attributes: Mapping[str, Any] = {}
    is_remote: bool = False
    dropped: int = 0


class SpanData(NamedTuple):
    """The span of an execution, running or ended.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        parent_span_id: 16 hexadecimal digits; None for a root.
        name: The span's name.
        kind: The span's kind, as OTLP numbers it.
        started_unix_ns: Start, nanoseconds since the epoch.
        ended_unix_ns: End; None while it runs.
        attributes: Its attributes.
        status: Status code, as OTLP numbers it.
        message: Status description.
        events: Mappings with ``name``, ``unix_ns``, ``attributes``.
        links: The spans it is linked to.
        resource_key: Key of the RESOURCE record that tells its resource; None
            where the record tells it itself.
        trace_state: The W3C trace state; empty for none.
        has_remote_parent: Whether its parent is of another process.
        dropped: Attributes, events and links that limits of the SDK dropped.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: int
    started_unix_ns: int
    ended_unix_ns: int | None
    attributes: Mapping[str, Any]
    status: int = 0
    message: str = ""
    events: tuple[Mapping[str, Any], ...] = ()
    links: tuple[SpanLink, ...] = ()
    resource_key: bytes | None = None
    trace_state: str = ""
    has_remote_parent: bool = False
    dropped: tuple[int, int, int] = _NONE_DROPPED

    def payload(self) -> dict[str, object]:
        """The same as the payload of a STARTED or ENDED record, before it becomes JSON."""
        found: dict[str, object] = {
            "trace_id": self.trace_id,
            "parent_span_id": self.parent_span_id,
            "name": self.name,
            "kind": self.kind,
            "started": self.started_unix_ns,
            "attributes": self.attributes,
        }
        rest = {
            "ended": self.ended_unix_ns,
            "status": self.status,
            "message": self.message,
            "events": self.events,
            "links": self.links,
            "resource": None if self.resource_key is None else self.resource_key.hex(),
            "trace_state": self.trace_state,
            "has_remote_parent": self.has_remote_parent,
            "dropped": self.dropped if any(self.dropped) else None,
        }
        found.update((key, value) for key, value in rest.items() if value)
        return found

    def with_usage(self, used: Usage | None) -> SpanData:
        """The same, still running, with what it has used so far; None for nothing known."""
        if used is None:
            return self
        return self._replace(attributes={**self.attributes, **used.attributes()})

    def as_died(self, last_sign_unix_ns: int, used: Usage | None = None) -> SpanData:
        """The same, ended by the death of its process some time after its last sign of life.

        Args:
            last_sign_unix_ns: That sign, nanoseconds since the epoch.
            used: What it had used at its last heartbeat; None without one.
        """
        return self._replace(
            ended_unix_ns=max(self.started_unix_ns, last_sign_unix_ns),
            attributes={
                **self.attributes,
                **({} if used is None else used.attributes()),
                names.EXECUTION_OUTCOME: Outcome.HOST_DIED.value,
                names.ERROR_TYPE: Outcome.HOST_DIED.value,
            },
            status=STATUS_ERROR,
            message=_DIED,
        )

    def execution(self, *, host_pid: int | None) -> ExecutionRecord:
        """The execution it is the span of."""
        attributes = self.attributes
        language = attributes.get(names.EXECUTION_LANGUAGE)
        ended = self.ended_unix_ns
        return ExecutionRecord(
            execution_id=str(attributes.get(names.EXECUTION_ID, self.span_id)),
            labels=_labels(
                str(attributes.get(names.EXECUTION_NAME, self.name)),
                str(attributes.get(names.EXECUTION_KIND)),
                None if language is None else str(language),
                str(attributes.get(names.SANDBOX_TYPE)),
            ),
            trace_id=self.trace_id,
            span_id=self.span_id,
            parent_span_id=self.parent_span_id,
            started_unix_ns=self.started_unix_ns,
            ended_unix_ns=ended,
            outcome=_outcome(attributes) if ended else None,
            host_pid=host_pid,
            usage=Usage.of_attributes(attributes),
            attributes=attributes,
        )


@lru_cache(maxsize=256)  # thousands of executions have the same few
def _labels(name: str, kind: str, language: str | None, sandbox_type: str) -> Labels:
    return Labels(
        name,
        _member(Kind, kind) or Kind.FUNCTION,
        language,
        _member(SandboxType, sandbox_type) or SandboxType.NONE,
    )


def _outcome(attributes: Mapping[str, Any]) -> Outcome:
    """How it ended; unknown where that is missing or a word of a later version."""
    found: Outcome | None = _member(Outcome, attributes.get(names.EXECUTION_OUTCOME))
    return Outcome.UNKNOWN if found is None else found


def _member(kind: Any, value: object) -> Any:  # noqa: ANN401 - any of three enumerations
    """The member of *kind* with this value; None where there is none."""
    return kind._value2member_map_.get(value) if isinstance(value, str) else None


def read_span_data(
    record: Record, *, keys: frozenset[str] | None = None, with_events: bool = False
) -> SpanData | None:
    """What *record* tells about the span of an execution; None where it tells nothing.

    Args:
        record: A record of any kind.
        keys: The attributes that are wanted, `IDENTITY` at least; None for all.
            A curve takes as long to decode as all the rest of a request.
        with_events: Whether events are wanted, too, where *keys* are named.
    """
    read = _READERS.get(record.signal)
    if read is None:
        return None
    try:
        return read(record, keys, with_events)
    except Exception:  # noqa: BLE001 - whole bytes with a strange content: json and protobuf raise much
        return None


def command_in(record: Record) -> tuple[str, ...]:
    """Program and arguments that the record of a start tells; empty where it does not."""
    try:
        told = read_object(record.payload).get(records.COMMAND, ())
    except ValueError:
        return ()
    return tuple(map(str, bounded(told))) if isinstance(told, list) else ()


def _of_json(record: Record, wanted: frozenset[str] | None, with_events: bool) -> SpanData:  # noqa: FBT001 - as the table below calls it
    told = read_object(record.payload)
    ended, parent, attributes = told.get("ended"), told.get("parent_span_id"), told["attributes"]
    return SpanData(
        trace_id=_hex(told["trace_id"], digits=32),
        span_id=record.key.hex(),
        parent_span_id=None if parent is None else _hex(parent, digits=16),
        name=clean_text(told["name"], limit=MAX_NAME),
        kind=_whole(told.get("kind", 1), below=_KINDS),
        started_unix_ns=_whole(told["started"], below=_END_OF_TIME),
        ended_unix_ns=None if ended is None else _whole(ended, below=_END_OF_TIME),
        attributes={
            clean_text(key, limit=MAX_NAME): bounded(attributes[key])
            for key in attributes
            if wanted is None or key in wanted
        },
        status=_whole(told.get("status", 0), below=_STATUSES),
        message=clean_text(told.get("message", "")),
        # Not for a line of a list: what is decoded of each execution counts.
        events=tuple(_events(told.get("events", ()))) if with_events or wanted is None else (),
        links=() if wanted is not None else tuple(map(_link, told.get("links", ()))),
        resource_key=bytes.fromhex(told["resource"]) if "resource" in told else None,
        trace_state=clean_text(told.get("trace_state", "")),
        has_remote_parent=told.get("has_remote_parent") is True,
        dropped=_dropped(told["dropped"]) if "dropped" in told else _NONE_DROPPED,
    )


def _link(told: Any) -> SpanLink:  # noqa: ANN401 - JSON
    """One link: its ids, and perhaps attributes, whether it is remote, and what was dropped."""
    ids = _hex(told[0], digits=32), _hex(told[1], digits=16)
    if len(told) == len(ids):
        return SpanLink(*ids)
    attributes, is_remote, dropped = told[2:]
    return SpanLink(
        *ids, bounded_mapping(attributes), is_remote is True, _whole(dropped, below=_MAX_DROPPED)
    )


def _dropped(told: Any) -> tuple[int, int, int]:  # noqa: ANN401 - JSON
    attributes, events, links = (_whole(count, below=_MAX_DROPPED) for count in told)
    return attributes, events, links


def _events(told: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """The events that make sense; one that does not costs none of the others."""
    for event in told:
        if isinstance(event, dict) and isinstance(event.get("attributes", {}), dict):
            moment = event.get("unix_ns", 0)
            is_moment = type(moment) is int and 0 <= moment < _END_OF_TIME
            yield {
                "name": clean_text(event.get("name", ""), limit=MAX_NAME),
                "unix_ns": moment if is_moment else 0,
                "attributes": bounded_mapping(event.get("attributes", {})),
                "dropped": _whole(event.get("dropped", 0), below=_MAX_DROPPED),
            }


def _hex(value: object, *, digits: int) -> str:
    """*value*, which has so many hexadecimal digits.

    Raises:
        ValueError: It has not.
    """
    if not isinstance(value, str) or len(value) != digits or not _HEX.issuperset(value):
        raise ValueError("not an id")
    return value


def _whole(value: object, *, below: int) -> int:
    """*value*, a whole number from 0 up.

    Raises:
        ValueError: It is not.
    """
    if type(value) is not int or not 0 <= value < below:
        raise ValueError("not such a number")
    return value


def _of_request(record: Record, wanted: frozenset[str] | None, _with_events: bool) -> SpanData:  # noqa: FBT001 - as above
    request = _request_type().FromString(record.payload)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    return SpanData(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex() or None,
        name=span.name,
        kind=span.kind,
        started_unix_ns=span.start_time_unix_nano,
        ended_unix_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes, wanted),
        status=span.status.code,
        message=span.status.message,
        events=tuple(
            {
                "name": event.name,
                "unix_ns": event.time_unix_nano,
                "attributes": _attributes(event.attributes),
            }
            for event in span.events
        ),
        links=tuple(SpanLink(link.trace_id.hex(), link.span_id.hex()) for link in span.links),
    )


@cache
def _request_type() -> Any:  # noqa: ANN401 - protobuf
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - 30 ms, and JSON needs none
        ExportTraceServiceRequest,
    )

    return ExportTraceServiceRequest


def _attributes(pairs: Iterable[Any], wanted: frozenset[str] | None = None) -> dict[str, Any]:
    """KeyValue messages as Python has them.

    Half of all values are texts, and of a hundred thousand spans each look at a
    message counts: whatever has a text is one.
    """
    return {
        key: (value := pair.value).string_value or _plain(value)
        for pair in pairs
        for key in (pair.key,)
        if wanted is None or key in wanted
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 - an AnyValue is any value
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        return tuple(_plain(item) for item in value.array_value.values)
    if which == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, which)


_READERS: Final[dict[int, Callable[[Record, frozenset[str] | None, bool], SpanData]]] = {
    segments.STARTED: _of_json,
    segments.ENDED: _of_json,
    segments.TRACES: _of_request,
}
