"""Limits that the kernel holds on one process, as numbers for `setrlimit`.

Imports next to nothing: `otel-codomon run` needs it before it starts its command.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Protocol

    # ``RLIMIT`` number, soft and hard value.
    RlimitRow = tuple[int, int, int]

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


def resource_limits(limits: ProcessLimits) -> Iterator[RlimitRow]:
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


def inner_limits() -> Mapping[int, tuple[str, int]]:
    """The limits that are set inside bubblewrap, as they would hinder it: flag of ulimit, unit.

    POSIX has these units fixed where it has the flag, and every shell follows.
    """
    import resource  # noqa: PLC0415 - not on every platform

    return {
        resource.RLIMIT_CPU: ("-t", 1),
        resource.RLIMIT_DATA: ("-d", 1024),
        resource.RLIMIT_NOFILE: ("-n", 1),
    }


def no_dump(row: RlimitRow) -> RlimitRow:
    """*row* so that no dump is made either by a program that the host has set for them.

    Such a program runs outside and as root, and would read what the command made of
    its memory. It is started unless the limit is one byte, core(5).
    """
    import resource  # noqa: PLC0415 - as above

    return (row[0], 1, 1) if row[0] == resource.RLIMIT_CORE else row


def limiting_words(rows: Iterable[RlimitRow]) -> list[str]:
    """Return what stands before a command so that it starts under *rows* of `inner_limits`."""
    steps = [step for row in rows for step in _ulimits(*row)]
    if not steps:
        return []
    return ["/bin/sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh"]


def _ulimits(which: int, soft: int, hard: int) -> Iterator[str]:
    """First the soft one: it must not be above the hard one at any time."""
    import resource  # noqa: PLC0415 - as above

    flag, unit = inner_limits()[which]
    _, ceiling = resource.getrlimit(which)
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    yield f"ulimit -S {flag} {soft // unit}"
    yield f"ulimit -H {flag} {hard // unit}"
