"""Whose CPU time it was: what is known of one execution in this process, and what follows.

The kernel keeps one account of all children that a process has waited for, and
one clock for each thread. Neither tells for whom a thread worked or waited. So
the CPU time of an execution is a sum only where it can be shown that nobody
else had a part in it, or that the part is too small to matter; elsewhere it is
absent.
"""

from __future__ import annotations

from typing import Final, NamedTuple

NEGLIGIBLE_NS: Final = 5_000_000
NEGLIGIBLE_SHARE: Final = 0.005
"""What may be left out: 5 ms or 0.5 %, whichever is larger. There are two such
parts, threads and children, so a total is right within 10 ms or 1 %."""

QUIET_NS: Final = 50_000
"""CPU time in which no child can be started and waited for: `posix_spawn` and
`waitpid` of ``true`` take 80 to 120 µs."""

OTHER_THREADS: Final = "other threads may have started or waited for child processes"
OTHER_TASKS: Final = "other code ran in the same thread and may have started child processes"
HANDED_OVER: Final = "other threads worked at the same time, perhaps for it"
SHARED: Final = "other tasks, or green threads, ran in the same thread"


class Work(NamedTuple):
    """What was seen of one execution, and of the process around it while it ran.

    Attributes:
        own_ns: CPU time of its thread, or of its steps; None where not known.
        beside_ns: CPU time of all other threads, without ours.
        born_ns: The part of it used by threads that were not there at its start.
        pool_ns: The part of it used by workers of thread pools that were there
            at its start, outside executions of their own.
        others_idle: Whether no thread that was there at its start did anything.
        has_hidden: Whether there are threads that nobody can tell from those that began.
        is_alone: Whether nothing else ran in its own thread.
        is_shared: Whether something else did, so that its own time is not known.
        known_ns: CPU time of children waited for that are known to be its.
        unaccounted_ns: CPU time of children waited for by this process, of
            which nobody knows whose they were.
        in_steps_ns: The part of it that was waited for while its own code ran.
        seen_ns: What the samples saw of its children that are gone, whose exact
            totals were not taken.
        has_lost: Whether there are such children.
    """

    own_ns: int | None = None
    beside_ns: int = 0
    born_ns: int = 0
    pool_ns: int = 0
    others_idle: bool = False
    has_hidden: bool = False
    is_alone: bool = False
    is_shared: bool = False
    known_ns: int = 0
    unaccounted_ns: int = 0
    in_steps_ns: int = 0
    seen_ns: int = 0
    has_lost: bool = False


class Share(NamedTuple):
    """One part of the CPU time of an execution.

    Attributes:
        cpu_ns: CPU time, nanoseconds; None where it cannot be known.
        reason: Why not.
    """

    cpu_ns: int | None
    reason: str | None = None


def of_children(work: Work) -> Share:
    """CPU time of the children that were waited for."""
    rest_ns = work.unaccounted_ns
    if work.others_idle and work.is_alone:
        return Share(work.known_ns + rest_ns)
    if is_negligible(rest_ns - work.seen_ns, work.known_ns + rest_ns):
        return Share(work.known_ns + (rest_ns if work.seen_ns else 0))
    if not work.others_idle:
        return Share(None, OTHER_THREADS)
    elsewhere_ns = rest_ns - work.in_steps_ns
    has_helpers = work.has_lost or work.born_ns > QUIET_NS
    if not has_helpers or is_negligible(elsewhere_ns, work.in_steps_ns):
        # Waited for while its own code ran, and nobody else was awake.
        return Share(work.known_ns + work.in_steps_ns)
    return Share(None, OTHER_TASKS)


def of_threads(work: Work) -> Share:
    """CPU time of its own thread and of those that it started."""
    own_ns = work.own_ns
    if work.is_shared:
        return Share(None, SHARED)
    if own_ns is None or is_negligible(work.beside_ns, own_ns):
        return Share(own_ns)
    if work.others_idle and work.is_alone and not work.has_hidden:
        return Share(own_ns + work.beside_ns)  # nobody else can have started these threads
    if is_negligible(work.born_ns, own_ns) and is_negligible(work.pool_ns, own_ns):
        return Share(own_ns)
    return Share(None, HANDED_OVER)


def may_have_threads(work: Work) -> bool:
    """Whether it may have started threads that have used more than can be left out."""
    return not work.is_shared and not is_negligible(work.born_ns, work.own_ns or 0)


def is_negligible(part_ns: int, whole_ns: int) -> bool:
    """Whether *whole_ns* is right enough without *part_ns*."""
    return part_ns <= max(NEGLIGIBLE_NS, int(whole_ns * NEGLIGIBLE_SHARE))
