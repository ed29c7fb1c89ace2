"""The environment a command gets: a copy of little, and never ours.

Imports nothing: `otel-codomon run` needs it before it starts its command.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What a program needs to find its way, and nothing that says who we are to
# others. Where a name ends in *, everything that begins with it.
ALLOWED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "COLORTERM", "NO_COLOR"),
    *("LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR"),
    *("SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE"),
)
# Toolchains that were installed for one user find themselves by these.
TOOLCHAINS = (
    *("CARGO_HOME", "RUSTUP_HOME", "GOROOT", "GOPATH", "GOCACHE", "JAVA_HOME", "PYENV_ROOT"),
    "LD_LIBRARY_PATH",
)
PROPAGATION = ("none", "linked", "full")
# What a trace goes on by, and what tells an OpenTelemetry SDK what to do.
CONTEXT = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")
_SETTINGS = "OTEL_"
# An exporter's headers and keys are credentials: not even a linked child gets them.
_SECRETS = ("HEADERS", "CERTIFICATE", "CLIENT_KEY")


def build_environment(
    ours: Mapping[str, str], *, given: Mapping[str, str] | None, allowed: Sequence[str]
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


def without_telemetry(ours: Mapping[str, str]) -> dict[str, str]:
    """*ours* without all that would let a command report."""
    return {
        name: value
        for name, value in ours.items()
        if name not in CONTEXT and not name.startswith(_SETTINGS)
    }


def exporting(ours: Mapping[str, str], *, secrets: bool) -> dict[str, str]:
    """What of *ours* tells an OpenTelemetry SDK where to send to, with or without credentials."""
    return {
        name: value
        for name, value in ours.items()
        if name.startswith(_SETTINGS) and (secrets or not name.endswith(_SECRETS))
    }
