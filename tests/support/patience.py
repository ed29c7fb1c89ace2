"""Time enough for what takes time: how much that is depends on the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_codomon import run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_codomon import ExecutionResult

_LONGEST_SECONDS = 300.0  # only a hang takes so long


def run_out_of_time(
    command: Sequence[str], *, is_ready: Callable[[str], bool], **options: Any
) -> ExecutionResult:
    """Run a *command* that does not end, until its time is over.

    It is to be where the test wants it by then. If it was not, it is run again
    and given twice the time.

    Args:
        command: What to run.
        is_ready: Whether what it has written says that it was there.
        options: More arguments of `run`.
    """
    timeout = 0.5
    while True:
        result = run(command, timeout=timeout, **options)
        if is_ready(result.stdout):
            return result
        assert timeout < _LONGEST_SECONDS, f"it is not ready: {result}"
        timeout *= 2


def lines(count: int) -> Callable[[str], bool]:
    """Whether a text has *count* whole lines."""
    return lambda text: text.count("\n") >= count
