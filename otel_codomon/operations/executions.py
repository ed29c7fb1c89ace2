"""The executions of this machine, running and finished: a list of them, and one of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from otel_codomon.errors import UnknownExecutionError
from otel_codomon.journal.reader import JournalReader
from otel_codomon.operations.places import find_journal
from otel_codomon.operations.report import LINE_KEYS, ExecutionLine
from otel_codomon.values.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.values.execution import ExecutionRecord


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
class Wanted:
    """Which executions.

    Attributes:
        since_seconds: Those that began at most so long ago; None for all.
        name: Those of this name; None for all.
        outcome: Those that ended like this, ``running`` for those that have not;
            None for all.
        limit: How many at most; None for all.
    """

    since_seconds: float | None = None
    name: str | None = None
    outcome: str | None = None
    limit: int | None = None

    def accepts(self, record: ExecutionRecord) -> bool:
        """Whether it is one of them, as far as name and outcome tell."""
        outcome = "running" if record.ended_unix_ns is None else record.outcome
        return self.name in (None, record.labels.name) and self.outcome in (None, outcome)


def iterate_executions(reader: JournalReader, wanted: Wanted) -> Iterator[ExecutionRecord]:
    """Yield the executions that are *wanted*, the newest start first, with what a line tells."""
    since = 0
    if wanted.since_seconds is not None:
        since = time.time_ns() - int(wanted.since_seconds * 1e9)
    narrows = wanted.name is not None or wanted.outcome is not None
    left = wanted.limit
    for record in reader.executions(
        since_unix_ns=since, limit=None if narrows else left, keys=LINE_KEYS
    ):
        if wanted.accepts(record):
            yield record
            left = None if left is None else left - 1
        if left == 0:
            return


def list_executions(*, journal: str | None = None, wanted: Wanted | None = None) -> ExecutionList:
    """The executions of this machine, the newest first, without their curves.

    Args:
        journal: Folder of the journal; None for what the environment says.
        wanted: Which of them; None for all.
    """
    reader = JournalReader(find_journal(journal))
    records = iterate_executions(reader, wanted or Wanted())
    lines = tuple(ExecutionLine.of(record) for record in records)
    return ExecutionList(journal=reader.folder, executions=lines, unreadable=reader.unreadable)


def show_execution(execution_id: str, *, journal: str | None = None) -> ExecutionDetail:
    """One execution, by the beginning of its id, its trace id or its span id.

    Args:
        execution_id: The id, or the beginning of one; the newest that fits is taken.
        journal: Folder of the journal; None for what the environment says.

    Raises:
        UnknownExecutionError: There is none.
    """
    folder = find_journal(journal)
    record = JournalReader(folder).find(execution_id)
    if record is None:
        raise UnknownExecutionError(execution_id, folder)
    return ExecutionDetail.of(record)
