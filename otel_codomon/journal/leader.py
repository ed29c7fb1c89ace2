"""Which one process ships the journal: the one that holds the lock on a file in it.

Imports next to nothing, as `segments`.
"""

from __future__ import annotations

from otel_codomon._platform.leader_lock import LeaderLock

LOCK_FILE = "sender.lock"

_sender = LeaderLock(LOCK_FILE)
try_acquire = _sender.try_acquire
release = _sender.release
is_ours = _sender.is_ours
holder_pid = _sender.holder_pid
