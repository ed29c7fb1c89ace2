"""For the child of a test that forks."""

from __future__ import annotations

import signal


def die_of_a_hang(seconds: int = 60) -> None:
    """Have the kernel end this process in *seconds*, whatever it waits for then.

    The handler that the test runner may have for the signal is the parent's.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
