"""What the executions of this process have used so far, for the journal's heartbeats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_codomon.executions.running import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.resources.heartbeat import Heartbeat

OLD_ENOUGH_SECONDS: Final = 1.0
"""Most executions are over before anybody could read of them."""


def heartbeats(with_curves: bool) -> Iterator[Heartbeat]:  # noqa: FBT001 - as `journal.heartbeats.Source`
    """Yield the figures so far of each execution that has run for a second.

    Args:
        with_curves: Whether to add their curves.
    """
    for execution in registry.running():
        span_id, tracker = execution.span_id, execution.tracker
        if span_id is not None and tracker.age_seconds >= OLD_ENOUGH_SECONDS:
            yield tracker.heartbeat(span_id, with_curve=with_curves)
