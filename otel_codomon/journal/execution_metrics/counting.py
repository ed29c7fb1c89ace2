"""Adds up the ends of a journal, and says when the sums are to be exported."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.logs import get_logger
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.execution_metrics.measurements import WANTED
from otel_codomon.journal.execution_metrics.points import Moment, exports_of
from otel_codomon.journal.execution_metrics.state import (
    NewerVersionError,
    SumsState,
    load_sums,
    save_sums,
)
from otel_codomon.journal.segment_reader import SegmentReader, segment_size
from otel_codomon.journal.span_data import read_span_data
from otel_codomon.journal.span_otlp import resource_attributes
from otel_codomon.journal.trouble import reason_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
    from otel_codomon.journal.execution_metrics.points import Export
    from otel_codomon.journal.metric_choice import MetricChoice
    from otel_codomon.journal.segments import Record

_log = get_logger(__name__)

_SPACING_SECONDS: Final = 2.0
"""At most one export in this time, and a change is exported no later than after it."""

_STEP_SECONDS: Final = 0.5
"""How long is added up at a time: meanwhile nothing else is delivered."""

_IDLE_SECONDS: Final = folders.MAX_AGE_SECONDS
"""A service without an execution for so long is exported no more."""

_MAX_EARLIER: Final = 5
"""How many points are exported of before a change: Prometheus looks back five minutes."""

_READ_BYTES: Final = 256 * 1024
_SECOND_NS: Final = 1_000_000_000


class ExecutionMetrics:
    """The metrics of executions, of one journal.

    Args:
        kept: The journal's folder.
        delivered: How far each segment's spans were delivered: where sums that
            are lost begin again.
        choice: How to export.
        reported: What was logged once and is not logged again.
    """

    def __init__(
        self,
        kept: VerifiedDescriptor,
        delivered: Mapping[str, int],
        choice: MetricChoice,
        reported: set[str],
    ) -> None:
        self._kept = kept
        self._choice = choice
        self._reader = SegmentReader(kept)
        self._reported = reported
        self._covered: dict[str, int] = {}
        self._exports: list[Export] = []
        self._is_out = False
        self._state = self._load(delivered)
        self._began_unix_ns = self._made_unix_ns = time.time_ns()
        self._made_at = self._export_at = time.monotonic()
        if self._state is not None:
            since = (self._began_unix_ns - self._state.exported_unix_ns) / _SECOND_NS
            self._export_at += _SPACING_SECONDS - since if 0 <= since < _SPACING_SECONDS else 0.0
        self._unchanged_at = self._made_at + choice.interval_seconds

    def _load(self, delivered: Mapping[str, int]) -> SumsState | None:
        try:
            state = load_sums(
                self._kept.checked(),
                is_exponential=self._choice.is_exponential,
                is_delta=self._choice.is_delta,
            )
        except NewerVersionError:
            return None
        if state.is_new:
            state.counted.update(delivered)
            # Now, before more is delivered: the next sender must begin here, too.
            self._save(state)
        return state

    @property
    def has_newer(self) -> bool:
        """Whether there is something of a later version, which it leaves."""
        return self._state is None or self._reader.has_newer

    @property
    def takeovers(self) -> Mapping[str, int]:
        """The segments that a process has taken over: see `SegmentReader`."""
        return self._reader.takeovers

    @property
    def due(self) -> float:
        """When to look for ends again, monotonic clock, seconds."""
        return self._export_at

    def next_request(self, *, is_urgent: bool) -> bytes | None:
        """The next export request of the sums, if it is time for one.

        Where the one before was not taken, they are made anew.

        Args:
            is_urgent: Whether somebody waits, or this process is about to end.
        """
        if not self._exports or self._is_out:
            self._exports = self._make_exports(is_urgent=is_urgent)
        self._is_out = bool(self._exports)
        return self._exports[0].request if self._exports else None

    def request_done(self) -> None:
        """The last request was taken, or never will be."""
        self._is_out = False
        if self._state is None or not self._exports:
            return
        done = self._exports.pop(0)
        if self._state.is_delta:
            self._state.sums.forget(done.service, done.series, self._made_unix_ns)
        if not self._exports:
            self._note_exported(self._state)
        elif self._state.is_delta:  # now: the others may be refused, and made anew
            self._save(self._state)

    def _make_exports(self, *, is_urgent: bool) -> list[Export]:
        """Add up what is new; the sums as export requests, if it is time for them."""
        state, now = self._state, time.monotonic()
        if state is None or (now < self._export_at and not is_urgent):
            return []
        is_all = self.count(deadline=None if is_urgent else now + _STEP_SECONDS)
        if not is_all:
            self._export_at = now
        if not (state.sums.is_changed or now >= self._unchanged_at):
            self._export_at = now if not is_all else now + _SPACING_SECONDS / 2
            return []
        self._made_at, self._made_unix_ns = now, time.time_ns()
        exports = exports_of(state.sums, self._moment(state))
        self._covered = dict(state.counted)
        if not exports:
            self._note_exported(state)
        return exports

    def _moment(self, state: SumsState) -> Moment:
        now = self._made_unix_ns
        step = round(max(self._choice.interval_seconds, _SPACING_SECONDS) * _SECOND_NS)
        # Of sums that were lost nothing is known: a store may hold other points of then.
        last = state.exported_unix_ns or self._began_unix_ns
        earlier = (now - n * step for n in range(_MAX_EARLIER, 0, -1))
        return Moment(
            now,
            [unix_ns for unix_ns in earlier if unix_ns - last > step // 2],
            now - round(_SPACING_SECONDS * _SECOND_NS),
            state.is_delta,
            state.instance,
        )

    def _note_exported(self, state: SumsState) -> None:
        # From when the points were made: how long the answer took is no part of it.
        self._export_at = self._made_at + _SPACING_SECONDS
        self._unchanged_at = self._made_at + self._choice.interval_seconds
        state.exported = self._covered
        state.exported_unix_ns = self._made_unix_ns
        state.sums.exported()
        self._save(state)

    def count(self, *, deadline: float | None = None) -> bool:
        """Add up what is new until *deadline*, and keep it; whether that is all."""
        state = self._state
        if state is None:
            return True
        is_all, is_moved = True, False
        for name in folders.segment_names(self._kept.checked(), folders.TRACES):
            at = state.counted.get(name, 0)
            if segment_size(self._kept.checked(), name) <= at:
                continue
            is_all = self._count_segment(state, name, at, deadline)
            is_moved = True
            if not is_all:
                break
        is_settled = not state.sums.is_changed
        if is_moved:  # half of an export would leave out what was added
            self._exports = []
        if is_moved or (is_settled and state.exported != state.counted):
            state.forget_all_but(set(folders.segment_names(self._kept.checked())))
            state.sums.forget_idle(time.time_ns() - round(_IDLE_SECONDS * _SECOND_NS))
            if is_settled:  # nothing of it counts
                state.exported = dict(state.counted)
            self._save(state)
        return is_all

    def _count_segment(self, state: SumsState, name: str, at: int, deadline: float | None) -> bool:
        since = min(folders.created_unix_ns(name) or time.time_ns(), time.time_ns())
        for end, record in self._reader.records(name, at, _READ_BYTES):
            if record is not None and record.signal == segments.ENDED:
                self._add(state, name, record, since)
            state.counted[name] = end
            if deadline is not None and time.monotonic() >= deadline:
                return False
        return True

    def _add(self, state: SumsState, name: str, record: Record, since_unix_ns: int) -> None:
        if record.flags & segments.UNCOUNTED:
            return
        span = read_span_data(record, keys=WANTED, with_events=True)
        if span is None:
            return  # malformed: the queue of spans counts and keeps it
        resource = resource_attributes(self._reader.resource(span.resource_key, name))
        is_sampled = not record.flags & (segments.UNSAMPLED | segments.HISTORY)
        state.sums.add(
            span,
            resource,
            since_unix_ns=since_unix_ns,
            now_unix_ns=time.time_ns(),
            is_sampled=is_sampled,
        )

    def _save(self, state: SumsState) -> None:
        try:
            save_sums(self._kept.checked(), state)
        except OSError as error:  # a full disk: the next time, or the next sender adds them again
            if "sums" not in self._reported:
                self._reported.add("sums")
                _log.warning(
                    "cannot record the sums of executions: %s; if this process is killed, "
                    "the next sender adds them up again",
                    reason_of(error),
                )
