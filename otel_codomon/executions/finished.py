"""Executions that have already ended: a row of a queue, the result of a remote sandbox."""

from __future__ import annotations

import math
import os
import time
from binascii import hexlify
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from os import urandom
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import INVALID_SPAN, format_span_id, format_trace_id

from otel_codomon import names
from otel_codomon._platform.cleaning import MAX_NAME
from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.printable import printable
from otel_codomon._platform.refused_values import shown
from otel_codomon._platform.scrubbed_values import scrubbed_text
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.executions.results import read_result, status_outcome
from otel_codomon.executions.running import registry
from otel_codomon.executions.span_attributes import merge_details, outcome_attributes
from otel_codomon.executions.telemetry import STATUS
from otel_codomon.journal.execution_record import ExecutionRecord, Outcome
from otel_codomon.journal.outcome_details import OutcomeDetails, read_reported_code
from otel_codomon.journal.own_attributes import OwnFacts
from otel_codomon.resources.usage import Usage

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from otel_codomon.executions.spec import ExecutionSpec
    from otel_codomon.executions.telemetry import Telemetry

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
# Clocks of two machines differ by seconds; a time further ahead is another unit.
_SKEW_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """One execution that has ended, checked.

    Attributes:
        spec: What it is.
        execution_id: Identifies it.
        started_unix_ns: Start, nanoseconds since the epoch.
        ended_unix_ns: End, nanoseconds since the epoch.
        details: How it ended; its outcome is known.
        usage: What it used, as far as the caller knows.
    """

    spec: ExecutionSpec
    execution_id: str
    started_unix_ns: int
    ended_unix_ns: int
    details: OutcomeDetails
    usage: Usage = field(default_factory=Usage)

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        return self.details.outcome or Outcome.UNKNOWN


def make_finished(
    spec: ExecutionSpec,
    *,
    times: tuple[object, object],
    details: OutcomeDetails,
    execution_id: object = None,
    usage: object = None,
) -> Finished:
    """Check what the caller says of an execution that has ended.

    Args:
        spec: What it is.
        times: Start and end: seconds since the epoch, or aware datetimes.
        details: How it ended.
        execution_id: The caller's own id; None for a new one.
        usage: What it used; None where that is not known.

    Raises:
        InvalidArgumentError: One of them cannot mean anything, or the outcome
            is not known.
    """
    if details.outcome is None:
        raise InvalidArgumentError(
            "outcome", "no outcome: pass an outcome, an exit code or a result"
        )
    if not isinstance(usage, (Usage, type(None))):
        raise InvalidArgumentError("usage", f"invalid usage {shown(usage)}: pass Usage(...)")
    started_unix_ns, ended_unix_ns = check_times(*times)
    return Finished(
        spec=spec,
        execution_id=check_id(execution_id),
        started_unix_ns=started_unix_ns,
        ended_unix_ns=ended_unix_ns,
        details=details,
        usage=usage or Usage(),
    )


def check_id(execution_id: object) -> str:
    """The caller's own id of an execution; a new one for None.

    Raises:
        InvalidArgumentError: It is no visible text, or too long.
    """
    if execution_id is None:
        return hexlify(urandom(16)).decode()
    if not isinstance(execution_id, str) or not _is_visible(execution_id):
        raise InvalidArgumentError(
            "execution_id",
            f"invalid execution_id {shown(execution_id)}: use 1 to {MAX_NAME} "
            "visible characters, or leave it out",
        )
    if scrubbed_text(execution_id) != execution_id:  # it cannot be scrubbed: it has to be found
        raise InvalidArgumentError(
            "execution_id", "invalid execution_id: it looks like a secret; use another"
        )
    return execution_id


def _is_visible(text: str) -> bool:
    return text == text.strip() == printable(text) and 0 < len(text) <= MAX_NAME


def check_times(started: object, ended: object) -> tuple[int, int]:
    """Both as nanoseconds since the epoch.

    Raises:
        InvalidArgumentError: One is no time, or the end is before the start or in the future.
    """
    started_ns, ended_ns = _unix_ns("started", started), _unix_ns("ended", ended)
    if ended_ns < started_ns:
        raise InvalidArgumentError(
            "ended", f"invalid ended {shown(ended)}: it is before started, {shown(started)}"
        )
    if ended_ns > time.time_ns() + _SKEW_SECONDS * 1e9:
        raise InvalidArgumentError(
            "ended",
            f"invalid ended {shown(ended)}: it is in the future; use seconds since the epoch, or "
            "an aware datetime",
        )
    return started_ns, ended_ns


def _unix_ns(argument: str, value: object) -> int:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return (value - _EPOCH) // timedelta(microseconds=1) * 1000
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and value >= 0:  # type: ignore[arg-type, operator] # a number
        return int(value * 1e9)  # type: ignore[operator] # as above
    hint = " with a time zone" if isinstance(value, datetime) else ""
    raise InvalidArgumentError(
        argument,
        f"invalid {argument} {shown(value)}: use seconds since the epoch, or a datetime{hint}",
    )


def check_details(
    *,
    outcome: object = None,
    exit_code: object = None,
    result: object = None,
    reason: str | None = None,
) -> OutcomeDetails:
    """How an execution ended, from what its caller says of it.

    Args:
        outcome: An `Outcome`, its name, or another usual word for a status.
        exit_code: Exit code; ``-n`` for the end by signal n.
        result: What it returned, of any shape that `otel_codomon.execution` reads.
        reason: Why, in words of the caller's own.

    Raises:
        InvalidArgumentError: The outcome or the exit code is none.
    """
    said = OutcomeDetails(outcome=_outcome(outcome), reason=reason)
    if exit_code is not None:
        if not isinstance(exit_code, int) or isinstance(exit_code, bool):
            raise InvalidArgumentError(
                "exit_code", f"invalid exit_code {shown(exit_code)}: use a whole number"
            )
        said = merge_details(said, read_reported_code(exit_code))
    return merge_details(said, read_result(result))


def _outcome(value: object) -> Outcome | None:
    if value is None:
        return None
    found = status_outcome(value)
    if found is None:
        known = ", ".join(each.value for each in Outcome if each is not Outcome.HOST_DIED)
        raise InvalidArgumentError("outcome", f"invalid outcome {shown(value)}: use one of {known}")
    return found


def report_finished(telemetry: Telemetry, finished: Finished) -> ExecutionRecord:
    """Make the span and the measurements of *finished*, and remember it."""
    span = _span_of(telemetry, finished)
    context = span.get_span_context()
    spec, details = finished.spec, finished.details
    record = ExecutionRecord(
        execution_id=finished.execution_id,
        labels=spec.labels,
        trace_id=format_trace_id(context.trace_id) if context.is_valid else "",
        span_id=format_span_id(context.span_id) if context.is_valid else "",
        started_unix_ns=finished.started_unix_ns,
        ended_unix_ns=finished.ended_unix_ns,
        outcome=finished.outcome,
        host_pid=os.getpid(),
        usage=finished.usage,
        attributes={**spec.more_attributes, **spec.attributes, **outcome_attributes(details)},
    )
    registry.remember(record)
    return record


@never_raises("recording a finished execution", default=INVALID_SPAN)
def _span_of(telemetry: Telemetry, finished: Finished) -> Span:
    spec, outcome, details = finished.spec, finished.outcome, finished.details
    own = OwnFacts({names.EXECUTION_ID: finished.execution_id, **spec.attributes})
    span, context = telemetry.start_span(
        spec.labels,
        own,
        start_unix_ns=finished.started_unix_ns,
        attributes=spec.more_attributes,
    )
    try:
        own.set_on(
            span,
            {
                names.EXECUTION_OUTCOME: outcome.value,
                **finished.usage.attributes(),
                **outcome_attributes(details),
            },
        )
        if outcome.is_failure:
            span.set_status(STATUS[outcome])
    finally:
        span.end(finished.ended_unix_ns)
    telemetry.measure(
        spec.labels,
        outcome,
        seconds=(finished.ended_unix_ns - finished.started_unix_ns) / 1e9,
        usage=finished.usage,
        error_type=details.error_type if outcome.is_failure else None,
        context=context,
    )
    return span
