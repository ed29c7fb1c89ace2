"""What a command may use."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from otel_codomon import names
from otel_codomon.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a command may use. None means no limit of ours.

    Attributes:
        cpu_seconds: CPU time, seconds.
        memory_bytes: Memory, bytes.
        processes: Processes at one time.
        file_size_bytes: Size of the largest file it may write, bytes.
        open_files: Files one process may hold open.
        disk_bytes: Disk, bytes: blocks that are added to the directories it may
            write to, to the tmpfs of its sandbox, and to deleted files it holds
            open there.
        output_bytes: Bytes of each output stream that are kept; the rest is
            read and dropped, so that the command never waits for us.

    Raises:
        InvalidArgumentError: A limit is not a positive, finite number.
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
            _check_limit(field.name, getattr(self, field.name))

    def attributes(self) -> Mapping[str, int | float]:
        """The limits that are set, as span attributes."""
        return {
            key: value for key, field in LIMIT_FIELDS if (value := getattr(self, field)) is not None
        }


def _check_limit(name: str, value: object) -> None:
    if value is None:
        return
    whole = name != "cpu_seconds"
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and value > 0:  # type: ignore[arg-type, operator] # a number
        return
    raise InvalidArgumentError(
        name,
        f"cannot limit {name} to {value!r}: it is not a positive "
        f"{'whole ' if whole else ''}number; leave it out for no limit",
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
