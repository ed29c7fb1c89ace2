"""What shares a thread with an execution: the event loop that runs there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

_FEW_TASKS = 16
"""Beyond so many tasks nobody is alone, and they need not be listed."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread; None without one."""
    module = sys.modules.get("asyncio")
    return None if module is None else module._get_running_loop()  # noqa: SLF001 - public in C


def has_green_threads() -> bool:
    """Whether threads of the program are greenlets, which share one thread of the kernel."""
    for name, is_patched, what in _GREEN:
        module = sys.modules.get(name)
        if module is not None and getattr(module, is_patched)(what):
            return True
    return False


# Module, its predicate, and what that is asked: whether `threading` is what it seems.
_GREEN: Final = (
    ("gevent.monkey", "is_module_patched", "threading"),
    ("eventlet.patcher", "is_monkey_patched", "thread"),
)


class LoopTurn:
    """Whether *loop* has run anything else since this was made."""

    __slots__ = ("_handle", "has_come")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.has_come = False
        try:
            self._handle: asyncio.Handle | None = loop.call_soon(self._note)
        except RuntimeError:  # the loop is being closed
            self._handle, self.has_come = None, True

    def _note(self) -> None:
        self.has_come, self._handle = True, None

    def end(self) -> None:
        """Leave nothing in the loop."""
        if self._handle is not None:
            self._handle.cancel()


def is_only_task() -> bool:
    """Whether the calling task is the only one of its loop."""
    module = sys.modules.get("asyncio")
    if module is None or running_loop() is None:
        return False
    tasks = module.tasks
    # The one before Python 3.12, the other since; where both are missing all are listed.
    known = getattr(tasks, "_all_tasks", None) or getattr(tasks, "_scheduled_tasks", None) or ()
    return len(known) <= _FEW_TASKS and bool(module.all_tasks() <= {module.current_task()})
