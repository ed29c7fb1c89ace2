"""From what was told and seen of an execution to what is told of it."""

from __future__ import annotations

from traceback import format_exception
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.scrubbed_values import scrubbed_attributes, scrubbed_name
from otel_codomon.executions.captured_texts import captured
from otel_codomon.executions.interruption import INTERRUPTED, is_interruption
from otel_codomon.executions.results import read_result, status_outcome
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.outcome_details import UNKNOWN, OutcomeDetails, error_type, read_exception

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.util.types import AttributeValue

    from otel_codomon.words import OutcomeWord


_UNREADABLE: Final = OutcomeDetails(outcome=Outcome.UNKNOWN)


@never_raises("reading a result", default=_UNREADABLE)
def read_with(own: Callable[[object], object], result: object) -> OutcomeDetails:
    """Read *result* by a reader that was asked for, or the caller's own function.

    Where it fails, or returns a text that stands for no outcome, nobody could
    see how the execution ended.
    """
    read = own(result)
    if isinstance(read, OutcomeDetails):
        return read
    if isinstance(read, (str, Outcome)):
        return OutcomeDetails(outcome=status_outcome(read) or Outcome.UNKNOWN)
    return read_result(read)


def merge_details(recorded: OutcomeDetails, seen: OutcomeDetails) -> OutcomeDetails:
    """What was told, completed by what was seen.

    An outcome that was told stands, except that a success told before an
    exception came is none.
    """
    if recorded is UNKNOWN and seen is UNKNOWN:
        return UNKNOWN
    if recorded.outcome is Outcome.SUCCESS and seen.outcome and seen.outcome.is_failure:
        recorded = OutcomeDetails(exit_code=recorded.exit_code, reason=recorded.reason)
    outcome = recorded.outcome or seen.outcome
    fallback = None if outcome is None else outcome.value
    kind = recorded.error_type or seen.error_type or fallback  # a metric carries it
    return OutcomeDetails(
        outcome=outcome,
        exit_code=recorded.exit_code if recorded.exit_code is not None else seen.exit_code,
        signal=recorded.signal or seen.signal,
        error_type=None if kind is None else scrubbed_name(kind, default="unknown"),
        reason=recorded.reason or seen.reason,
    )


def as_outcome(value: Outcome | OutcomeWord | None) -> Outcome | None:
    """An outcome or its name as an outcome; None stays None."""
    return None if value is None else Outcome(value)


def outcome_attributes(details: OutcomeDetails) -> dict[str, AttributeValue]:
    """How it ended, as span attributes; what is not known is absent."""
    is_failure = details.outcome is not None and details.outcome.is_failure
    facts = {
        names.PROCESS_EXIT_CODE: details.exit_code,
        names.EXECUTION_SIGNAL: details.signal,
        names.ERROR_REASON: details.reason,
        names.ERROR_TYPE: details.error_type if is_failure else None,
    }
    return {**scrubbed_attributes(facts)}


def exception_facts(error: BaseException) -> dict[str, AttributeValue]:
    """The class of *error*; its text and traceback only where they were asked for."""
    facts: dict[str, AttributeValue] = {names.EXCEPTION_TYPE: error_type(error)}
    message = captured("exception", error)
    if message is not None:
        trace = "".join(format_exception(type(error), error, error.__traceback__))
        facts[names.EXCEPTION_MESSAGE] = message
        facts[names.EXCEPTION_STACKTRACE] = captured("exception", trace) or ""
    return facts


def read_any_exception(error: BaseException) -> OutcomeDetails:
    """Read what was raised, whatever its class does when it is looked at."""
    try:
        if is_interruption(error):
            return INTERRUPTED
        return read_exception(error)
    except Exception:  # noqa: BLE001 - classes of strangers: any failure at all
        return OutcomeDetails(outcome=Outcome.ERROR, error_type="unknown")
