"""Journals with a past: executions written as the processes that ran them would have."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otel_codomon import names
from otel_codomon.journal import records, segments
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.writer import Writer
from otel_codomon.resources.labels import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MIB = 1024 * 1024
RESOURCE = {"service.name": "history"}


@dataclass(frozen=True, kw_only=True)
class Past:
    """One execution of the past.

    Attributes:
        name: Its name.
        ago_seconds: How long ago it began.
        seconds: How long it took; None while it runs.
        outcome: How it ended.
        kind: What was executed.
        attributes: More attributes of its span.
        execution_id: Its id; None for any.
        parent_span_id: The span it is a child of.
    """

    name: str = "work"
    ago_seconds: float = 60.0
    seconds: float | None = 1.0
    outcome: Outcome = Outcome.SUCCESS
    kind: Kind = Kind.COMMAND
    attributes: Mapping[str, object] = field(default_factory=dict)
    execution_id: str | None = None
    parent_span_id: str | None = None


def write_history(
    folder: Path | str, past: Iterable[Past], *, now_unix_ns: int | None = None
) -> Writer:
    """Write executions into the journal in *folder*; the writer still holds its segment."""
    writer = Writer(os.fspath(folder))
    writer.declare(_RESOURCE_KEY, _DECLARED)
    for one in past:
        add(writer, one, now_unix_ns=now_unix_ns)
    return writer


_DECLARED = records.to_json(RESOURCE)
_RESOURCE_KEY = records.key_of(_DECLARED)


def add(writer: Writer, one: Past, *, now_unix_ns: int | None = None) -> None:
    """Write one execution."""
    now = time.time_ns() if now_unix_ns is None else now_unix_ns
    span_id = os.urandom(8)
    started = now - int(one.ago_seconds * 1e9)
    payload = {
        "trace_id": os.urandom(16).hex(),
        "parent_span_id": one.parent_span_id,
        "name": one.name,
        "kind": records.KIND_CLIENT,
        "started": started,
        "resource": _RESOURCE_KEY.hex(),
        "attributes": {
            names.EXECUTION_ID: one.execution_id or span_id.hex(),
            names.EXECUTION_NAME: one.name,
            names.EXECUTION_KIND: one.kind.value,
            names.EXECUTION_LANGUAGE: "python",
            names.SANDBOX_TYPE: "process",
            **one.attributes,
        },
    }
    signal, at = segments.STARTED, started
    if one.seconds is not None:
        signal, at = segments.ENDED, started + int(one.seconds * 1e9)
        payload["ended"] = at
        payload["status"] = records.STATUS_OK
        payload["attributes"][names.EXECUTION_OUTCOME] = one.outcome.value  # type: ignore[index] # a dict, just above
    assert writer.append(signal, json.dumps(payload).encode(), key=span_id, time_unix_ns=at)
