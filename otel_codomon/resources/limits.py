"""What a command may use."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon._platform.bounds import (
    LARGEST,
    LEAST_MEMORY_BYTES,
    LONGEST_SECONDS,
    MOST_OPEN_FILES,
    MOST_PROCESSES,
)
from otel_codomon._platform.refused_values import shown
from otel_codomon._platform.untrusted_arguments import plain_number
from otel_codomon.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a command may use. None means no limit of ours.

    Attributes:
        cpu_seconds: CPU time, seconds.
        memory_bytes: Memory, bytes; 1 MiB or more.
        processes: Processes at one time.
        file_size_bytes: Size of the largest file it may write, bytes.
        open_files: Files one process may hold open.
        disk_bytes: Disk, bytes: blocks that are added to the directories it may
            write to, to the tmpfs of its sandbox, and to deleted files it holds
            open there.
        output_bytes: Bytes of each output stream that are kept; the rest is
            read and dropped, so that the command never waits for us.

    Raises:
        InvalidArgumentError: A limit is not a number that means anything.
    """

    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    file_size_bytes: int | None = None
    open_files: int | None = None
    disk_bytes: int | None = None
    output_bytes: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                object.__setattr__(self, field.name, _checked(field.name, value))

    def attributes(self) -> Mapping[str, int | float]:
        """The limits that are set, as span attributes."""
        return {
            key: value for key, field in LIMIT_FIELDS if (value := getattr(self, field)) is not None
        }


# Least and most of each; fractions mean something where these are floats.
_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "cpu_seconds": (0.001, LONGEST_SECONDS),
    "memory_bytes": (LEAST_MEMORY_BYTES, LARGEST),
    "processes": (1, MOST_PROCESSES),
    "open_files": (1, MOST_OPEN_FILES),
}
_OTHERS: Final = (1, LARGEST)


def _checked(name: str, value: object) -> float:
    """Return *value*, which is to limit *name*, as a plain number."""
    least, most = _RANGES.get(name, _OTHERS)
    number = plain_number(value, is_whole=isinstance(least, int))
    if number is not None and least <= number <= most:
        return number
    kind = "whole number" if isinstance(least, int) else "number"
    raise InvalidArgumentError(
        name,
        f"cannot limit {name} to {shown(value)}: it is not a {kind} from {least} to {int(most)}; "
        "leave it out for no limit",
    )


LIMIT_FIELDS: Final[tuple[tuple[str, str], ...]] = (
    (names.LIMIT_CPU, "cpu_seconds"),
    (names.LIMIT_MEMORY, "memory_bytes"),
    (names.LIMIT_PROCESSES, "processes"),
    (names.LIMIT_FILE_SIZE, "file_size_bytes"),
    (names.LIMIT_OPEN_FILES, "open_files"),
    (names.LIMIT_DISK, "disk_bytes"),
    (names.LIMIT_OUTPUT, "output_bytes"),
)
