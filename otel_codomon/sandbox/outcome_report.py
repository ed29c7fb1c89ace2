"""Tell an execution how its command went."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.outcome_details import OutcomeDetails, error_type
from otel_codomon.sandbox.process_exit import ProcessExit, totals_of
from otel_codomon.sandbox.toolchains import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.executions.running import Execution
    from otel_codomon.resources.limits import Limits
    from otel_codomon.sandbox.process_exit import LimitSeen


def record_exit(
    current: Execution,
    process_exit: ProcessExit,
    details: OutcomeDetails,
    *,
    executable: str | None = None,
) -> None:
    """Record on *current* how its command ended, and what that means."""
    started = process_exit.pid is not None
    current.record(
        outcome=details.outcome,
        signal=details.signal,
        reason=details.reason,
        error_type=details.error_type,
        exit_code=process_exit.returncode if started else details.exit_code,
        pid=process_exit.pid,
        executable=executable,
        rusage=totals_of(process_exit),
        stdout_bytes=process_exit.output.total_bytes if started else None,
        stderr_bytes=process_exit.errors.total_bytes if started else None,
        truncated=(process_exit.output.is_truncated or process_exit.errors.is_truncated)
        if started
        else None,
    )


def record_limit(current: Execution, limits: Limits, limit: LimitSeen | None) -> None:
    """Note the limit that *current* ran into, if any."""
    if limit is not None:
        current.reach_limit(limit.limit, limit=getattr(limits, limit.field), seen=limit.seen)


def cancelled_by(error: BaseException) -> OutcomeDetails:
    """What it means that *error*, which is the host's, interrupted the wait for a command."""
    return OutcomeDetails(
        outcome=Outcome.CANCELLED,
        error_type=Outcome.CANCELLED.value,
        reason=f"its caller ended it: {error_type(error)}",
    )


@contextmanager
def recorded_if_interrupted(current: Execution) -> Iterator[None]:
    """End *current* for what interrupts it, which says nothing of the command.

    A signal handler of the host may raise anything at any time, such as
    `SystemExit` with the host's exit code: the command has none then.
    """
    try:
        yield
    except UnavailableError as error:
        current.record(outcome=Outcome.SETUP_ERROR, reason=str(error))
        current.succeed()
        raise
    except BaseException as error:
        record_exit(current, ProcessExit(), cancelled_by(error))
        current.succeed()
        raise
