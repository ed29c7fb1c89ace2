"""Processes that are started by `subprocess`: ``Popen``, and ``run`` and all else that uses it."""

from __future__ import annotations

from otel_codomon.instrumentation import popen_class


def enable() -> None:
    """Observe each as one execution."""
    popen_class.enable(popen_class.SUBPROCESS)


def disable() -> None:
    """Undo `enable`."""
    popen_class.disable(popen_class.SUBPROCESS)
