"""One execution from its start to its outcome."""

from __future__ import annotations

import os
import time
from binascii import hexlify
from contextvars import ContextVar
from dataclasses import replace
from os import urandom
from typing import TYPE_CHECKING, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, format_span_id, format_trace_id

from otel_codomon import names
from otel_codomon._platform.cleaning import clean_attribute, clean_attributes
from otel_codomon._platform.logs import get_logger
from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.refused_values import shown
from otel_codomon._platform.scrubbed_values import (
    scrubbed_attribute,
    scrubbed_attributes,
    scrubbed_name,
)
from otel_codomon.executions import log_records
from otel_codomon.executions.registry import Registry
from otel_codomon.executions.results import read_result
from otel_codomon.executions.span_attributes import (
    as_outcome,
    exception_facts,
    merge_details,
    outcome_attributes,
    read_any_exception,
    read_with,
)
from otel_codomon.executions.telemetry import STATUS
from otel_codomon.executions.tool_calls import call_result
from otel_codomon.journal.execution_record import ExecutionRecord, Outcome
from otel_codomon.journal.outcome_details import (
    UNKNOWN,
    OutcomeDetails,
    read_exit_code,
)
from otel_codomon.journal.own_attributes import OwnEvent, OwnFacts, is_refused, without_reserved
from otel_codomon.resources.labels import Kind, Labels
from otel_codomon.resources.tracker import ResourceTracker
from otel_codomon.resources.usage import NOTHING_KNOWN, complete

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextvars import Token

    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

    from otel_codomon.executions.telemetry import Telemetry
    from otel_codomon.executions.tool_calls import ToolCall
    from otel_codomon.resources.limits import Limits
    from otel_codomon.resources.started_child import StartedChild
    from otel_codomon.resources.thresholds import Crossing, Thresholds
    from otel_codomon.resources.usage import Usage
    from otel_codomon.words import OutcomeWord

registry: Final[Registry[Execution]] = Registry()
"""The executions of this process."""

_current: ContextVar[Execution | None] = ContextVar("otel_codomon_execution", default=None)


def current_execution() -> Execution:
    """The execution that the calling code is part of.

    Outside of any, and while nothing is configured, it is an inert one, whose
    calls do nothing: code that tells about itself runs the same everywhere.
    """
    return _current.get() or INERT


_log = get_logger(__name__)

_MOST_REPORTED: Final = 100
_no_cgroups: Final[set[str]] = set()
"""Paths that could not be attached; each is reported once."""

_EXPLAINED_BY_OOM: Final = (None, Outcome.SUCCESS, Outcome.ERROR, Outcome.KILLED)
_OOM_REASON: Final = "the kernel ended a process of the attached cgroup for want of memory"


class Execution:
    """A running execution; `otel_codomon.execution` makes them.

    None of its methods raises, whatever is handed in and whatever breaks.

    Attributes:
        execution_id: Identifies it; 32 hexadecimal digits.
        labels: What its metrics are summed by.
        started_unix_ns: Start, nanoseconds since the epoch.
        started_ns: Start, monotonic clock, nanoseconds.
    """

    __slots__ = (
        "_context",
        "_ended",
        "_exceeded",
        "_extra",
        "_is_tool_call",
        "_outer",
        "_own",
        "_read_result",
        "_recorded",
        "_span",
        "_telemetry",
        "_token",
        "_tracker",
        "_usage",
        "execution_id",
        "labels",
        "started_ns",
        "started_unix_ns",
    )

    def __init__(
        self,
        telemetry: Telemetry,
        labels: Labels,
        attributes: Mapping[str, AttributeValue],
        *,
        limits: Limits | None = None,
        thresholds: Thresholds | None = None,
        thread: bool = True,
        result: Callable[[object], object] | None = None,
        more_attributes: Mapping[str, AttributeValue] | None = None,
        execution_id: str | None = None,
        command: Sequence[str] = (),
        started_ns: int | None = None,
        tool: ToolCall | None = None,
        child: StartedChild | None = None,
        finds_children: bool = False,
    ) -> None:
        self.labels: Final = labels
        self.execution_id: Final = execution_id or hexlify(urandom(16)).decode()
        now_ns = time.monotonic_ns()
        self.started_ns: Final = now_ns if started_ns is None else started_ns
        self.started_unix_ns: Final = time.time_ns() - (now_ns - self.started_ns)
        self._telemetry = telemetry
        self._recorded = UNKNOWN
        self._extra: dict[str, AttributeValue] = {}
        self._usage: Usage | None = None
        self._read_result = result
        self._ended = False
        self._exceeded: str | None = None
        self._token: Token[Context] | None = None
        self._outer: Token[Execution | None] | None = None
        self._own = OwnFacts({names.EXECUTION_ID: self.execution_id, **attributes}, command=command)
        self._span, self._context = telemetry.start_span(
            labels,
            self._own,
            start_unix_ns=self.started_unix_ns,
            attributes=more_attributes,
            tool=tool,
        )
        self._is_tool_call = tool is not None
        self._tracker = ResourceTracker.start(
            labels=labels,
            started_ns=self.started_ns,
            limits=limits,
            thread=thread,
            thresholds=thresholds,
            notify=None if thresholds is None else self._cross,
            child=child,
            finds_children=finds_children,
        )
        registry.enter(self)
        if log_records.has_events():
            self._emit_start(attributes)

    # --- identity -------------------------------------------------------------

    @property
    def trace_id(self) -> str | None:
        """Its trace, 32 hexadecimal digits; None where no tracer is configured."""
        context = self._span.get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else None

    @property
    def span_id(self) -> str | None:
        """Its span, 16 hexadecimal digits; None where no tracer is configured."""
        context = self._span.get_span_context()
        return format_span_id(context.span_id) if context.is_valid else None

    @property
    def span(self) -> Span:
        """Its span, of the OpenTelemetry API."""
        return self._span

    @property
    def context(self) -> Context:
        """The OpenTelemetry context in which its span is the current one."""
        return self._context

    @property
    def tracker(self) -> ResourceTracker:
        """What looks at its resources."""
        return self._tracker

    @property
    def usage(self) -> Usage | None:
        """Its totals; None while it runs, and where nothing is configured."""
        return self._usage if self._ended else None

    @property
    def is_tool_call(self) -> bool:
        """Whether it is a tool call of an agent."""
        return self._is_tool_call

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._ended

    def snapshot(
        self,
        *,
        details: OutcomeDetails = UNKNOWN,
        usage: Usage = NOTHING_KNOWN,
        seconds: float | None = None,
    ) -> ExecutionRecord:
        """What is known of it.

        Args:
            details: How it ended, if it did.
            usage: Its totals, if it ended.
            seconds: How long it took; None while it runs.
        """
        ended = None if seconds is None else self.started_unix_ns + int(seconds * 1e9)
        outcome = (details.outcome or Outcome.SUCCESS) if seconds is not None else None
        return ExecutionRecord(
            execution_id=self.execution_id,
            labels=self.labels,
            trace_id=self.trace_id or "",
            span_id=self.span_id or "",
            started_unix_ns=self.started_unix_ns,
            ended_unix_ns=ended,
            outcome=outcome,
            host_pid=os.getpid(),
            usage=usage,
            attributes={**self.labels.attributes(), **self._extra, **outcome_attributes(details)},
        )

    # --- what the observed code may tell --------------------------------------

    @never_raises("attaching to an execution", default=None)
    def attach(self, target: object) -> None:
        """Count what *target* and its descendants use as this execution's.

        Args:
            target: A pid, a `subprocess.Popen`, a `psutil.Process`, or the path
                of a cgroup.
        """
        is_cgroup = isinstance(target, (str, bytes, os.PathLike))
        if not self._tracker.attach(target) and is_cgroup and not self._ended:
            path = shown(target)
            if path not in _no_cgroups and len(_no_cgroups) < _MOST_REPORTED:
                _no_cgroups.add(path)
                _log.warning("%s is not a cgroup; nothing was attached", path)

    @never_raises("recording an execution", default=None)
    def record(
        self,
        *,
        outcome: Outcome | OutcomeWord | None = None,
        exit_code: int | None = None,
        signal: str | None = None,
        reason: str | None = None,
        error_type: str | None = None,
        pid: int | None = None,
        executable: str | None = None,
        usage: Usage | None = None,
        rusage: object = None,
        stdout_bytes: int | None = None,
        stderr_bytes: int | None = None,
        truncated: bool | None = None,
    ) -> None:
        """Tell how it went; what is told here goes before what could be guessed.

        Args:
            outcome: How it ended.
            exit_code: Exit code; ``-n`` for the end by signal n, as `subprocess` says it.
            signal: Name of the signal that ended it, as ``SIGKILL``.
            reason: Why, in words of the caller's own, never the child's.
            error_type: Class of error, one of few.
            pid: Process id of the command.
            executable: Name of the command's executable.
            usage: Totals that were measured by the caller.
            rusage: A `resource.struct_rusage` of a child that was waited for.
            stdout_bytes: Bytes that were written to standard output.
            stderr_bytes: Bytes that were written to standard error.
            truncated: Whether more was written than was kept.
        """
        told = UNKNOWN if exit_code is None else read_exit_code(int(exit_code))
        self._recorded = OutcomeDetails(
            outcome=as_outcome(outcome) or told.outcome or self._recorded.outcome,
            exit_code=told.exit_code if exit_code is not None else self._recorded.exit_code,
            signal=signal or told.signal or self._recorded.signal,
            error_type=error_type or told.error_type or self._recorded.error_type,
            reason=reason or self._recorded.reason,
        )
        self._usage = usage or self._usage
        if rusage is not None:
            self._tracker.reaped(rusage)
        facts = {
            names.PROCESS_PID: pid,
            names.PROCESS_EXECUTABLE_NAME: executable,
            names.STDOUT_SIZE: stdout_bytes,
            names.STDERR_SIZE: stderr_bytes,
            names.OUTPUT_TRUNCATED: truncated,
        }
        self._extra.update(scrubbed_attributes(facts))

    @never_raises("setting an attribute of an execution", default=None)
    def set_attribute(self, key: str, value: object) -> None:
        """Put an attribute on its span; the value is cleaned, scrubbed and bounded first.

        Names that begin with ``codomon.`` are this package's own and refused.
        """
        name = scrubbed_name(key, default="unnamed")
        if value is not None and not is_refused(name):
            self._span.set_attribute(name, scrubbed_attribute(name, value))

    @never_raises("setting an attribute of an execution", default=None)
    def note(self, key: str, value: object) -> None:
        """Keep an attribute of our own, one of `otel_codomon.names`, for its end."""
        if value is not None:
            self._extra[key] = clean_attribute(value)

    @never_raises("adding an event to an execution", default=None)
    def add_event(self, name: str, attributes: Mapping[str, object] | None = None) -> None:
        """Put an event on its span; name and attributes are cleaned, scrubbed and bounded.

        Names that begin with ``codomon.`` are this package's own and refused.
        """
        cleaned = scrubbed_name(name, default="event")
        if not is_refused(cleaned):
            self._span.add_event(cleaned, without_reserved(scrubbed_attributes(attributes or {})))

    @never_raises("adding an event to an execution", default=None)
    def _add_own_event(self, name: str, attributes: Mapping[str, object]) -> None:
        self._own.add_event(
            self._span, OwnEvent(name, clean_attributes(attributes), time.time_ns())
        )

    def reach_limit(self, limit_type: str, *, limit: float, seen: float | None) -> None:
        """Note that it ran into the limit *limit_type*: an attribute, an event and a count."""
        self.note(names.LIMIT_TYPE, limit_type)
        facts = {names.LIMIT_TYPE: limit_type, names.LIMIT_VALUE: limit, names.LIMIT_SEEN: seen}
        self._add_own_event(names.EVENT_LIMIT_REACHED, facts)
        self._telemetry.count_limit(self.labels, limit_type)

    @never_raises("handling a threshold of an execution", default=None)
    def _cross(self, crossing: Crossing, *, is_first: bool, is_end: bool) -> None:
        """Note that it is beyond one of its thresholds, and if it was ended for that."""
        if is_end and self._exceeded is None:
            self._exceeded = crossing.kind
        if is_first:
            facts = {
                names.LIMIT_TYPE: crossing.kind,
                names.LIMIT_VALUE: crossing.threshold,
                names.LIMIT_SEEN: crossing.seen,
            }
            self._add_own_event(names.EVENT_THRESHOLD_CROSSED, facts)

    # --- its life -------------------------------------------------------------

    def enter(self) -> None:
        """Make it, and its span, the current ones of the calling context."""
        self._token = otel_context.attach(self._context)
        self._outer = _current.set(self)

    @never_raises("leaving the block of an execution", default=None)
    def leave(self) -> None:
        """Give the calling context back what was current before `enter`."""
        token, outer, self._token, self._outer = self._token, self._outer, None, None
        if outer is None or token is None:
            return
        try:
            _current.reset(outer)
        except ValueError:
            # Left in another context than entered, as when a block spans the
            # finalisation of an async generator: nothing was entered here.
            return
        otel_context.detach(token)

    @never_raises("ending an execution", default=None)
    def succeed(self, result: object = None) -> None:
        """End it with what the observed code returned."""
        if not self._ended:
            if self._is_tool_call:
                self.note(names.GEN_AI_TOOL_CALL_RESULT, call_result(result))
            own = self._read_result
            self._end(read_result(result) if own is None else read_with(own, result), None)

    @never_raises("ending an execution", default=None)
    def fail(self, error: BaseException) -> None:
        """End it with what the observed code raised."""
        if not self._ended:
            self._end(read_any_exception(error), error)

    def abandon(self) -> None:
        """Never end it in this process: it goes on in the one that was forked from."""
        self._ended = True

    def _end(self, seen: OutcomeDetails, error: BaseException | None) -> None:
        self._ended = True
        registry.leave(self)
        elapsed_ns = time.monotonic_ns() - self.started_ns
        try:
            self._report(seen, error, seconds=elapsed_ns / 1e9)
        except BaseException:  # of a signal that arrived just here
            self._own.set_on(self._span, {names.EXECUTION_OUTCOME: self._settle(seen)[1].value})
            raise
        finally:
            # Not the wall clock again: it may have been set back while we ran.
            self._span.end(self.started_unix_ns + elapsed_ns)

    def _report(self, seen: OutcomeDetails, error: BaseException | None, *, seconds: float) -> None:
        """Put on the span and into the histograms what is known at the end."""
        watched = self._tracker.finish()
        usage = self._usage = watched if self._usage is None else complete(self._usage, watched)
        details, outcome = self._settle(seen)
        if self._span.is_recording():
            self._finish_span(details, outcome, usage, error)
        if log_records.has_events():
            self._emit_end(details, outcome, seconds=seconds)
        if registry.is_kept():
            registry.remember(self.snapshot(details=details, usage=usage, seconds=seconds))
        self._telemetry.measure(
            self.labels,
            outcome,
            seconds=seconds,
            usage=usage,
            error_type=details.error_type if outcome.is_failure else None,
            context=self._context,
        )

    def _settle(self, seen: OutcomeDetails) -> tuple[OutcomeDetails, Outcome]:
        """What is told of how it went, by whoever knows best."""
        details = merge_details(self._recorded, seen)
        if self._exceeded is not None:
            reason = f"ended beyond its {self._exceeded} threshold"
            exceeded = Outcome.LIMIT_EXCEEDED
            details = replace(details, outcome=exceeded, error_type=exceeded.value, reason=reason)
        elif (
            details.outcome in _EXPLAINED_BY_OOM
            and self._recorded.outcome is not Outcome.SUCCESS
            and self._tracker.oom_kills
        ):
            killed = Outcome.OOM_KILLED
            details = replace(details, outcome=killed, error_type=killed.value, reason=_OOM_REASON)
        return details, details.outcome or Outcome.SUCCESS

    def _finish_span(
        self, details: OutcomeDetails, outcome: Outcome, usage: Usage, error: BaseException | None
    ) -> None:
        attributes: dict[str, AttributeValue] = {
            names.EXECUTION_OUTCOME: outcome.value,
            **self._extra,
            **usage.attributes(),
        }
        attributes.update(outcome_attributes(details))
        self._own.set_on(self._span, attributes)
        if error is not None and outcome.is_failure:
            self._report_exception(exception_facts(error))
        if outcome.is_failure:
            self._span.set_status(STATUS[outcome])

    def _report_exception(self, facts: Mapping[str, AttributeValue]) -> None:
        """An event of the span, a log record, or both: what the standard variable says."""
        is_event, is_log = log_records.exception_forms()
        if is_log:
            attributes = {**self._log_attributes(), **facts}
            is_log = log_records.emit(
                names.EVENT_EXCEPTION, attributes, context=self._context, is_error=True
            )
        if is_event or not is_log:  # without a provider of logs it must not be lost
            self._add_own_event(names.EVENT_EXCEPTION, facts)

    def _log_attributes(self) -> dict[str, AttributeValue]:
        return {names.EXECUTION_ID: self.execution_id, **self.labels.attributes()}

    @never_raises("emitting the start of an execution", default=None)
    def _emit_start(self, attributes: Mapping[str, AttributeValue]) -> None:
        log_records.emit(
            names.EVENT_EXECUTION_STARTED,
            {**attributes, **self._log_attributes()},
            context=self._context,
            body=f"{self.labels.name} started",
            unix_ns=self.started_unix_ns,
        )

    @never_raises("emitting the end of an execution", default=None)
    def _emit_end(self, details: OutcomeDetails, outcome: Outcome, *, seconds: float) -> None:
        facts = {**outcome_attributes(details), names.EXECUTION_OUTCOME: outcome.value}
        reason = facts.get(names.ERROR_REASON)
        log_records.emit(
            names.EVENT_EXECUTION_ENDED,
            {**self._log_attributes(), **facts},
            context=self._context,
            body=f"{self.labels.name}: {outcome.value}" + (f": {reason}" if reason else ""),
            is_error=outcome.is_failure,
            unix_ns=self.started_unix_ns + int(seconds * 1e9),
        )


class _Inert(Execution):
    """Stands in while nothing is configured: every call does nothing."""

    __slots__ = ()

    def __init__(self) -> None:
        """Leave every slot but those of identity empty: no method looks at them."""
        self.execution_id = "0" * 32  # type: ignore[misc] # final in a real one
        self.labels = Labels("inert", Kind.FUNCTION)  # type: ignore[misc] # as above
        self.started_unix_ns = self.started_ns = 0  # type: ignore[misc] # as above
        self._span, self._context = INVALID_SPAN, Context()
        self._own = OwnFacts({})
        self._tracker = ResourceTracker(self.labels, 0, thread=False)
        self._usage = None
        self._ended = True
        self._is_tool_call = False

    def attach(self, target: object) -> None:
        """Do nothing."""

    def record(self, **_facts: object) -> None:
        """Do nothing."""

    def set_attribute(self, key: str, value: object) -> None:
        """Do nothing."""

    def note(self, key: str, value: object) -> None:
        """Do nothing."""

    def add_event(self, name: str, attributes: Mapping[str, object] | None = None) -> None:
        """Do nothing."""

    def reach_limit(self, limit_type: str, *, limit: float, seen: float | None) -> None:
        """Do nothing."""

    def enter(self) -> None:
        """Do nothing."""

    def leave(self) -> None:
        """Do nothing."""

    def succeed(self, result: object = None) -> None:
        """Do nothing."""

    def fail(self, error: BaseException) -> None:
        """Do nothing."""


INERT: Final = _Inert()
