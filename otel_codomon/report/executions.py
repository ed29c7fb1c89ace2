"""The executions of this machine, running and finished: a list of them, and one of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING, Final

from otel_codomon.errors import UnknownExecutionError
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.location import find_journal
from otel_codomon.journal.reader import JournalReader
from otel_codomon.report.execution_lines import LINE_KEYS, ExecutionLine
from otel_codomon.report.name_patterns import fits
from otel_codomon.resources.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_codomon.journal.execution_record import ExecutionRecord


_WITH_CURVE: Final = frozenset({Outcome.OOM_KILLED, Outcome.HOST_DIED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionList:
    """Executions, the newest start first.

    Attributes:
        journal: The journal they were read from.
        executions: One line for each.
        unreadable: Records of the journal that could not be understood.
    """

    journal: str
    executions: tuple[ExecutionLine, ...]
    unreadable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionDetail:
    """One execution, with everything that is known of it.

    Attributes:
        line: What a line of the list shows, and its curve.
        usage: What it used; what is not known is absent.
        attributes: All attributes of its span.
        host_pid: The process that observed it; None where it is not known.
    """

    line: ExecutionLine
    usage: Mapping[str, float | str]
    attributes: Mapping[str, object]
    host_pid: int | None

    @classmethod
    def of(cls, record: ExecutionRecord) -> ExecutionDetail:
        """Everything about *record*."""
        known = {field.name: getattr(record.usage, field.name) for field in fields(Usage)}
        return cls(
            line=ExecutionLine.of(record),
            usage={
                name: value
                for name, value in known.items()
                if value is not None and name != "curve"
            },
            attributes=record.attributes,
            host_pid=record.host_pid,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter:
    """Which executions.

    Attributes:
        since_seconds: Those that began at most so long ago; None for all.
        until_seconds: Those that began at least so long ago; None for all.
        name: Those of this name, or of the names that this pattern fits, as
            ``thumb*``; None for all.
        outcome: Those that ended like this, ``running`` for those that have not;
            None for all.
        limit: How many at most; None for all.
        sort: One of `SORTS`.
    """

    since_seconds: float | None = None
    until_seconds: float | None = None
    name: str | None = None
    outcome: str | None = None
    limit: int | None = None
    sort: str = "started"

    def accepts(self, record: ExecutionRecord) -> bool:
        """Whether it is one of them, as far as name and outcome tell."""
        outcome = "running" if record.ended_unix_ns is None else record.outcome
        return self.outcome in (None, outcome) and (
            self.name is None or fits(record.labels.name, self.name)
        )


# What a list is sorted by, the largest first; what is not known goes last.
SORTS: Final[Mapping[str, Callable[[ExecutionRecord], float | None]]] = {
    "started": lambda record: record.started_unix_ns,
    "duration": lambda record: record.duration_seconds,
    "cpu": lambda record: record.usage.cpu_seconds,
    "memory": lambda record: record.usage.peak_memory_bytes,
}


def iterate_executions(reader: JournalReader, wanted: ExecutionFilter) -> Iterator[ExecutionRecord]:
    """Yield the executions that are *wanted*, in the order asked for, with what a line tells.

    The newest are yielded as they are read; any other order has to read all first.
    """
    if wanted.sort == "started":
        yield from islice(_newest(reader, wanted, limit=wanted.limit), wanted.limit)
        return
    key = SORTS[wanted.sort]
    found = sorted(
        _newest(reader, wanted, limit=None),
        key=lambda record: -1.0 if (value := key(record)) is None else value,
        reverse=True,
    )
    yield from found[: wanted.limit]


def _newest(
    reader: JournalReader, wanted: ExecutionFilter, *, limit: int | None
) -> Iterator[ExecutionRecord]:
    now = time.time_ns()
    narrows = wanted.name is not None or wanted.outcome is not None
    for record in reader.executions(
        since_unix_ns=_before(now, wanted.since_seconds) or 0,
        until_unix_ns=_before(now, wanted.until_seconds),
        limit=None if narrows else limit,
        keys=LINE_KEYS,
    ):
        if wanted.accepts(record):
            # How memory grew is a curve, which is read of these few alone.
            yield reader.complete(record) if record.outcome in _WITH_CURVE else record


def _before(now_unix_ns: int, seconds: float | None) -> int | None:
    return None if seconds is None else now_unix_ns - int(seconds * 1e9)


def names_in(reader: JournalReader) -> Counter[str]:
    """How many executions of each name there are: for a message about a name that nothing has."""
    return Counter(record.labels.name for record in reader.executions(keys=frozenset()))


def list_executions(
    *, journal: str | None = None, wanted: ExecutionFilter | None = None
) -> ExecutionList:
    """The executions of this machine, the newest first, without their curves.

    Args:
        journal: Folder of the journal; None for what the environment says.
        wanted: Which of them; None for all.
    """
    reader = JournalReader(find_journal(journal))
    records = iterate_executions(reader, wanted or ExecutionFilter())
    lines = tuple(ExecutionLine.of(record) for record in records)
    return ExecutionList(journal=reader.folder, executions=lines, unreadable=reader.unreadable)


def show_execution(execution_id: str, *, journal: str | None = None) -> ExecutionDetail:
    """One execution, by the beginning of its id, its trace id or its span id.

    Args:
        execution_id: The id, or the beginning of one.
        journal: Folder of the journal; None for what the environment says.

    Raises:
        AmbiguousExecutionError: The beginning fits several.
        UnknownExecutionError: There is none.
    """
    folder = find_journal(journal)
    record = JournalReader(folder).find(execution_id)
    if record is None:
        raise UnknownExecutionError(execution_id, folder)
    return ExecutionDetail.of(record)
