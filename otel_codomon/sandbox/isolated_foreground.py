"""Start an isolated command in our place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from otel_codomon.sandbox.apart import Apart
from otel_codomon.sandbox.command import wrap
from otel_codomon.sandbox.foreground import Foreground

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_codomon.sandbox.command import Command
    from otel_codomon.sandbox.rlimits import RlimitRow


def start_apart(
    command: Command, *, rlimits: Iterable[RlimitRow], cgroups: Sequence[str]
) -> Foreground:
    """Start *command*, which has a wrapper, in our place.

    Raises:
        OSError: Bubblewrap cannot be started.
    """
    wrapper = command.wrapper
    assert wrapper is not None  # noqa: S101 - as said
    wrapped = wrap(command, wrapper, rlimits)
    options = b"".join(os.fsencode(word) + b"\0" for word in wrapped.options)
    apart = Apart(options, wrapper.call_filter)
    return Foreground(
        [apart.program(os.fsencode(wrapper.path))],
        [os.fsencode(word) for word in wrapped.argv],
        {},  # what it is to give to the command is among its options
        rlimits=[(which, (soft, hard)) for which, soft, hard in wrapped.rlimits],
        cgroups=cgroups,
        apart=apart,
    )
