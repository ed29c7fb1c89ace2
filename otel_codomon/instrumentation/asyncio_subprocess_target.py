"""Processes of `asyncio`: its own event loops start them by `subprocess.Popen`.

Loops of others, such as uvloop, start and wait for processes in C, unseen.
"""

from __future__ import annotations

from otel_codomon.instrumentation import popen_class


def enable() -> None:
    """Observe each as one execution."""
    popen_class.enable(popen_class.ASYNCIO)


def disable() -> None:
    """Undo `enable`."""
    popen_class.disable(popen_class.ASYNCIO)
