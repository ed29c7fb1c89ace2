"""The environment a command gets: a copy of little, and never ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import SpanContext, TraceFlags, format_span_id, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_codomon.executions.running import Execution

# What a program needs to find its way, and nothing that says who we are to
# others. Where a name ends in *, everything that begins with it.
ALLOWED: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "COLORTERM", "NO_COLOR"),
    *("LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR"),
    *("SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE"),
)
# Toolchains that were installed for one user find themselves by these.
TOOLCHAINS: Final = (
    *("CARGO_HOME", "RUSTUP_HOME", "GOROOT", "GOPATH", "GOCACHE", "JAVA_HOME", "PYENV_ROOT"),
    "LD_LIBRARY_PATH",
)
PROPAGATION: Final = ("none", "linked", "full")
# An exporter's headers and keys are credentials: not even a linked child gets them.
_SECRETS: Final = ("HEADERS", "CERTIFICATE", "CLIENT_KEY")


def build_environment(
    ours: Mapping[str, str], *, given: Mapping[str, str] | None, allowed: tuple[str, ...]
) -> dict[str, str]:
    """Return what a command gets of *ours*, and on top of it what was *given*.

    Args:
        ours: This process's environment.
        given: What the caller sets; it goes before ours.
        allowed: Names the caller lets through besides `ALLOWED`.
    """
    patterns = (*ALLOWED, *TOOLCHAINS, *allowed)
    kept = {name: value for name, value in ours.items() if _is_allowed(name, patterns)}
    return {**kept, **(given or {})}


def _is_allowed(name: str, patterns: tuple[str, ...]) -> bool:
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
        for pattern in patterns
    )


def trace_environment(
    current: Execution, propagate: str, ours: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables by which a command can report, as *propagate* says.

    ``full`` makes its spans part of our trace. ``linked`` gives it a trace of
    its own, to which ours has a link: it can report, and cannot forge ours.
    ``none`` gives it nothing.
    """
    return _PROPAGATE[propagate](current, ours)


def _nothing(_current: Execution, _ours: Mapping[str, str]) -> dict[str, str]:
    return {}


def _linked(current: Execution, ours: Mapping[str, str]) -> dict[str, str]:
    fresh = SpanContext(
        int.from_bytes(os.urandom(16), "big") or 1,
        int.from_bytes(os.urandom(8), "big") or 1,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    current.span.add_link(fresh)
    parent = f"00-{format_trace_id(fresh.trace_id)}-{format_span_id(fresh.span_id)}-01"
    return {"TRACEPARENT": parent, **_exporting(ours, secrets=False)}


def _full(current: Execution, ours: Mapping[str, str]) -> dict[str, str]:
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, current.context)
    told = {name.upper(): value for name, value in carrier.items()}
    return {**told, **_exporting(ours, secrets=True)}


def _exporting(ours: Mapping[str, str], *, secrets: bool) -> dict[str, str]:
    """What tells an OpenTelemetry SDK where to send to."""
    return {
        name: value
        for name, value in ours.items()
        if name.startswith("OTEL_") and (secrets or not name.endswith(_SECRETS))
    }


_PROPAGATE: Final = {"none": _nothing, "linked": _linked, "full": _full}
