"""Which one process ships the journal: the one that holds the lock on a file in it.

Imports next to nothing, as `segments`.
"""

from __future__ import annotations

from otel_codomon.election import Election

LOCK_FILE = "sender.lock"

_sender = Election(LOCK_FILE)
stand = _sender.stand
step_down = _sender.step_down
is_ours = _sender.is_ours
holder_pid = _sender.holder_pid
