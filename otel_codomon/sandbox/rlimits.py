"""Limits that the kernel holds on one process, as numbers for `setrlimit`.

Imports next to nothing: `otel-codomon run` needs it before it starts its command.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class ProcessLimits(Protocol):
        """What of `otel_codomon.Limits` the kernel holds on each process."""

        @property
        def cpu_seconds(self) -> float | None:
            """CPU time, seconds."""

        @property
        def memory_bytes(self) -> int | None:
            """Memory, bytes."""

        @property
        def file_size_bytes(self) -> int | None:
            """Size of the largest file it may write, bytes."""

        @property
        def open_files(self) -> int | None:
            """Files it may hold open."""


# Of Linux, for which alone it is meant; `resource` is not on every platform.
RLIMIT_RSS = 5


def resource_limits(limits: ProcessLimits) -> Iterator[tuple[int, int, int]]:
    """Yield ``RLIMIT`` number, soft and hard value of what one process may use.

    The kernel holds these on each process, not on their sum. The sum is looked
    after besides. There is none for the number of processes: ``RLIMIT_NPROC``
    counts all of a user's, and does nothing for root.
    """
    import resource  # noqa: PLC0415 - not on every platform

    yield resource.RLIMIT_CORE, 0, 0  # a dump would fill the folder it died in
    if limits.cpu_seconds is not None:
        # Whole seconds. With soft = hard the kernel sends SIGKILL, which says
        # nothing, where SIGXCPU says what happened.
        seconds = -int(-limits.cpu_seconds // 1)
        yield resource.RLIMIT_CPU, seconds, seconds + 1
    if limits.memory_bytes is not None:
        # Not the address space: Node, Go and Java reserve gigabytes of that.
        yield resource.RLIMIT_DATA, limits.memory_bytes, limits.memory_bytes
    if limits.file_size_bytes is not None:
        yield resource.RLIMIT_FSIZE, limits.file_size_bytes, limits.file_size_bytes
    if limits.open_files is not None:
        yield resource.RLIMIT_NOFILE, limits.open_files, limits.open_files
