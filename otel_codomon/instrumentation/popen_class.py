"""`subprocess.Popen`, through which several targets start their processes.

Its methods are replaced, and not the class: programs that subclass it or keep a
reference to it see the same class as before.
"""

from __future__ import annotations

import functools
import inspect
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from otel_codomon._platform.logs import get_logger
from otel_codomon.instrumentation import waits
from otel_codomon.instrumentation.observed_processes import begin, caller_of, find, report

if TYPE_CHECKING:
    from collections.abc import Callable

_log = get_logger("otel_codomon")

SUBPROCESS: Final = "subprocess"
OS_POPEN: Final = "os.popen"
ASYNCIO: Final = "asyncio.subprocess"

_TARGET: Final = "subprocess.Popen"
_originals: Final[dict[str, Any]] = {}
_replaced: Final[list[type]] = []
_users: Final[set[str]] = set()


def enable(target: str) -> None:
    """Observe what is started through the class for *target*, one of those above."""
    _users.add(target)
    if _originals or os.name != "posix":
        return
    kind = _owner(subprocess.Popen)
    methods = {name: vars(kind).get(name) for name in (*_WRAPPERS, "_try_wait")}
    if not all(map(inspect.isfunction, methods.values())):
        _log.warning(
            "processes are not observed: subprocess.Popen is that of %r; "
            "instrument before it is replaced",
            kind.__module__,
        )
        return
    waits.callers_that_report.add(methods.pop("_try_wait").__code__)  # type: ignore[union-attr] # a function
    _originals.update(methods)
    _replaced.append(kind)
    for name, make in _WRAPPERS.items():
        setattr(kind, name, functools.wraps(_originals[name])(make(_originals[name])))
    waits.enable(_TARGET)


def disable(target: str) -> None:
    """Undo `enable`."""
    _users.discard(target)
    if _users or not _originals:
        return
    kind = _replaced.pop()
    for name, original in _originals.items():
        setattr(kind, name, original)
    _originals.clear()
    waits.callers_that_report.clear()
    waits.disable(_TARGET)


def _owner(kind: type) -> type:
    """The class that starts the processes: *kind*, or what a program has derived it from."""
    return next((base for base in kind.__mro__ if "_execute_child" in vars(base)), kind)


def _target_of(module: str) -> str:
    """Which target a process belongs to that code of *module* starts."""
    if module == "os":
        return OS_POPEN
    return ASYNCIO if module.startswith("asyncio.") else SUBPROCESS


def _execute_child(original: Callable[..., None]) -> Callable[..., None]:
    """The method that starts the process: the constructor calls it once its arguments are good.

    It is no public one, but whatever surrounds it remains as it was: the caller of the
    constructor, which warnings point to, and what the constructor does when it fails.
    """
    before_rest = ("self", "args", "executable")
    shell_at = list(inspect.signature(original).parameters).index("shell") - len(before_rest)

    def execute_child(self: Any, args: Any, executable: Any, *rest: Any, **more: Any) -> None:
        module = caller_of(1)
        observed = None
        if module is not None and _target_of(module) in _users:
            shell = rest[shell_at] if len(rest) > shell_at else more.get("shell")
            observed = begin(args, executable=executable, shell=shell)
        if observed is None:
            return original(self, args, executable, *rest, **more)
        try:
            original(self, args, executable, *rest, **more)
        except BaseException as error:
            observed.has_failed(error)
            raise
        observed.has_started(self.pid)
        return None

    return execute_child


# Both of these are called by `__del__`, also when modules have been emptied: what they
# need is kept in their arguments.


def _internal_poll(original: Callable[..., int | None]) -> Callable[..., int | None]:
    """As in `subprocess`, which waits here by a function that it has kept for itself."""

    def internal_poll(
        self: Any,
        *args: Any,
        _find: Any = find,
        _is_over: Any = sys.is_finalizing,
        _no_hang: int = getattr(os, "WNOHANG", 0),
        **more: Any,
    ) -> int | None:
        if _is_over() or self.returncode is not None or _find(self.pid) is None:
            return original(self, *args, **more)
        if self._waitpid_lock.acquire(blocking=False):
            try:
                if self.returncode is None:
                    pid, status = self._try_wait(_no_hang)
                    if pid == self.pid:
                        self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        code: int | None = self.returncode
        return code

    return internal_poll


def _handle_exitstatus(original: Callable[..., None]) -> Callable[..., None]:
    """The method that keeps the exit code: no earlier is the end reported.

    A signal handler that raises in the middle of our work would lose it otherwise.
    """

    def handle_exitstatus(
        self: Any,
        *args: Any,
        _report: Any = report,
        _is_over: Any = sys.is_finalizing,
        **more: Any,
    ) -> None:
        original(self, *args, **more)
        if not _is_over():
            _report(self.pid)

    return handle_exitstatus


_WRAPPERS: Final[dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]]] = {
    "_execute_child": _execute_child,
    "_internal_poll": _internal_poll,
    "_handle_exitstatus": _handle_exitstatus,
}
