"""What became of records, by fate."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """What became of records in this process, by fate, since it began.

    Attributes:
        reported: What was logged once and is not logged again.
    """

    delivered: int = 0
    rejected: int = 0
    evicted: int = 0
    quarantined: int = 0
    died: int = 0
    reported: set[str] = field(default_factory=set)
