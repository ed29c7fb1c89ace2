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
from otel_codomon.journal.log_lines import OutputLine, read_output_lines
from otel_codomon.journal.reader import JournalReader
from otel_codomon.report.cause import Alike
from otel_codomon.report.execution_lines import LINE_KEYS, ExecutionLine
from otel_codomon.report.name_patterns import fits
from otel_codomon.resources.labels import Kind
from otel_codomon.resources.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otel_codomon.journal.execution_record import ExecutionRecord


_ALIKE_NS: Final = 24 * 3600 * 10**9
_ALIKE_LOOKED_AT: Final = 10_000
_ALIKE_EXAMPLES: Final = 2
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
        command: Program and arguments, scrubbed; None where it is no command. Only this
            machine's journal has them.
        children: The executions that ran within it, oldest first, without their curves.
        alike: Others of its name that ended in the same way; None where there are none, or
            it did not fail.
        output_lines: How many lines of its output the journal has as log records; None for none.
        output: The last of them, oldest first.
    """

    line: ExecutionLine
    usage: Mapping[str, float | str]
    attributes: Mapping[str, object]
    host_pid: int | None
    command: tuple[str, ...] | None = None
    children: tuple[ExecutionLine, ...] = ()
    alike: Alike | None = None
    output_lines: int | None = None
    output: tuple[OutputLine, ...] = ()

    @classmethod
    def of(
        cls,
        record: ExecutionRecord,
        *,
        command: tuple[str, ...] = (),
        children: Iterable[ExecutionRecord] = (),
        alike: Alike | None = None,
        output: tuple[int, tuple[OutputLine, ...]] = (0, ()),
    ) -> ExecutionDetail:
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
            command=command or None,
            children=tuple(map(ExecutionLine.of, children)),
            alike=alike,
            output_lines=output[0] or None,
            output=output[1],
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
    reader = JournalReader(find_journal(journal))
    record = reader.find(execution_id)
    if record is None:
        raise UnknownExecutionError(execution_id, reader.folder)
    is_command = record.labels.kind is Kind.COMMAND
    return ExecutionDetail.of(
        record,
        command=reader.command_of(record) if is_command else (),
        children=_children_of(record, reader),
        alike=_alike(record, reader),
        output=read_output_lines(
            reader.folder, record.span_id, started_unix_ns=record.started_unix_ns
        ),
    )


def _children_of(record: ExecutionRecord, reader: JournalReader) -> list[ExecutionRecord]:
    """The executions that began within *record*, oldest first."""
    during = reader.executions(
        since_unix_ns=record.started_unix_ns, until_unix_ns=record.ended_unix_ns, keys=LINE_KEYS
    )
    return [found for found in during if found.parent_span_id == record.span_id][::-1]


def _alike(record: ExecutionRecord, reader: JournalReader) -> Alike | None:
    if record.outcome is None or not record.outcome.is_failure:
        return None
    day_before = record.started_unix_ns - _ALIKE_NS
    around = reader.executions(since_unix_ns=day_before, limit=_ALIKE_LOOKED_AT, keys=frozenset())
    found = [
        other
        for other in around
        if (other.labels.name, other.outcome) == (record.labels.name, record.outcome)
        and other.span_id != record.span_id
    ]
    if not found:
        return None
    return Alike(
        executions=len(found),
        since_unix_ns=found[-1].started_unix_ns,
        examples=tuple(other.execution_id for other in found[:_ALIKE_EXAMPLES]),
    )
