"""Spans of the SDK as payloads of STARTED and ENDED records.

JSON costs the observed program a tenth of an encoded span; the sender makes the
OTLP span of it, as `span_data` reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import SpanKind, format_span_id, format_trace_id

from otel_codomon.journal.own_attributes import attributes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import Link, SpanContext

    from otel_codomon.journal.own_attributes import OwnFacts

_KINDS: Final = {kind: kind.value + 1 for kind in SpanKind}  # OTLP counts from 1


def started_payload(
    span: ReadableSpan, own: OwnFacts | None, *, resource: str
) -> dict[str, object]:
    """What a STARTED record holds of *span*.

    Args:
        span: The span, with a valid context.
        own: What of it is ours; None where that is not known.
        resource: Key of its RESOURCE record, hexadecimal.
    """
    context: Any = span.get_span_context()
    parent, attributes = span.parent, attributes_of(span)
    payload: dict[str, object] = {
        "trace_id": format_trace_id(context.trace_id),
        "parent_span_id": None if parent is None else format_span_id(parent.span_id),
        "name": span.name,
        "kind": _KINDS[span.kind],
        "started": span.start_time,
        "attributes": attributes if own is None else own.restored(attributes),
        "resource": resource,
    }
    if parent is not None and parent.is_remote:
        payload["has_remote_parent"] = True
    if context.trace_state:
        payload["trace_state"] = _trace_state(context)
    if span.links:
        payload["links"] = [_link(link) for link in span.links]
    return payload


def ended_payload(span: ReadableSpan, own: OwnFacts | None, *, resource: str) -> dict[str, object]:
    """What an ENDED record holds of *span*, with all of ours, whatever limits left of it.

    Args:
        span: As the rest, see `started_payload`.
        own: What of it is ours; None where that is not known.
        resource: Key of its RESOURCE record, hexadecimal.
    """
    payload = started_payload(span, own, resource=resource)
    payload["ended"] = span.end_time
    status = span.status
    if status.status_code.value:
        payload["status"] = status.status_code.value
    if status.description:
        payload["message"] = status.description
    events = _events(span.events, own)
    if events:
        payload["events"] = events
    dropped = (span.dropped_attributes, span.dropped_events, span.dropped_links)
    if any(dropped):
        payload["dropped"] = dropped
    return payload


def _events(events: Sequence[Event], own: OwnFacts | None) -> list[dict[str, object]]:
    """*events* of a span, and those of ours that are not among them any more."""
    found = [
        _event(event.name, event.timestamp, event.attributes, event.dropped_attributes)
        for event in events
    ]
    if own is not None and own.events:
        kept = {(event.name, event.timestamp) for event in events}
        found += [
            _event(event.name, event.unix_ns, event.attributes)
            for event in own.events
            if (event.name, event.unix_ns) not in kept
        ]
    return found


def _event(
    name: str, unix_ns: int, attributes: Mapping[str, Any] | None, dropped: int = 0
) -> dict[str, object]:
    found: dict[str, object] = {
        "name": name,
        "unix_ns": unix_ns,
        "attributes": dict(attributes or {}),
    }
    if dropped:
        found["dropped"] = dropped
    return found


def _link(link: Link) -> tuple[object, ...]:
    context = link.context
    ids = format_trace_id(context.trace_id), format_span_id(context.span_id)
    dropped = getattr(link, "dropped_attributes", 0)
    if link.attributes or context.is_remote or dropped:
        return (*ids, dict(link.attributes or {}), context.is_remote, dropped)
    return ids


def _trace_state(context: SpanContext) -> str:
    return ",".join(f"{key}={value}" for key, value in context.trace_state.items())
