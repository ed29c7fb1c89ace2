"""How far the journal has been delivered: a small file that only the sender writes.

It is a hint. Where it is missing or damaged, records are sent again, which
OTLP allows; nothing else depends on it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_codomon.journal import folder as folders
from otel_codomon.journal.delivery.endpoints import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterable

STATE_FILE: Final = "sent.json"
_FRESH_FILE: Final = "sent.json.new"
_MAX_BYTES: Final = 4 * 1024 * 1024


@dataclass(slots=True)
class State:
    """What the sender remembers from one process to the next.

    Attributes:
        sent: For each signal, how far each segment was delivered, bytes.
        settled: Segments in which every start has its end.
        credit: For each signal, how large a request may be that turns out to
            be sent in vain, bytes; empty while a sender is in office, and so
            after one that was killed.
    """

    sent: dict[str, dict[str, int]] = field(
        default_factory=lambda: {signal: {} for signal in SIGNALS}
    )
    settled: set[str] = field(default_factory=set)
    credit: dict[str, int] = field(default_factory=dict)

    def forget_all_but(self, names: Iterable[str]) -> None:
        """Drop what is known of segments that are gone."""
        kept = set(names)
        for offsets in self.sent.values():
            for name in offsets.keys() - kept:
                del offsets[name]
        self.settled &= kept


def load_state(folder_fd: int) -> State:
    """Read the file; an empty state where there is none that makes sense."""
    state = State()
    try:
        descriptor = folders.open_file(folder_fd, STATE_FILE, os.O_RDONLY)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
            told = json.loads(file.read(_MAX_BYTES))
        for signal, offsets in state.sent.items():
            # An older version knows fewer signals.
            offsets.update(_numbers(told["sent"].get(signal, {})))
        state.settled.update(name for name in told["settled"] if isinstance(name, str))
        state.credit.update(_numbers(told["credit"]))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return state  # missing, torn or of another version: sent again from where it makes sense
    return state


def _numbers(told: Any) -> dict[str, int]:  # noqa: ANN401 - JSON
    """What of *told* makes sense.

    Raises:
        AttributeError: It is no mapping at all.
    """
    return {key: n for key, n in told.items() if isinstance(n, int) and n >= 0}


def save_state(folder_fd: int, state: State) -> None:
    """Write the file anew, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    told = json.dumps(
        {"sent": state.sent, "settled": sorted(state.settled), "credit": state.credit}
    )
    descriptor = folders.open_file(folder_fd, _FRESH_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - as above
        file.write(told.encode())
    os.rename(_FRESH_FILE, STATE_FILE, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
