"""How a command ended, and what that means: a value and pure functions over it."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.outcome_details import OutcomeDetails, read_code_of
from otel_codomon.resources.totals import UNWAITED, ChildTotals
from otel_codomon.resources.usage import Usage
from otel_codomon.sandbox.result import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_codomon.resources.limits import Limits

    _Question = Callable[["ProcessExit", "LimitSeen | None"], bool]
    _Answer = Callable[["ProcessExit", "LimitSeen | None"], str]

# Where the figures stand in a `resource.struct_rusage`.
_USER, _SYSTEM, _MAX_RSS = 0, 1, 2
_MINOR_FAULTS, _MAJOR_FAULTS = 6, 7
_BLOCKS_IN, _BLOCKS_OUT = 9, 10
_VOLUNTARY, _INVOLUNTARY = 14, 15
_BLOCK_BYTES: Final = 512  # getrusage(2)
_LIMIT_FIELDS: Final = {
    "cpu": "cpu_seconds",
    "memory": "memory_bytes",
    "processes": "processes",
    "file_size": "file_size_bytes",
    "disk": "disk_bytes",
}
# As a shell tells it: found but not to be started, and not found.
CANNOT_START: Final = 126
NOT_FOUND: Final = 127


@dataclass(frozen=True, slots=True)
class LimitSeen:
    """A limit that was passed.

    Attributes:
        limit: Which: ``cpu``, ``memory``, ``processes``, ``file_size``, ``disk``.
        seen: What was seen of it, in the limit's unit; None where a
            signal said so, or where it is an estimate.
    """

    limit: str
    seen: float | None = None

    @property
    def field(self) -> str:
        """The field of `Limits` that sets it."""
        return _LIMIT_FIELDS[self.limit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """What its caller had to do because the supervisor could not.

    Attributes:
        was_stopped: Whether the supervisor was kept from its work; else it was killed.
        found: Processes that the supervisor had left, and that were found and killed.
        left: Those of them that are still alive.
        is_complete: Whether no other process can be left.
    """

    was_stopped: bool
    found: int = 0
    left: int = 0
    is_complete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessExit:
    """How a command ended.

    Attributes:
        pid: Process id; None when it was not started.
        failure: ``errno`` of the start that failed; None when it was started.
        status: Wait status; None when nobody could tell, or it was not started.
        is_lost: Whether another waiter of the host took its wait status.
        rusage: Figures of its whole tree, without what was used before the
            program began: a `resource.struct_rusage` as a tuple, its memory 0
            where that is not known. Empty when nobody could tell.
        cgroup_cpu_seconds: CPU time that its cgroup has counted, seconds; None without one.
        has_unwaited: Whether *rusage* may leave out processes that nobody waited for.
        timed_out: Whether it ran out of time.
        cancelled: Whether its caller ended it.
        limit: The limit for which it was ended.
        unmeasured: The limits of which a measurement failed, and why.
        oom_kills: Processes that the kernel killed for its memory limit.
        left: Processes that could not be killed.
        was_inside: Whether bubblewrap reports that it has run the command; False without it.
        rescue: What its caller had to do in the supervisor's place; None for nothing.
        output: What it wrote to standard output.
        errors: What it wrote to standard error.
    """

    pid: int | None = None
    failure: int | None = None
    status: int | None = None
    is_lost: bool = False
    rusage: tuple[float, ...] = ()
    cgroup_cpu_seconds: float | None = None
    has_unwaited: bool = False
    timed_out: bool = False
    cancelled: bool = False
    limit: LimitSeen | None = None
    unmeasured: Mapping[str, str] = field(default_factory=dict)
    oom_kills: int = 0
    left: int = 0
    was_inside: bool = False
    rescue: Rescue | None = None
    output: Output = field(default_factory=Output)
    errors: Output = field(default_factory=Output)

    @property
    def returncode(self) -> int | None:
        """Exit code, ``-n`` for signal n, as `subprocess` tells it; None when not known."""
        return None if self.status is None else os.waitstatus_to_exitcode(self.status)

    @property
    def doubts(self) -> list[str]:
        """Which limits may not have held, as they could not always be measured."""
        return [
            f"the limit on {limit} may not have held: it could not be measured ({why})"
            for limit, why in self.unmeasured.items()
            if self.limit is None or self.limit.limit != limit
        ]


def since(before: Sequence[float], totals: Sequence[float]) -> tuple[float, ...]:
    """What a program used: *totals* of its process without what was used *before* it began.

    The memory peak of a process starts at that of the copy it was forked from,
    which only a larger one hides: any other is not known, which is 0 here.
    Nothing was used before where *before* is empty: a copy that a memory limit
    did not let begin says nothing.
    """
    before = before or [0.0] * len(totals)
    spent = [max(0, end - start) for start, end in zip(before, totals, strict=True)]
    is_own = totals[_MAX_RSS] > before[_MAX_RSS]
    spent[_MAX_RSS] = totals[_MAX_RSS] if is_own else 0
    return tuple(spent)


def usage_of(process_exit: ProcessExit) -> Usage:
    """The totals of a tree that was waited for to its last process.

    Where processes vanished without being waited for, only a cgroup tells the
    CPU time: without one it is absent, as what is known of it leaves them out.
    """
    rusage = process_exit.rusage
    if not rusage:
        return Usage()
    usage = Usage(
        source="process_tree",
        peak_memory_bytes=int(rusage[_MAX_RSS]) * 1024 or None,
    )
    if process_exit.has_unwaited:
        counted = process_exit.cgroup_cpu_seconds
        if counted is None:
            return replace(usage, absent_reason=UNWAITED)
        return replace(usage, source="cgroup", cpu_seconds=counted)
    return replace(
        usage,
        cpu_seconds=rusage[_USER] + rusage[_SYSTEM],
        cpu_user_seconds=rusage[_USER],
        cpu_system_seconds=rusage[_SYSTEM],
        minor_page_faults=int(rusage[_MINOR_FAULTS]),
        major_page_faults=int(rusage[_MAJOR_FAULTS]),
        voluntary_context_switches=int(rusage[_VOLUNTARY]),
        involuntary_context_switches=int(rusage[_INVOLUNTARY]),
    )


def totals_of(process_exit: ProcessExit) -> ChildTotals | None:
    """The same figures as the execution's tracker takes them; None when there are none."""
    rusage = process_exit.rusage
    if not rusage:
        return None
    return ChildTotals(
        pid=process_exit.pid,
        user_seconds=rusage[_USER],
        system_seconds=rusage[_SYSTEM],
        maxrss_bytes=int(rusage[_MAX_RSS]) * 1024,
        read_bytes=int(rusage[_BLOCKS_IN]) * _BLOCK_BYTES,
        write_bytes=int(rusage[_BLOCKS_OUT]) * _BLOCK_BYTES,
        voluntary_switches=int(rusage[_VOLUNTARY]),
        involuntary_switches=int(rusage[_INVOLUNTARY]),
        major_faults=int(rusage[_MAJOR_FAULTS]),
        minor_faults=int(rusage[_MINOR_FAULTS]),
        spawner_peak_bytes=0,  # taken off by `since`
        has_unwaited=process_exit.has_unwaited,
        is_whole=True,
    )


# --- what an ending means ----------------------------------------------------


def classify(
    process_exit: ProcessExit, limits: Limits, argv: Sequence[str] = ()
) -> tuple[OutcomeDetails, LimitSeen | None]:
    """Say how the execution went, and which limit it ran into, if any.

    It may have run into one and gone well, where one of its processes was
    killed for it and the others went on.

    What we did to it explains its end before its exit code does: a command
    that was ended for its time may well leave with 0.

    Args:
        process_exit: How it ended.
        limits: What it was allowed to use.
        argv: The command: of a shell or the client of an engine, 128+n is the
            end by signal n of what it ran.
    """
    limit = process_exit.limit or _signalled_limit(process_exit, limits)
    reached = limit or _memory_limit(process_exit, limits)
    code = process_exit.returncode
    seen = OutcomeDetails() if code is None else read_code_of(list(argv), code)
    for applies, outcome, reason in _MEANINGS:
        if applies(process_exit, limit):
            return replace(
                seen,
                outcome=outcome,
                error_type=outcome.value,
                reason=reason(process_exit, limit) + _besides(process_exit),
            ), reached
    if code is None:
        return _not_started(process_exit), None
    return replace(seen, reason=_plain_reason(seen, process_exit)), reached


# The first that applies says the outcome.
_MEANINGS: Final[tuple[tuple[_Question, Outcome, _Answer], ...]] = (
    (lambda e, _: e.cancelled, Outcome.CANCELLED, lambda *_: "its caller ended it"),
    (lambda e, _: e.timed_out, Outcome.TIMEOUT, lambda *_: "it ran out of time"),
    (
        lambda e, _: e.oom_kills > 0 and e.returncode != 0,
        Outcome.OOM_KILLED,
        lambda e, _: f"the kernel killed {e.oom_kills} of its processes at its memory limit",
    ),
    (
        lambda _, limit: limit is not None,
        Outcome.LIMIT_EXCEEDED,
        lambda _, limit: f"it exceeded its limit: {limit and limit.limit}",
    ),
    (
        lambda e, _: e.is_lost,
        Outcome.UNKNOWN,
        lambda *_: "its exit status was lost: the host ignores SIGCHLD, or waits for any child",
    ),
    (
        lambda e, _: e.failure is None and e.status is None,
        Outcome.KILLED,
        lambda *_: "its supervisor died",
    ),
    (
        lambda e, _: e.rescue is not None,
        Outcome.KILLED,
        lambda *_: "it was ended because its supervisor was kept from working",
    ),
)

# Signals by which the kernel tells that a limit was passed.
_LIMIT_SIGNALS: Final = {
    getattr(signal, "SIGXCPU", None): LimitSeen("cpu"),
    getattr(signal, "SIGXFSZ", None): LimitSeen("file_size"),
}


def _signalled_limit(process_exit: ProcessExit, limits: Limits) -> LimitSeen | None:
    limit = _LIMIT_SIGNALS.get(-(process_exit.returncode or 0))
    is_ours = limit is not None and getattr(limits, limit.field) is not None
    return limit if is_ours else None


def _memory_limit(process_exit: ProcessExit, limits: Limits) -> LimitSeen | None:
    """The limit that the kernel killed for, also where what it killed was not missed.

    How much was asked for beyond the limit nobody tells.
    """
    is_ours = process_exit.oom_kills > 0 and limits.memory_bytes is not None
    return LimitSeen("memory") if is_ours else None


def _not_started(process_exit: ProcessExit) -> OutcomeDetails:
    number = process_exit.failure or errno.ENOENT
    missing = number in (errno.ENOENT, errno.ENOTDIR)
    return OutcomeDetails(
        outcome=Outcome.SETUP_ERROR,
        exit_code=NOT_FOUND if missing else CANNOT_START,
        error_type=Outcome.SETUP_ERROR.value,
        reason=os.strerror(number),
    )


def _plain_reason(seen: OutcomeDetails, process_exit: ProcessExit) -> str | None:
    besides = _besides(process_exit)
    if seen.outcome is Outcome.SUCCESS:
        return besides[2:] or None
    if seen.signal is not None:
        return f"{seen.signal} ended it{besides}"
    return f"it ended with exit code {seen.exit_code}{besides}"


def _besides(process_exit: ProcessExit) -> str:
    """What is to go after the reason of its end: what may have outlived it, or gone unseen."""
    return _leftovers(process_exit) + "".join(f"; {doubt}" for doubt in process_exit.doubts)


def _leftovers(process_exit: ProcessExit) -> str:
    """What may have outlived the command."""
    left = (
        f"; {process_exit.left} of its processes could not be killed" if process_exit.left else ""
    )
    rescue = process_exit.rescue
    if rescue is None or rescue.is_complete:
        return left
    found = f"; {rescue.found} of its processes were found and ended" if rescue.found else ""
    alive = f", {rescue.left} of them could not be killed" if rescue.left else ""
    return f"{left}{found}{alive}; others may be left"
