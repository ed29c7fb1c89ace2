"""What a supervisor reports of its command, line by line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_codomon.sandbox.process_exit import LimitSeen

if TYPE_CHECKING:
    from collections.abc import Callable

# A report is one line of at most forty figures.
_MAX_BYTES: Final = 64 * 1024
_FIGURES: Final = 16  # in a struct_rusage


@dataclass(slots=True)
class Reports:
    """The reports so far.

    Attributes:
        pid: The command; None before it was started.
        before: Figures of what was used before the program began.
        failure: ``errno`` of the start that failed.
        is_uncounted: Whether its directories hold too many files to limit disk.
        limit: The limit that was passed.
        unmeasured: The limits of which a measurement failed, and why.
        status: Its wait status; None while that is not known.
        left: Processes that could not be killed.
        is_inside: Whether bubblewrap has run the command.
        has_unwaited: Whether *totals* may leave out children.
        totals: Figures of the whole tree at the end.
        is_over: Whether nothing more will come.
    """

    pid: int | None = None
    before: tuple[float, ...] = ()
    failure: int | None = None
    is_uncounted: bool = False
    limit: LimitSeen | None = None
    unmeasured: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    left: int = 0
    is_inside: bool = False
    has_unwaited: bool = False
    totals: tuple[float, ...] = ()
    is_over: bool = False
    _unread: bytearray = field(default_factory=bytearray)

    @property
    def is_unfinished(self) -> bool:
        """Whether the supervisor said neither how the command ended nor that it never began."""
        return not (self.totals or self.is_uncounted) and self.failure is None

    def take(self, data: bytes) -> None:
        """Read what has arrived; nothing stands for the end of the supervisor."""
        self._unread += data
        if not data or len(self._unread) > _MAX_BYTES:
            self.is_over = True
        while b"\n" in self._unread:
            line, _, self._unread = self._unread.partition(b"\n")
            word, *figures = line.decode("ascii").split()
            _READERS[word](self, figures)

    def _started(self, figures: list[str]) -> None:
        self.pid = int(figures[0])
        self.before = tuple(map(float, figures[1:]))

    def _failed(self, figures: list[str]) -> None:
        self.failure = int(figures[0])
        self.is_over = True

    def _uncounted(self, _: list[str]) -> None:
        self.is_uncounted = self.is_over = True

    def _limit(self, figures: list[str]) -> None:
        limit, *seen = figures
        self.limit = LimitSeen(limit, *map(float, seen))

    def _unmeasured(self, words: list[str]) -> None:
        limit, *why = words
        self.unmeasured[limit] = " ".join(why)

    def _inside(self, _: list[str]) -> None:
        self.is_inside = True

    def _ended(self, figures: list[str]) -> None:
        status = int(figures[0])
        self.status = None if status < 0 else status
        self.left = int(figures[1])
        self.has_unwaited = figures[2] == "1"
        self.totals = tuple(map(float, figures[3 + _FIGURES :]))
        self.is_over = True


_READERS: Final[dict[str, Callable[[Reports, list[str]], None]]] = {
    "started": Reports._started,  # noqa: SLF001 - the class's own table
    "failed": Reports._failed,  # noqa: SLF001
    "uncounted": Reports._uncounted,  # noqa: SLF001
    "limit": Reports._limit,  # noqa: SLF001
    "unmeasured": Reports._unmeasured,  # noqa: SLF001
    "inside": Reports._inside,  # noqa: SLF001
    "ended": Reports._ended,  # noqa: SLF001
}
