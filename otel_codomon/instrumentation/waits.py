"""The functions of `os` that wait for children, or send them signals: the same, and seen.

Those that wait do so by ``wait4``, which does what the others do and returns what
the child has used as well. Nothing is waited for that the caller does not wait for.
"""

from __future__ import annotations

import functools
import os
import sys
import types
from typing import TYPE_CHECKING, Any, Final

from otel_codomon._platform.never_raises import never_raises
from otel_codomon.instrumentation.observed_processes import (
    find,
    is_any_observed,
    is_awaited,
    was_reaped,
)
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.outcome_details import read_exception
from otel_codomon.resources.reaping import self_peak_bytes, totals_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from resource import struct_rusage as StructRusage  # noqa: N812 - a type
    from types import CodeType

    from otel_codomon.instrumentation.observed_processes import ObservedProcess

callers_that_report: Final[set[CodeType]] = set()
"""Code that waits for a child and reports its end by itself, once it has the result."""

_originals: Final[dict[str, Callable[..., Any]]] = {}
_wrapped: Final[dict[str, Callable[..., Any]]] = {}
_users: Final[set[str]] = set()


def enable(target: str) -> None:
    """Take the ends of children, for *target* among others."""
    _users.add(target)
    if _originals or not hasattr(os, "wait4"):
        return
    _originals.update({name: getattr(os, name) for name in _WRAPPERS if hasattr(os, name)})
    for name, original in _originals.items():
        wrapped = functools.wraps(original)(_WRAPPERS[name](original))
        wrapped.__module__ = os.__name__  # where a pickle finds it, in any process
        _wrapped[name] = wrapped
        setattr(os, name, wrapped)


def disable(target: str) -> None:
    """Undo `enable`; what other code has put in our place since is left there."""
    _users.discard(target)
    if _users:
        return
    for name, original in _originals.items():
        if getattr(os, name) is _wrapped[name]:
            setattr(os, name, original)
    _originals.clear()
    _wrapped.clear()


def _waits_for_one(wait: Callable[..., Any], pid: int, options: int) -> Any:
    """Wait for *pid*, which is observed; a sample in between leaves the end to us."""
    observed = find(pid)
    if observed is None:
        return wait(pid, options)
    waiting = object()
    observed.child.waiting.add(waiting)
    try:
        return wait(pid, options)
    except ChildProcessError:  # another has waited for it, or its end is ignored
        if find(pid) is observed:
            was_reaped(pid, None, None)
        raise
    finally:
        observed.child.waiting.discard(waiting)


def _take(
    pid: int, status: int, rusage: StructRusage | None, *, is_reported_later: bool = False
) -> None:
    """Take the end of *pid* where it is one that is observed, or may be."""
    if not pid or not (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
        return  # none has ended: one was stopped, or continued
    if is_awaited(pid):
        totals = rusage and totals_of(rusage, pid=pid, spawner_peak_bytes=self_peak_bytes())
        code = os.waitstatus_to_exitcode(status)
        was_reaped(pid, code, totals, is_reported_later=is_reported_later)


def _is_plain() -> bool:
    """Whether there is nothing to see, or no way to see it: ``wait4`` imports a module."""
    return sys.is_finalizing() or not is_any_observed()


def _waitpid(original: Callable[..., Any]) -> Callable[..., Any]:
    # One that was replaced, as by gevent, waits in a way of its own, and has no totals.
    wait4 = _originals["wait4"] if isinstance(original, types.BuiltinFunctionType) else None

    def waitpid(pid: int, options: int, /) -> Any:
        if _is_plain():
            return original(pid, options)
        if wait4 is None:
            found, status = _waits_for_one(original, pid, options)
            rusage = None
        else:
            found, status, rusage = _waits_for_one(wait4, pid, options)
        code = sys._getframe(1).f_code  # noqa: SLF001 - public but for its name
        _take(found, status, rusage, is_reported_later=code in callers_that_report)
        return found, status

    return waitpid


def _wait4(original: Callable[..., Any]) -> Callable[..., Any]:
    def wait4(pid: int, options: int) -> Any:
        if _is_plain():
            return original(pid, options)
        result = _waits_for_one(original, pid, options)
        _take(*result)
        return result

    return wait4


def _wait3(original: Callable[..., Any]) -> Callable[..., Any]:
    def wait3(options: int) -> Any:
        result = original(options)
        if not _is_plain():
            _take(*result)
        return result

    return wait3


def _wait(original: Callable[..., Any]) -> Callable[..., Any]:
    wait4 = _originals["wait4"] if isinstance(original, types.BuiltinFunctionType) else None

    def wait() -> Any:
        if wait4 is None or _is_plain():
            return original()
        found, status, rusage = wait4(-1, 0)
        _take(found, status, rusage)
        return found, status

    return wait


def _waitid(original: Callable[..., Any]) -> Callable[..., Any]:
    def waitid(idtype: int, ident: int, options: int, /) -> Any:
        result = original(idtype, ident, options)
        if result is not None and not options & os.WNOWAIT and not _is_plain():
            _take_result(result)
        return result

    return waitid


def _take_result(result: Any) -> None:
    """Take what ``waitid`` returned: how the child ended, and not what it used."""
    if result.si_code == os.CLD_EXITED:
        was_reaped(result.si_pid, result.si_status, None)
    elif result.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
        was_reaped(result.si_pid, -result.si_status, None)


def _kill(original: Callable[..., None]) -> Callable[..., None]:
    """Notes whether a timeout that has expired is why a signal is sent.

    Then the exception is just being handled, as `subprocess.run` and everybody does.
    """

    def kill(pid: int, number: int, /) -> None:
        observed = find(pid)
        if observed is not None and number and _is_timeout(sys.exc_info()[1]):
            _expect_the_end(observed, pid)
        return original(pid, number)

    return kill


@never_raises("reading why a process is sent a signal", default=False)
def _is_timeout(error: BaseException | None) -> bool:
    return error is not None and read_exception(error).outcome is Outcome.TIMEOUT


def _expect_the_end(observed: ObservedProcess, pid: int) -> None:
    """Note that its time is up, unless it has ended by itself."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return
    try:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # another has waited for it
        return
    observed.timed_out = observed.timed_out or ended is None


_WRAPPERS: Final[dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]]] = {
    "waitpid": _waitpid,
    "wait4": _wait4,
    "wait3": _wait3,
    "wait": _wait,
    "waitid": _waitid,
    "kill": _kill,
    "killpg": _kill,
}
