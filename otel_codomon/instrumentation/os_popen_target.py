"""Commands that `os.popen` has a shell run: it starts them by `subprocess.Popen`."""

from __future__ import annotations

from otel_codomon.instrumentation import popen_class


def enable() -> None:
    """Observe each as one execution."""
    popen_class.enable(popen_class.OS_POPEN)


def disable() -> None:
    """Undo `enable`."""
    popen_class.disable(popen_class.OS_POPEN)
