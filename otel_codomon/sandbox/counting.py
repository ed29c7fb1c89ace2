"""What measuring a tree can run into: too many files, and processes that are closed to us."""

from __future__ import annotations

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    from collections.abc import Iterable

COUNTING_SECONDS = 10.0
"""For what is in the directories at the start."""


class TooManyFilesError(Exception):
    """The directories hold more files than can be counted in time."""


class UnreadError(Exception):
    """A part of what is to be measured is closed to us.

    Attributes:
        at_least: What was seen of all of it, at least.
    """

    def __init__(self, why: str, *, at_least: float) -> None:
        self.at_least = at_least
        super().__init__(why)


def uncounted(places: Iterable[str]) -> str:
    """Why disk cannot be limited in *places*."""
    return (
        f"cannot limit disk in {', '.join(places)}: it holds more files than can be counted in "
        f"{COUNTING_SECONDS:.0f} s; work in a smaller directory"
    )
