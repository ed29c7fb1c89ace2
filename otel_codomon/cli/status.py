"""What ``otel-codomon`` alone prints: what there is, where it goes, and what to type next."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.quantities import in_words
from otel_codomon.cli.wrapping import print_wrapped
from otel_codomon.errors import CodomonError, InvalidArgumentError
from otel_codomon.journal.delivery.endpoints import endpoints
from otel_codomon.journal.location import JournalOffError, find_journal
from otel_codomon.journal.reader import JournalReader

if TYPE_CHECKING:
    from collections.abc import Iterator

_DAY_NS: Final = 24 * 3600 * 10**9
# What can be counted in the time of a glance.
_COUNTED: Final = 20_000


def print_status() -> int:
    """Print three lines."""
    for line in _lines():
        print_wrapped(line)
    return 0


def _lines() -> Iterator[str]:
    try:
        folder = find_journal()
    except JournalOffError:
        yield "nothing is recorded: OTEL_PYTHON_CODOMON_JOURNAL is off"
        yield _destination(None)
        yield _next("doctor")
        return
    except CodomonError as error:
        yield str(error)
        yield _destination(None)
        yield _next("doctor")
        return
    counts = _last_day(folder)
    yield _what_ran(counts)
    yield _destination(folder)
    if not counts.total():
        yield _next("run -- true")
    else:
        yield _next("top" if counts["running"] else "report")


def _last_day(folder: str) -> Counter[str]:
    """How many executions of the last day failed, succeeded, and run."""
    counts: Counter[str] = Counter()
    newest = JournalReader(folder).executions(
        since_unix_ns=time.time_ns() - _DAY_NS, limit=_COUNTED, keys=frozenset()
    )
    records = list(newest)
    spans = {record.span_id for record in records}
    for record in records:
        if record.parent_span_id in spans:
            continue  # within another: the same piece of work
        if record.outcome is None:
            counts["running"] += 1
        else:
            counts["failed" if record.outcome.is_failure else "succeeded"] += 1
    return counts


def _what_ran(counts: Counter[str]) -> str:
    total = counts.total()
    if not total:
        return "no executions in the last day"
    least = "at least " if total >= _COUNTED else ""
    said = f"{least}{in_words(total, 'execution', 'executions')} in the last day"
    if counts["failed"]:
        said += f", {counts['failed']:,} failed"
    return said + (f", {counts['running']:,} running" if counts["running"] else "")


def _destination(folder: str | None) -> str:
    kept = "" if folder is None else f"kept in {folder}; "
    try:
        found = endpoints(os.environ)
    except InvalidArgumentError as error:
        return f"{kept}not sent: {error}"
    places = sorted({one.place for one in found.values()})
    if places:
        return f"{kept}sent to {', '.join(places)}"
    return f"{kept}not sent: no OTLP endpoint is set"


def _next(command: str) -> str:
    return f"next: otel-codomon {command} (all commands: otel-codomon --help)"
