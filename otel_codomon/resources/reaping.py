"""The exact totals of a child, taken when somebody waits for it.

``wait4`` hands out, once, what a child and everything it waited for has used.
`subprocess` asks for the exit status only and lets that go.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from threading import get_ident, get_native_id
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_codomon._platform.threads_and_forks import on_fork
from otel_codomon.resources.totals import ChildTotals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from resource import struct_rusage as StructRusage  # noqa: N812 - a type

try:
    import resource
except ImportError:  # Windows
    _HAS_RUSAGE = False
else:
    _HAS_RUSAGE = True

_TOLD: Final = "_codomon_told"
_HELPER: Final = "_codomon_helper"
_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere


def reaped_children_ns() -> int:
    """CPU time of all children this process has waited for, nanoseconds; 0 where not told."""
    if not _HAS_RUSAGE:
        return 0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def self_peak_bytes() -> int | None:
    """High water mark of this process, at least, bytes; None where not told.

    It may be that of the process which started this one: no mark of a child that is
    above it can come from this process.
    """
    if not _HAS_RUSAGE:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


def has_children() -> bool:
    """Whether this process has children that it has not waited for; None is waited for here.

    Processes that work for it and are not its own, see `fostered`, are as good as such.
    """
    if _fostered:
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    except AttributeError:  # Windows
        return False
    return True


class Account(NamedTuple):
    """The children that this process has waited for so far, CPU time in nanoseconds.

    Attributes:
        reaped_ns: Of all of them, by the kernel, and of those that were `fostered`.
        owned_ns: Of those whose owner is known: attached to an execution, or
            helpers of ours.
        here_ns: Of those that the calling thread waited for, helpers left out.
    """

    reaped_ns: int
    owned_ns: int
    here_ns: int

    @property
    def unaccounted_ns(self) -> int:
        """Of those whose owner is not known."""
        return self.reaped_ns - self.owned_ns


_owned_ns: Final = [0]
_here_ns: Final[dict[int, int]] = {}
_fostered_ns: Final = [0]
_fostered: Final[dict[int, tuple[int, ...]]] = {}


def account() -> Account:
    """The account of this process now."""
    reaped_ns = reaped_children_ns() + _fostered_ns[0]
    return Account(reaped_ns, _owned_ns[0], _here_ns.get(get_ident(), 0))


def note_owner(cpu_ns: int, *, helper_ns: int = 0) -> None:
    """Note that the calling thread has waited for a child whose owner is known.

    Args:
        cpu_ns: What the child and everything it waited for has used.
        helper_ns: The part of it that was our own helper, and nobody's work.
    """
    _owned_ns[0] += cpu_ns
    ident = get_ident()
    _here_ns[ident] = _here_ns.get(ident, 0) + cpu_ns - helper_ns


def _forget() -> None:
    """In a forked child: the kernel begins its account anew, and so do we."""
    _owned_ns[0] = _fostered_ns[0] = 0
    _here_ns.clear()
    _fostered.clear()


on_fork("accounts", in_child=_forget)


def totals_of(
    rusage: StructRusage, *, pid: int | None = None, spawner_peak_bytes: int | None = None
) -> ChildTotals:
    """The totals in a ``struct_rusage`` (getrusage(2)) of a child that was waited for."""
    return ChildTotals(
        pid=pid,
        user_seconds=rusage.ru_utime,
        system_seconds=rusage.ru_stime,
        maxrss_bytes=rusage.ru_maxrss * _MAXRSS_UNIT,
        read_bytes=rusage.ru_inblock * 512,
        write_bytes=rusage.ru_oublock * 512,
        voluntary_switches=rusage.ru_nvcsw,
        involuntary_switches=rusage.ru_nivcsw,
        major_faults=rusage.ru_majflt,
        minor_faults=rusage.ru_minflt,
        spawner_peak_bytes=spawner_peak_bytes,
    )


def notify_when_reaped(child: object, told: Callable[[ChildTotals], None]) -> bool:
    """Have *told* called with the totals of *child* when it is waited for.

    Args:
        child: A `subprocess.Popen`; it gets a class that waits with ``wait4``
            and is the same in everything else.
        told: Called in the thread that waits, at most once.

    Returns:
        Whether it will be: not for other objects, other systems, or a child
        that has been waited for.
    """
    if not isinstance(child, subprocess.Popen) or not hasattr(os, "wait4"):
        return False
    if child.returncode is not None or not _waits_as_known(type(child)):
        return False
    vars(child).setdefault(_TOLD, []).append(told)
    if not issubclass(type(child), _Told):
        child.__class__ = _told_class(type(child))
    return True


def note_helper(child: subprocess.Popen[bytes], work_ns: Callable[[], int]) -> None:
    """Keep what *child*, a helper of ours, uses itself out of what the caller's children use.

    Args:
        child: Has not been waited for yet.
        work_ns: The CPU time of the work that it was started for, nanoseconds;
            asked when it has ended.
    """

    def told(totals: ChildTotals) -> None:
        helper_ns = max(0, totals.cpu_ns - work_ns())
        note_owner(helper_ns, helper_ns=helper_ns)

    if notify_when_reaped(child, told):
        vars(child)[_HELPER] = True


@contextmanager
def fostered(pid: int, work_ns: Callable[[], int]) -> Iterator[None]:
    """While process *pid* works for the calling thread, count it as a child of that.

    Args:
        pid: A process that is no child of this one.
        work_ns: The CPU time of its work, nanoseconds, as if it had been waited for; asked
            at the end.
    """
    native_id = get_native_id()
    _fostered[native_id] = (*_fostered.get(native_id, ()), pid)
    try:
        yield
    finally:
        rest = tuple(other for other in _fostered.pop(native_id, ()) if other != pid)
        if rest:
            _fostered[native_id] = rest
        _fostered_ns[0] += work_ns()


def fostered_by(native_id: int) -> tuple[int, ...]:
    """Processes that work for a thread now and are not its children."""
    return _fostered.get(native_id, ())


def _waits_as_known(kind: type) -> bool:
    """Whether *kind* waits as `subprocess` does, or has already been made ours."""
    known = (subprocess.Popen, _Told)
    return all(
        any(getattr(kind, name, None) is getattr(owner, name, None) for owner in known)
        for name in ("_try_wait", "_internal_poll", "_handle_exitstatus")
        if hasattr(subprocess.Popen, name)
    ) and hasattr(subprocess.Popen, "_try_wait")


class _Told:
    """Goes before a class of `subprocess.Popen`: waits with ``wait4`` and tells what that says."""

    pid: int
    returncode: int | None

    # Kept here for the shutdown of the interpreter, when modules are empty, and
    # wait4 raises because it imports one.
    _codomon_is_over = staticmethod(sys.is_finalizing)
    _codomon_waitpid = staticmethod(os.waitpid)
    _codomon_no_hang = getattr(os, "WNOHANG", 0)

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        try:
            if self._codomon_is_over():
                return self._codomon_waitpid(self.pid, wait_flags)
            pid, status, rusage = os.wait4(self.pid, wait_flags)
        except ChildProcessError:  # another caller waited for it: as in subprocess
            return self.pid, 0
        if pid == self.pid:
            totals = totals_of(rusage, pid=pid)
            if not vars(self).pop(_HELPER, False):
                note_owner(totals.cpu_ns)
            for told in vars(self).pop(_TOLD, []):
                told(totals)
        return pid, status

    def _internal_poll(self: Any, *_: object, **__: object) -> int | None:
        """As in subprocess, which calls ``waitpid`` here by a name of its own."""
        if self.returncode is None and self._waitpid_lock.acquire(blocking=False):
            try:
                if self.returncode is None:
                    pid, status = self._try_wait(self._codomon_no_hang)
                    if pid == self.pid:
                        self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        found: int | None = self.returncode
        return found


_told_classes: dict[type, type] = {}


def _told_class(kind: type) -> type:
    if kind not in _told_classes:
        facts = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        made = type(kind.__name__, (_Told, kind), {**facts, "__doc__": kind.__doc__})
        _told_classes[kind] = made
    return _told_classes[kind]
