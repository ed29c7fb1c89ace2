"""What lets a command report: into our trace, into one that is linked from it, or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.trace import SpanContext, TraceFlags, format_span_id, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_codomon.sandbox.baggage import valid_baggage
from otel_codomon.sandbox.environment import BAGGAGE, exporting, linked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_codomon.executions.running import Execution
    from otel_codomon.words import Propagation


def trace_environment(
    current: Execution, propagate: Propagation, ours: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables by which a command can report, as *propagate* says.

    ``full`` makes its spans part of our trace, and hands our baggage on.
    ``linked`` gives it a trace of its own, to which ours has a link: it can
    report, and cannot forge ours. ``none`` gives it nothing.
    """
    return _PROPAGATE[propagate](current, ours)


def _nothing(_current: Execution, _ours: Mapping[str, str]) -> dict[str, str]:
    return {}


def _linked(current: Execution, ours: Mapping[str, str]) -> dict[str, str]:
    fresh = SpanContext(
        int.from_bytes(os.urandom(16), "big") or 1,
        int.from_bytes(os.urandom(8), "big") or 1,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    current.span.add_link(fresh)
    parent = f"00-{format_trace_id(fresh.trace_id)}-{format_span_id(fresh.span_id)}-01"
    return {"TRACEPARENT": parent, **linked(ours)}


def _full(current: Execution, ours: Mapping[str, str]) -> dict[str, str]:
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, current.context)
    W3CBaggagePropagator().inject(carrier, current.context)
    told = {name.upper(): value for name, value in carrier.items()}
    # Not every version of the propagator has bounds of its own.
    told[BAGGAGE] = valid_baggage(told.get(BAGGAGE, ""))
    told = {name: value for name, value in told.items() if value}
    return {**told, **exporting(ours)}


_PROPAGATE: Final = {"none": _nothing, "linked": _linked, "full": _full}
