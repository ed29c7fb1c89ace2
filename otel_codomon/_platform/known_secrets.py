"""The secrets that are known here: in this process's environment, and in a command's own."""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.scrubbing import secret_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NOTHING: Final[frozenset[str]] = frozenset()
_of_command: ContextVar[frozenset[str]] = ContextVar("otel_codomon_secrets", default=_NOTHING)
# This process's environment as it was, and the secrets in it.
_of_process: tuple[object, frozenset[str]] = ({}, _NOTHING)


@contextmanager
def secrets_of(environ: Mapping[str, str]) -> Iterator[None]:
    """Within this context the secrets in *environ*, a command's own, are known too."""
    token = _of_command.set(_of_command.get() | secret_values(environ))
    try:
        yield
    finally:
        _of_command.reset(token)


def known_secrets() -> frozenset[str]:
    """The secrets in this process's environment, and in that of the command being run."""
    global _of_process  # noqa: PLW0603 - worked out again only when the environment has changed
    before, secrets = _of_process
    now = getattr(os.environ, "_data", None)  # the dict inside: compared in a microsecond
    if now is None or now != before:
        kept = dict(os.environ) if now is None else dict(now)
        readable = {os.fsdecode(name): os.fsdecode(value) for name, value in kept.items()}
        secrets = secret_values(readable)
        _of_process = kept, secrets
    of_command = _of_command.get()
    return secrets | of_command if of_command else secrets
